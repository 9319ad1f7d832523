"""Step events: what each step was given, what came of it, and how long it took. Source: dsl.md §11.

They are written in debug mode only. Values are cut at ``STEP_EVENT_VALUE_BYTES_MAX``, between characters, and what is
under a name that sounds like a secret is masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from runtara.limits import STEP_EVENT_VALUE_BYTES_MAX
from runtara.sdk.base import Durable
from runtara.stdlib.steps import Step

__all__ = ("Span", "Trace", "masked", "shown", "timestamp_ms")

_SECRET: Final = re.compile(
    r"password|passwd|passphrase|secret|token|api[_-]?key|authorization|private[_-]?key|credential", re.IGNORECASE
)
_MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Trace:
    """Writes the events of one scope: a graph, an iteration of a loop, or a child."""

    durable: Durable
    scope_id: str | None = None
    parent_scope_id: str | None = None
    loop_indices: tuple[int, ...] = ()

    def begin(self, step: Step, inputs: Any) -> Span:
        """Write that a step begins."""
        span = Span(self, step, timestamp_ms(self.durable))
        written = {} if step.mapping is None else {"input_mapping": shown(step.mapping)}
        self._emit("step_debug_start", step, {"timestamp_ms": span.began_ms, "inputs": shown(inputs), **written})
        return span

    def _emit(self, subtype: str, step: Step, facts: Mapping[str, Any]) -> None:
        payload = {
            "step_id": step.id,
            "step_name": step.name,
            "step_type": step.type,
            "scope_id": self.scope_id,
            "parent_scope_id": self.parent_scope_id,
            "loop_indices": list(self.loop_indices),
            **facts,
        }
        self.durable.emit(subtype, msgspec.json.encode(payload, order="sorted"))


@dataclass(frozen=True, slots=True)
class Span:
    """A step that has begun."""

    trace: Trace
    step: Step
    began_ms: int

    def end(self, outputs: Any) -> None:
        """Write what came of it."""
        now_ms = timestamp_ms(self.trace.durable)
        facts = {"timestamp_ms": now_ms, "duration_ms": max(0, now_ms - self.began_ms), "outputs": shown(outputs)}
        self.trace._emit("step_debug_end", self.step, facts)

    def fail(self, error: Mapping[str, Any]) -> None:
        """Write that it failed."""
        self.end({"_error": True, "error": dict(error)})


def timestamp_ms(durable: Durable) -> int:
    """The time, in milliseconds since 1970."""
    return int(durable.now().timestamp() * 1000)


def shown(value: Any) -> Any:
    """The value, masked; what is too long as its beginning."""
    shown = masked(value)
    encoded = msgspec.json.encode(shown)
    if len(encoded) <= STEP_EVENT_VALUE_BYTES_MAX:
        return shown
    preview = encoded[:STEP_EVENT_VALUE_BYTES_MAX].decode("utf-8", "ignore")
    return {"_truncated": True, "_original_size": len(encoded), "_preview": preview}


def masked(value: Any) -> Any:
    """The value, with a mask in the place of what is under a name that sounds like a secret."""
    if isinstance(value, Mapping):
        return {
            name: _MASK if isinstance(name, str) and _SECRET.search(name) and inner is not None else masked(inner)
            for name, inner in value.items()
        }
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value
