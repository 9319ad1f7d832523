"""OpenAI's chat completions, and the many services that speak them. Source: dsl.md §3.15."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from runtara.stdlib.ai.providers.base import AnswerUnreadable, Ask, HttpRequest, Message, ToolCall, ToolSpec, Turn

__all__ = ("OpenAi",)

_BASE_URL: Final = "https://api.openai.com/v1"
_MODEL: Final = "gpt-4o"

# What a schema may consist of where the service itself holds the model to it.
_STRICT_WORDS: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "description", "enum", "items"}
)


class OpenAi:
    """See ``Provider``."""

    name = "openai"

    def request(self, ask: Ask, *, api_key: str, base_url: str | None) -> HttpRequest:
        """See ``Provider.request``."""
        body: dict[str, Any] = {
            "model": ask.model or _MODEL,
            "messages": list(_messages(ask)),
            "temperature": ask.temperature,
        }
        if ask.max_tokens is not None:
            # Their newest models refuse the older name, which other services have kept.
            body["max_completion_tokens" if base_url is None else "max_tokens"] = ask.max_tokens
        if ask.tools:
            body |= {"tools": [_tool(tool) for tool in ask.tools], "tool_choice": "auto"}
        if ask.output_schema is not None:
            body["response_format"] = _response_format(ask.output_schema)
        url = f"{(base_url or _BASE_URL).rstrip('/')}/chat/completions"
        return HttpRequest(url=url, headers={"Authorization": f"Bearer {api_key}"}, body=body)

    def turn(self, body: Any) -> Turn:
        """See ``Provider.turn``."""
        try:
            message = msgspec.convert(body, _Answer).choices[0].message
        except (msgspec.ValidationError, IndexError) as error:
            raise AnswerUnreadable(str(error)) from error
        calls = (
            ToolCall(id=call.id or f"call_{number}", name=call.function.name, arguments=_arguments(call.function))
            for number, call in enumerate(message.tool_calls or ())
        )
        return Turn(text=_text(message.content) or message.refusal or "", tool_calls=tuple(calls))


# ---- what is sent


def _messages(ask: Ask) -> Iterator[dict[str, Any]]:
    if ask.system is not None:
        yield {"role": "system", "content": ask.system}
    for message in ask.messages:
        yield _message(message)


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        return {"role": message.role, "content": message.content}
    calls = [_call(call) for call in message.tool_calls]
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    facts = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": facts}


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    facts = {"name": "response", "schema": dict(schema), "strict": _can_be_strict(schema)}
    return {"type": "json_schema", "json_schema": facts}


def _can_be_strict(schema: Mapping[str, Any]) -> bool:
    """Whether the service takes the schema in its strict mode: it refuses what is open or may be missing."""
    if not schema.keys() <= _STRICT_WORDS:
        return False
    if schema.get("type") == "array":
        return "items" in schema and _can_be_strict(schema["items"])
    if schema.get("type") != "object":
        return True
    properties = schema.get("properties", {})
    is_whole = bool(properties) and properties.keys() == set(schema.get("required", ()))
    return is_whole and all(_can_be_strict(inner) for inner in properties.values())


# ---- what comes back


class _Function(msgspec.Struct):
    name: str
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Part(msgspec.Struct):
    text: str = ""


class _Said(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Said


class _Answer(msgspec.Struct):
    choices: list[_Choice]


def _text(content: str | list[_Part] | None) -> str:
    """Some services answer in parts."""
    return "".join(part.text for part in content) if isinstance(content, list) else content or ""


def _arguments(function: _Function) -> Any:
    written = function.arguments
    if not isinstance(written, str):
        return written or {}
    try:
        read = msgspec.json.decode(written or "{}")
    except (msgspec.MsgspecError, RecursionError):
        return written
    return read if isinstance(read, dict) else written
