"""A program's exception as the structured error of its instance: what happened, whose fault, and where."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ("category_of", "describe")

# Together far below the limit of an error, whatever a program puts into its messages.
_MESSAGE_CHARACTERS_MAX: Final = 4_000
_TRACEBACK_CHARACTERS_MAX: Final = 8_000

DEFAULT_CODE: Final = "program.failed"


def describe(error: BaseException) -> bytes:
    """``code``, ``message``, ``category``, ``type`` and the end of the traceback, as a JSON object. Never raises."""
    data: dict[str, Any] = {
        "code": _text(getattr(error, "code", None)) or DEFAULT_CODE,
        "message": _clipped(_message(error), _MESSAGE_CHARACTERS_MAX),
        "category": category_of(error) or "permanent",
        "type": type(error).__qualname__,
        "traceback": _traceback(error),
    }
    hint = _text(getattr(error, "hint", None))
    return msgspec.json.encode(data | ({"hint": hint} if hint else {}))


def category_of(error: BaseException) -> str | None:
    """``permanent`` or ``transient`` if the error says so itself, by ``category`` or by ``retryable``."""
    category = getattr(error, "category", None)
    if category in ("permanent", "transient"):
        return str(category)
    retryable = getattr(error, "retryable", None)
    return None if not isinstance(retryable, bool) else "transient" if retryable else "permanent"


def _message(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:
        return f"a {type(error).__name__} that cannot be shown"


def _text(value: Any) -> str | None:
    return _clipped(value, 200) if isinstance(value, str) else None


def _clipped(text: str, characters_max: int) -> str:
    # Lone surrogates, as in a file name that is no UTF-8, cannot be JSON.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def _traceback(error: BaseException) -> str:
    # Only a program that fails pays for the import.
    import traceback

    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:
        return ""
    return _clipped(lines[-_TRACEBACK_CHARACTERS_MAX:], _TRACEBACK_CHARACTERS_MAX)
