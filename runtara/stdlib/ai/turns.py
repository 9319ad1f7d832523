"""Turns of the model: each is asked for once, recorded before anything follows from it, and never paid twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from runtara.agents.errors import AgentError
from runtara.stdlib.ai.prompt import Settings
from runtara.stdlib.ai.providers import provider_of
from runtara.stdlib.ai.providers.base import Ask, Message, ToolCall, ToolSpec, Turn
from runtara.stdlib.ai.providers.client import take_turn
from runtara.stdlib.connections import fetch_connection
from runtara.stdlib.steps import AiAgentStep
from runtara.stdlib.trace import timestamp_ms

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("RecordedTurn", "Turns")


class RecordedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn as its checkpoint keeps it."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    at: int
    """When it was taken, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Takes the turns of one conversation."""

    run: Run
    step: AiAgentStep
    key: str
    settings: Settings

    async def take(
        self,
        name: str,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        output_schema: Mapping[str, Any] | None = None,
    ) -> RecordedTurn:
        """The turn of that name; durable on return.

        Raises:
            StepFailed: it failed finally, now or in an earlier attempt.
        """
        key = f"{self.key}/{name}"
        durable = self.run.durable_of(is_durable=self.step.durable)
        state = await durable.find(key)
        if state is None:
            ask = self._ask(messages, tools, output_schema)
            tries = replace(self.run.tries(self.step, key), records_final=True)
            state = await tries.until_success(partial(self._try, key, ask))
        return msgspec.json.decode(state, type=RecordedTurn)

    def _ask(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], output_schema: Mapping[str, Any] | None
    ) -> Ask:
        return Ask(
            messages=messages,
            system=self.settings.system,
            model=self.settings.model,
            temperature=self.settings.temperature,
            max_tokens=self.settings.max_tokens,
            tools=tools,
            output_schema=output_schema,
        )

    async def _try(self, key: str, ask: Ask) -> bytes:
        """The state that holds, which after a race of two attempts may be another one's."""
        await self.run.execution.durable.flush()
        turn = await self._in_time(key, ask)
        at = timestamp_ms(self.run.execution.durable)
        state = msgspec.json.encode(RecordedTurn(text=turn.text, tool_calls=turn.tool_calls, at=at))
        return await self.run.durable_of(is_durable=self.step.durable).save(key, state)

    async def _in_time(self, key: str, ask: Ask) -> Turn:
        with anyio.move_on_after(self.step.turn_timeout_ms / 1000) as scope:
            return await self._asked(key, ask)
        assert scope.cancelled_caught
        message = f"the model did not answer within {self.step.turn_timeout_ms} ms"
        raise AgentError("AI_TURN_TIMEOUT", message, category="timeout")

    async def _asked(self, key: str, ask: Ask) -> Turn:
        execution = self.run.execution
        connection = await fetch_connection(execution, self.step.connection_id, step=self.step, tag="ai_agent")
        provider = provider_of(self.step.provider, connection["integration_id"])
        token = f"{execution.durable.info.instance_id}:{key}"
        return await take_turn(execution, provider, connection["parameters"], ask, token)
