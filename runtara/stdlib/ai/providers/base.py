"""What is said to a model and what it answers, the same for every provider. Nothing here runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

__all__ = ("AnswerUnreadable", "Ask", "HttpRequest", "Message", "Provider", "ToolCall", "ToolSpec", "Turn")


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """That the model wants a tool to be called."""

    id: str
    """Its result refers to it."""
    name: str
    arguments: Any
    """An object; a text where the model wrote what is no JSON."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a conversation; as JSON, it is also what a memory keeps."""

    role: Literal["user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of the assistant."""
    tool_call_id: str | None = None
    """Of a tool: the call whose result this is."""
    name: str | None = None
    """Of a tool."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What the model said when it was its turn."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool, as the model sees it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Everything that a turn is asked with."""

    messages: Sequence[Message]
    system: str | None = None
    model: str | None = None
    """None: the default of the provider."""
    temperature: float = 0.7
    max_tokens: int | None = None
    tools: Sequence[ToolSpec] = ()
    output_schema: Mapping[str, Any] | None = None
    """JSON Schema of what the answer has to be; None: text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A POST of JSON."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    """They carry the key."""
    body: Mapping[str, Any]


class AnswerUnreadable(Exception):
    """The service answered with success, and with something that is no turn."""


class Provider(Protocol):
    """How one service is talked to. Pure."""

    name: str

    def request(self, ask: Ask, *, api_key: str, base_url: str | None) -> HttpRequest:
        """What is sent."""

    def turn(self, body: Any) -> Turn:
        """What the JSON of a successful answer says. Raises ``AnswerUnreadable``."""
