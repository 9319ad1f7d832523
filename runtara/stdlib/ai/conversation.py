"""The conversation: turns of the model and calls of its tools, one checkpoint each, until it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from runtara.stdlib.ai.answers import answer_of, schema_for
from runtara.stdlib.ai.memory import Memory
from runtara.stdlib.ai.prompt import Prompt, settings_of, text_of
from runtara.stdlib.ai.providers.base import Message, ToolCall
from runtara.stdlib.ai.tools import Outcome, call_tool, spec_of, unusable
from runtara.stdlib.ai.turns import Turns
from runtara.stdlib.steps import AiAgentStep, Tool

if TYPE_CHECKING:
    from runtara.stdlib.run import Run

__all__ = ("converse",)

_MEMORY: Final = "memory"
"""The name of the tool that is none: the model does not see it."""


async def converse(run: Run, step: AiAgentStep, prompt: Prompt, tools: Sequence[Tool]) -> dict[str, Any]:
    """The answer: ``response``, ``iterations``, ``toolCalls``.

    Each turn is recorded under ``<key>/llm/<n>``, each call of a tool under ``<key>/tool/<name>/<n>``: what was paid or
    done is never paid or done again.

    Raises:
        StepFailed: the model, the memory or its step failed finally.
        AgentError, ValueFailed: the prompt cannot be asked, or the answer is not what it has to be.
        Interruption: the instance was cancelled, paused, suspended or superseded.
    """
    key, settings = run.key(step), settings_of(prompt)
    stage = _stage(run, step)
    turns = Turns(run=stage, step=step, key=key, settings=settings)
    memory = _memory(stage, step, key, prompt, tools)
    history = [] if memory is None else await memory.load(turns)
    said = [*history, Message(role="user", content=settings.user)]
    callable_tools = {tool.name: tool for tool in tools if tool.name != _MEMORY}
    talk = _Talk(run=stage, step=step, key=key, turns=turns, tools=callable_tools, messages=said)
    text = await talk.until_answer()
    response = answer_of(text, step.output_schema)
    if memory is not None:
        await memory.save(talk.messages)
    return {"response": response, "iterations": talk.iterations, "toolCalls": talk.calls}


def _stage(run: Run, step: AiAgentStep) -> Run:
    """Where the tools live: nothing of a conversation that is not stored may be found by the next attempt's."""
    if step.durable:
        return run
    return type(run)(run.execution, replace(run.place, is_durable=False), run.data, run.variables)


def _memory(run: Run, step: AiAgentStep, key: str, prompt: Prompt, tools: Sequence[Tool]) -> Memory | None:
    found = next((tool for tool in tools if tool.name == _MEMORY), None)
    if found is None:
        return None
    return Memory(
        run=run,
        tool=found,
        key=key,
        conversation_id=prompt.conversation_id,
        max_messages=step.max_messages,
        summarize=step.summarize,
    )


@dataclass(kw_only=True)
class _Talk:
    """The turns and calls of one conversation, as far as it has come."""

    run: Run
    step: AiAgentStep
    key: str
    turns: Turns
    tools: Mapping[str, Tool]
    messages: list[Message]
    calls: list[dict[str, Any]] = field(default_factory=list)
    iterations: int = 0
    _text: str = ""
    _numbers: Counter[str] = field(default_factory=Counter)

    async def until_answer(self) -> str:
        """The text of the turn that calls nothing; when there are no more turns, the last text that there was."""
        specs = [spec_of(self.run, tool) for tool in self.tools.values()]
        schema = schema_for(self.step.output_schema)
        while self.iterations < self.step.max_iterations:
            await self._pause()
            self.iterations += 1
            turn = await self.turns.take(f"llm/{self.iterations}", self.messages, tools=specs, output_schema=schema)
            self._text = turn.text or self._text
            if turn.text or turn.tool_calls:
                self.messages.append(Message(role="assistant", content=turn.text, tool_calls=turn.tool_calls))
            if not turn.tool_calls:
                return turn.text
            await self._call_all(turn.tool_calls, turn.at)
        return self._text

    async def _pause(self) -> None:
        """Where a conversation may be interrupted, or has taken too long."""
        if self.run.place.deadline is not None:
            self.run.place.deadline.check()
        await self.run.safe_point()

    async def _call_all(self, calls: Sequence[ToolCall], since: int) -> None:
        """One after the other; ``since`` is when the first could begin."""
        for call in calls:
            await self._pause()
            outcome = await self._outcome(call, since)
            self.calls.append(self._entry(call, outcome, since))
            result = text_of(outcome.result)
            self.messages.append(Message(role="tool", content=result, tool_call_id=call.id, name=call.name))
            since = outcome.at

    async def _outcome(self, call: ToolCall, since: int) -> Outcome:
        told = unusable(call, self.tools)
        if told is not None:
            return Outcome(result=told, success=False, at=since)
        self._numbers[call.name] += 1
        key = f"{self.key}/tool/{call.name}/{self._numbers[call.name]}"
        return await call_tool(self.run, self.step, self.tools[call.name], call.arguments, key)

    def _entry(self, call: ToolCall, outcome: Outcome, since: int) -> dict[str, Any]:
        return {
            "iteration": self.iterations,
            "tool_name": call.name,
            "arguments": call.arguments,
            "result": outcome.result,
            "success": outcome.success,
            "duration_ms": max(0, outcome.at - since),
        }
