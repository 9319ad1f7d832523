"""What a model is asked with: the values that the scenario gave, and what is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from runtara.stdlib.values import ValueFailed, encode_value

__all__ = ("Prompt", "Settings", "settings_of", "shown", "text_of")

_TEMPERATURE: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the model is asked, evaluated."""

    user: Any
    system: Any = None
    model: Any = None
    temperature: Any = None
    max_tokens: Any = None
    conversation_id: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A prompt, checked."""

    user: str
    system: str | None
    model: str | None
    temperature: float
    max_tokens: int | None


def shown(prompt: Prompt) -> dict[str, Any]:
    """What events show of it."""
    facts = {"systemPrompt": prompt.system, "userPrompt": prompt.user, "model": prompt.model}
    return facts if prompt.conversation_id is None else facts | {"conversationId": prompt.conversation_id}


def settings_of(prompt: Prompt) -> Settings:
    """The prompt, checked.

    Raises:
        ValueFailed: a value is not what a model can be asked with; ``AI_PROMPT_INVALID``.
    """
    if prompt.user is None:
        raise _invalid("the user prompt is null: there is nothing to answer")
    return Settings(
        user=text_of(prompt.user),
        system=None if prompt.system is None else text_of(prompt.system),
        model=_model(prompt.model),
        temperature=_temperature(prompt.temperature),
        max_tokens=_max_tokens(prompt.max_tokens),
    )


def text_of(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else encode_value(value).decode()


def _model(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise _invalid("the model is not a name")
    return value


def _temperature(value: Any) -> float:
    if value is None:
        return _TEMPERATURE
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _invalid("the temperature is not a number from 0")
    return value


def _max_tokens(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise _invalid("maxTokens is not a whole number from 1")
    return value


def _invalid(message: str) -> ValueFailed:
    return ValueFailed("AI_PROMPT_INVALID", message)
