"""How long a text may become: no longer than an output, which is found out before the text is made."""

from __future__ import annotations

from runtara.agents.errors import AgentError
from runtara.limits import OUTPUT_BYTES_MAX

__all__ = ("check_characters",)


def check_characters(characters: int) -> None:
    """Return when a text of that many characters can be an output.

    Raises:
        AgentError: it cannot; ``TEXT_OUTPUT_TOO_LARGE``.
    """
    if characters > OUTPUT_BYTES_MAX:
        raise AgentError("TEXT_OUTPUT_TOO_LARGE", f"the result would have more than {OUTPUT_BYTES_MAX} characters")
