"""Where in a program a call stands: the current attempt, and the prefix of the keys that are made here.

Keys are structural. A call without a key of its own is numbered by name within its surroundings, in the order in
which calls begin: ``charge#1``, ``charge#2``. Inside a durable function the surroundings are that call:
``order#1/charge#1``. A program that makes its calls in the same order finds its results again; one that does not (calls
begun in the order of a race, say) gives them keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from runtara.errors import InvalidRequest
from runtara.ids import CheckpointKey, parse_checkpoint_key
from runtara.sdk.base import Durable

__all__ = ("NotInInstance", "Scope", "current_scope", "entered")


class NotInInstance(InvalidRequest):
    """A durable call outside of a program that runs as an instance."""

    code = "sdk.not_in_instance"


class Scope:
    """The surroundings of a call."""

    def __init__(self, durable: Durable, *, prefix: str = "") -> None:
        self.durable = durable
        self._prefix = prefix
        self._begun: Counter[str] = Counter()

    def key(self, name: str, given: str | None = None) -> CheckpointKey:
        """The key of the next call of that name, or the given one, within these surroundings.

        Raises ``InvalidRequest`` or ``LimitExceeded`` for what cannot be a key.
        """
        if given is not None:
            return parse_checkpoint_key(self._prefix + given)
        self._begun[name] += 1
        return parse_checkpoint_key(f"{self._prefix}{name}#{self._begun[name]}")

    def inside(self, key: CheckpointKey) -> Scope:
        """The surroundings within the call of that key."""
        return Scope(self.durable, prefix=f"{key}/")


_current: ContextVar[Scope] = ContextVar("runtara_scope")


def current_scope() -> Scope:
    """Where this code runs. Raises ``NotInInstance``."""
    try:
        return _current.get()
    except LookupError:
        raise NotInInstance(
            "this is no running instance",
            hint="Durable calls work inside of sdk.run(main), or in tests inside of runtara.testing.",
        ) from None


@contextmanager
def entered(scope: Scope) -> Iterator[None]:
    """Code inside the block, and tasks that it starts, run in these surroundings."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)
