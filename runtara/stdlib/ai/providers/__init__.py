"""The services that have models, behind one seam: what is asked and answered is the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtara.agents.errors import AgentError
from runtara.stdlib.ai.providers.anthropic import Anthropic
from runtara.stdlib.ai.providers.base import Provider
from runtara.stdlib.ai.providers.openai import OpenAi

__all__ = ("provider_of",)

_PROVIDERS: Final[Mapping[str, Provider]] = {"openai": OpenAi(), "anthropic": Anthropic()}

_BY_INTEGRATION: Final[Mapping[object, str]] = {"openai_api_key": "openai", "anthropic_api_key": "anthropic"}


def provider_of(name: str | None, integration_id: object) -> Provider:
    """The provider of that name; without one, that of the connection's type.

    Raises:
        AgentError: there is none; ``AI_PROVIDER_UNKNOWN``.
    """
    chosen = name or _BY_INTEGRATION.get(integration_id)
    found = None if chosen is None else _PROVIDERS.get(chosen)
    if found is None:
        what = f"provider {name!r}" if name else f"connection of type {integration_id!r}"
        message = f"nobody knows how to talk to a {what}; known are: {', '.join(_PROVIDERS)}"
        raise AgentError("AI_PROVIDER_UNKNOWN", message)
    return found
