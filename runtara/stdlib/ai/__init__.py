"""Conversations with language models: AiAgent steps. Source: dsl.md §3.15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runtara.stdlib.ai.prompt import Prompt, shown

if TYPE_CHECKING:
    from runtara.stdlib.run import Run
    from runtara.stdlib.steps import AiAgentStep, Tool

__all__ = ("Prompt", "converse", "shown")


async def converse(run: Run, step: AiAgentStep, prompt: Prompt, tools: Sequence[Tool]) -> dict[str, Any]:
    """See ``runtara.stdlib.ai.conversation.converse``."""
    from runtara.stdlib.ai import conversation  # most scenarios talk to no model

    return await conversation.converse(run, step, prompt, tools)
