"""Anthropic's messages. Source: dsl.md §3.15.

An answer that has to fit a schema is asked for as the arguments of one more tool, which the model must call when it
calls no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from runtara.stdlib.ai.providers.base import AnswerUnreadable, Ask, HttpRequest, Message, ToolCall, ToolSpec, Turn

__all__ = ("Anthropic",)

_BASE_URL: Final = "https://api.anthropic.com"
_VERSION: Final = "2023-06-01"
_MODEL: Final = "claude-sonnet-4-5"

# The service asks for a bound, and an author need not give one.
_MAX_TOKENS: Final = 4096

# No step's label has a hyphen.
_ANSWER_TOOL: Final = "final-answer"

_CUT: Final = "(The beginning of this conversation is left out.)"


class Anthropic:
    """See ``Provider``."""

    name = "anthropic"

    def request(self, ask: Ask, *, api_key: str, base_url: str | None) -> HttpRequest:
        """See ``Provider.request``."""
        body: dict[str, Any] = {
            "model": ask.model or _MODEL,
            "max_tokens": ask.max_tokens or _MAX_TOKENS,
            "temperature": ask.temperature,
            "messages": _messages(ask.messages),
            **_tools(ask),
        }
        if ask.system is not None:
            body["system"] = ask.system
        url = f"{(base_url or _BASE_URL).rstrip('/')}/v1/messages"
        return HttpRequest(url=url, headers={"x-api-key": api_key, "anthropic-version": _VERSION}, body=body)

    def turn(self, body: Any) -> Turn:
        """See ``Provider.turn``."""
        try:
            blocks = msgspec.convert(body, _Answer).content
        except msgspec.ValidationError as error:
            raise AnswerUnreadable(str(error)) from error
        used = [block for block in blocks if block.type == "tool_use"]
        calls = tuple(_call(block, number) for number, block in enumerate(used) if block.name != _ANSWER_TOOL)
        answers = [block for block in used if block.name == _ANSWER_TOOL]
        if answers and not calls:
            return Turn(text=msgspec.json.encode(answers[0].input).decode())
        return Turn(text="".join(block.text for block in blocks if block.type == "text"), tool_calls=calls)


# ---- what is sent


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Blocks in turns: what follows each other from one side is one message, and the user begins."""
    made: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(_blocks(message))
        if not made and role == "assistant":
            made.append({"role": "user", "content": [{"type": "text", "text": _CUT}]})
        if made and made[-1]["role"] == role:
            made[-1]["content"] += blocks
        elif blocks:
            made.append({"role": role, "content": blocks})
    return made


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
        return
    # Empty texts are refused.
    if message.content.strip():
        yield {"type": "text", "text": message.content}
    for call in message.tool_calls:
        arguments = call.arguments if isinstance(call.arguments, dict) else {}
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _tools(ask: Ask) -> dict[str, Any]:
    tools = [_tool(tool) for tool in ask.tools]
    if ask.output_schema is None:
        return {"tools": tools, "tool_choice": {"type": "auto"}} if tools else {}
    answer = ToolSpec(name=_ANSWER_TOOL, description="Give the final answer.", parameters=ask.output_schema)
    choice = {"type": "any"} if tools else {"type": "tool", "name": _ANSWER_TOOL}
    return {"tools": [*tools, _tool(answer)], "tool_choice": choice}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}


# ---- what comes back


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    id: str | None = None
    name: str = ""
    input: Any = None


class _Answer(msgspec.Struct):
    content: list[_Block]


def _call(block: _Block, number: int) -> ToolCall:
    return ToolCall(id=block.id or f"call_{number}", name=block.name, arguments=block.input or {})
