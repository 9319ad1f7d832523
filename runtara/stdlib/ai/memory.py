"""Memory: a conversation that outlives the run, loaded and saved by a step, mended and shortened in between.

Source: dsl.md §3.15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtara.agents.errors import AgentError
from runtara.stdlib.ai.prompt import text_of
from runtara.stdlib.ai.providers.base import Message
from runtara.stdlib.ai.turns import Turns
from runtara.stdlib.steps import AgentStep, Tool
from runtara.stdlib.values import ValueFailed

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("Memory", "sanitised")

_SUMMARY: Final = "Summary of the conversation so far: "
_SUMMARIZE: Final = (
    "Summarize the conversation below for somebody who goes on with it: facts, decisions, open questions, "
    "names and numbers. Answer with the summary alone.\n\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one conversation remembers."""

    run: Run
    tool: Tool
    key: str
    conversation_id: Any
    max_messages: int | None
    summarize: bool

    async def load(self, turns: Turns) -> list[Message]:
        """What was said before, fit to be gone on with.

        Raises:
            StepFailed: it could not be loaded.
            AgentError: what was loaded is no conversation; ``AI_MEMORY_INVALID``.
        """
        loaded = sanitised(_messages_in(await self._call("load")))
        if self.max_messages is None or len(loaded) <= self.max_messages:
            return loaded
        return await self._summarized(loaded, turns) if self.summarize else self._last(loaded)

    async def save(self, messages: Sequence[Message]) -> None:
        """Keep what was said. Raises ``StepFailed`` when it could not be kept."""
        kept = messages if self.summarize or self.max_messages is None else self._last(messages)
        await self._call("save", messages=msgspec.to_builtins(kept))

    async def _call(self, operation: str, **more: Any) -> Any:
        if self.conversation_id is None:
            raise ValueFailed("AI_CONVERSATION_ID_MISSING", "the conversationId of the memory is null")
        assert isinstance(self.tool.step, AgentStep)
        given = {"conversation_id": text_of(self.conversation_id), "operation": operation, **more}
        return await self.run.call(self.tool.step, f"{self.key}/memory/{operation}").outputs(
            {**self.tool.inputs(), **given}
        )

    # -- getting shorter

    def _last(self, messages: Sequence[Message]) -> list[Message]:
        """The last messages, as many as are allowed."""
        assert self.max_messages is not None
        return sanitised(messages[-self.max_messages :])

    async def _summarized(self, messages: Sequence[Message], turns: Turns) -> list[Message]:
        """A summary of the older half or more, and the rest as it is, so that it is not asked for at every run."""
        assert self.max_messages is not None
        cut = len(messages) - self.max_messages // 2
        while cut < len(messages) and messages[cut].role == "tool":
            cut += 1
        asked = Message(role="user", content=_SUMMARIZE + "\n".join(map(_line, messages[:cut])))
        turn = await turns.take("memory/compact", [asked])
        return [Message(role="user", content=_SUMMARY + turn.text), *messages[cut:]]


def _line(message: Message) -> str:
    calls = "".join(f" [calls {call.name} with {text_of(call.arguments)}]" for call in message.tool_calls)
    return f"{message.role}: {message.content}{calls}"


def _messages_in(loaded: Any) -> list[Message]:
    if isinstance(loaded, Mapping):
        loaded = loaded.get("messages")
    if loaded is None:
        return []
    try:
        # What others have kept may say null where we say nothing.
        plain = [{name: value for name, value in one.items() if value is not None} for one in loaded]
        return msgspec.convert(plain, list[Message])
    except (AttributeError, TypeError, msgspec.ValidationError) as error:
        raise AgentError("AI_MEMORY_INVALID", f"what was loaded is no list of messages: {error}") from error


def sanitised(messages: Sequence[Message]) -> list[Message]:
    """The messages as a service takes them: each call of a tool has its result, and each result its call.

    An assistant whose calls lack results is left out. A result without its call becomes something that the user says,
    behind the results among which it stood.
    """
    kept: list[Message] = []
    strays: list[Message] = []
    expected: set[str | None] = set()
    for index, message in enumerate(messages):
        if message.role != "tool":
            expected = {call.id for call in message.tool_calls}
            if expected <= _results_after(messages, index):
                kept.append(message)
            else:
                expected = set()
        elif message.tool_call_id in expected:
            expected.remove(message.tool_call_id)
            kept.append(message)
        else:
            strays.append(_plain(message))
        if not expected:
            kept += strays
            strays.clear()
    return kept


def _results_after(messages: Sequence[Message], index: int) -> set[str | None]:
    """The calls to which the messages right after that one are results."""
    found: set[str | None] = set()
    for number in range(index + 1, len(messages)):
        if messages[number].role != "tool":
            break
        found.add(messages[number].tool_call_id)
    return found


def _plain(result: Message) -> Message:
    source = "a tool" if result.name is None else f"the tool {result.name}"
    return Message(role="user", content=f"Result of {source}: {result.content}")
