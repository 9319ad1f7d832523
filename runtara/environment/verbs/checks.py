"""What a request may carry, checked at the border: each refusal names the field and what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from runtara.core.model import EventType, Status
from runtara.errors import InvalidRequest, LimitExceeded
from runtara.limits import (
    CURSOR_CHARACTERS_MAX,
    EXECUTION_TIMEOUT_S_MAX,
    IMAGE_METADATA_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    PAGE_ROWS_MAX,
    START_ENV_BYTES_MAX,
    TEXT_CHARACTERS_MAX,
)

__all__ = (
    "check_cursor",
    "check_env",
    "check_event_types",
    "check_json",
    "check_metadata",
    "check_number",
    "check_page",
    "check_prefix",
    "check_signal_name",
    "check_size",
    "check_statuses",
    "check_text",
    "check_timeout",
)

_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Whoever could set these could say who the program is, or which code it runs.
_ENV_RESERVED: Final = ("RUNTARA_", "LD_", "PYTHON", "DYLD_", "GLIBC_", "MALLOC_")
_ENV_RESERVED_NAMES: Final = frozenset({"PATH", "HOME", "BASH_ENV", "ENV", "IFS"})


def check_number(field: str, value: float, minimum: float, maximum: float, unit: str) -> None:
    """Raises ``LimitExceeded`` above the maximum, ``InvalidRequest`` below the minimum (or for no number at all)."""
    if value > maximum:
        raise LimitExceeded(
            f"the {field} is over {maximum:g} {unit}", limit=field, unit=unit, maximum=maximum, actual=value
        )
    if not value >= minimum:
        raise InvalidRequest(f"the {field} must be at least {minimum:g} {unit}, not {value}", field=field)


def check_size(field: str, size: int, maximum: int, unit: str = "bytes") -> None:
    """Raises ``LimitExceeded``."""
    if size > maximum:
        raise LimitExceeded(
            f"the {field} has {size} {unit}, and {maximum} are allowed",
            limit=f"{field}_{unit}",
            unit=unit,
            maximum=maximum,
            actual=size,
        )


def check_page(limit: int) -> int:
    """The number of rows of a page."""
    check_number("limit", limit, 1, PAGE_ROWS_MAX, "rows")
    return limit


def check_cursor(cursor: str | None) -> str | None:
    """A cursor that may be looked at; whether it is one of ours is seen by whoever reads it."""
    if cursor is not None:
        check_size("cursor", len(cursor), CURSOR_CHARACTERS_MAX, "characters")
    return cursor


def check_prefix(prefix: str | None) -> str | None:
    """The beginning of a name."""
    if prefix is not None:
        check_size("instance_id_prefix", len(prefix), NAME_CHARACTERS_MAX, "characters")
        _refuse_nul("instance_id_prefix", prefix)
    return prefix or None


def check_text(field: str, text: str | None) -> str | None:
    """A text for people."""
    if text is not None:
        check_size(field, len(text), TEXT_CHARACTERS_MAX, "characters")
        _refuse_nul(field, text)
    return text


def _refuse_nul(field: str, text: str) -> None:
    # PostgreSQL's text can hold neither.
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise InvalidRequest(f"the {field} has a character that cannot be stored", field=field)


def check_signal_name(name: str) -> str:
    """Any printable text: programs name their signals as they like."""
    check_size("signal_name", len(name), NAME_CHARACTERS_MAX, "characters")
    if not name or not name.isprintable():
        raise InvalidRequest(f"{name!r} is not a signal name", hint="Use printable characters.", field="name")
    return name


def check_statuses(names: Sequence[str]) -> tuple[Status, ...]:
    """The statuses of these names."""
    try:
        return tuple(Status(name) for name in names)
    except ValueError as error:
        hint = f"Statuses are {', '.join(Status)}."
        raise InvalidRequest(f"there is no such status: {error}", hint=hint, field="statuses") from None


def check_event_types(names: Sequence[str]) -> tuple[EventType, ...]:
    """The event types of these names."""
    try:
        return tuple(EventType(name) for name in names)
    except ValueError as error:
        hint = f"Types are {', '.join(EventType)}."
        raise InvalidRequest(f"there is no such event type: {error}", hint=hint, field="types") from None


def check_timeout(timeout_s: float | None) -> float | None:
    """How long an attempt may run; None leaves it to the server."""
    if timeout_s is not None:
        check_number("timeout_s", timeout_s, 0.001, EXECUTION_TIMEOUT_S_MAX, "seconds")
    return timeout_s


def check_json(field: str, document: bytes, bytes_max: int) -> bytes:
    """A JSON document, well formed and in UTF-8. 14 MB take 10 ms: nothing is built of it."""
    check_size(field, len(document), bytes_max)
    try:
        document.decode("utf-8")
        _JSON.decode(document)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidRequest(f"the {field} is not JSON: {error}", field=field) from None
    return document


def check_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an image says of itself: a JSON object."""
    try:
        encoded = msgspec.json.encode(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the metadata is not JSON: {error}", field="metadata") from None
    check_size("metadata", len(encoded), IMAGE_METADATA_BYTES_MAX)
    if b"\\u0000" in encoded:
        raise InvalidRequest("the metadata has a NUL", field="metadata")
    return metadata


def check_env(env: Mapping[str, str]) -> Mapping[str, str]:
    """Variables that a start adds to its program's environment."""
    for name, value in env.items():
        if _ENV_NAME.match(name) is None or "\0" in value:
            raise InvalidRequest(f"{name[:64]!r} cannot be an environment variable", field="env")
        if name in _ENV_RESERVED_NAMES or name.startswith(_ENV_RESERVED):
            raise InvalidRequest(
                f"the environment variable {name!r} is reserved",
                hint="Pick a name of your own: it decides who the program is or which code it runs.",
                field="env",
            )
    check_size("env", sum(len(name) + len(value.encode()) for name, value in env.items()), START_ENV_BYTES_MAX)
    return env
