"""Texts and numbers into moments, and names into time zones. Source: dsl.md §12.9.

A moment is an aware ``datetime``. What has no offset is in UTC. Everything ends at the years 1 and 9999.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import wraps
from typing import Final, ParamSpec, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runtara.agents.errors import AgentError

__all__ = ("EPOCH", "MILLISECONDS_FROM", "parse_moment", "parse_zone", "unix_moment", "within_range")

P = ParamSpec("P")
T = TypeVar("T")

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MILLISECONDS_FROM: Final = 10**12
"""A Unix time beyond this number counts milliseconds: as seconds, it would be the year 33658."""

_TEXT_CHARACTERS_MAX: Final = 100
_CENTURY_PIVOT: Final = 69
"""Years of two digits: from here on they are 19xx, below 20xx."""

_OFFSET: Final = r"(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIME: Final = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,18}))?)?"
_UNIX: Final = re.compile(r"[+-]?[0-9]{1,30}(?:\.0)?")
_ISO: Final = re.compile(
    rf"(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{1,2}})-(?P<day>[0-9]{{1,2}})(?:[Tt ]{_TIME} ?{_OFFSET}?)?"
)
_RFC_2822: Final = re.compile(
    r"(?:(?P<weekday>[A-Z][a-z]{2}), ?)?(?P<day>[0-9]{1,2}) (?P<month>[A-Z][a-z]{2}) (?P<year>[0-9]{4}) "
    rf"{_TIME} (?:{_OFFSET}|(?P<zone>[A-Z]{{2,3}}))"
)
_SLASHES: Final = re.compile(r"(?P<first>[0-9]{1,2})/(?P<second>[0-9]{1,2})/(?P<year>[0-9]{4}|[0-9]{2})")
_DOTS: Final = re.compile(r"(?P<day>[0-9]{1,2})\.(?P<month>[0-9]{1,2})\.(?P<year>[0-9]{4}|[0-9]{2})")
_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,2}")

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OBSOLETE_ZONES: Final[Mapping[str, int]] = {
    "UT": 0,
    "UTC": 0,
    "GMT": 0,
    "EDT": -4,
    "EST": -5,
    "CDT": -5,
    "CST": -6,
    "MDT": -6,
    "MST": -7,
    "PDT": -7,
    "PST": -8,
}
"""Hours from UTC. Source: RFC 2822 §4.3."""


def within_range(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which says ``DATETIME_OUT_OF_RANGE`` where it would raise ``OverflowError``."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except OverflowError:
            raise AgentError("DATETIME_OUT_OF_RANGE", "the date is not between the years 1 and 9999") from None

    return guarded


@within_range
def parse_moment(text: str) -> datetime:
    """The moment that a text names: the first of these forms that it has.

    A whole number (Unix time, see ``unix_moment``), RFC 3339 and its shortened and naive forms, RFC 2822, ``m/d/y``,
    ``d/m/y``, ``d.m.y``, with years of two or four digits. Where both are dates, the month is first.

    Raises:
        AgentError: ``DATETIME_PARSE_ERROR``, ``DATETIME_OUT_OF_RANGE``.
    """
    stripped = text.strip()
    if len(stripped) <= _TEXT_CHARACTERS_MAX:
        for pattern, read in _FORMS.items():
            if match := pattern.fullmatch(stripped):
                return _existing(read, match)
    raise AgentError("DATETIME_PARSE_ERROR", f"{_shown(text)} is not a date in any form that is known")


@within_range
def unix_moment(number: int, *, milliseconds: bool | None = None) -> datetime:
    """The moment of a Unix time. Unless it is said, numbers beyond ``MILLISECONDS_FROM`` count milliseconds.

    Raises:
        AgentError: ``DATETIME_OUT_OF_RANGE``.
    """
    counts_ms = abs(number) > MILLISECONDS_FROM if milliseconds is None else milliseconds
    return EPOCH + (timedelta(milliseconds=number) if counts_ms else timedelta(seconds=number))


def parse_zone(name: str) -> tzinfo:
    """The zone of ``UTC``, ``Z``, ``±HH:MM``, ``±HHMM`` or an IANA name, whose offset depends on the date.

    Raises:
        AgentError: ``DATETIME_INVALID_TIMEZONE``.
    """
    stripped = name.strip()
    try:
        if stripped.upper() in ("UTC", "Z"):
            return UTC
        if re.fullmatch(_OFFSET, stripped):
            return _offset(stripped)
        if _ZONE_NAME.fullmatch(stripped):
            return ZoneInfo(stripped)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as "Europe"
        pass
    message = f"{_shown(name)} is not UTC, an offset such as +02:00, or a name such as Europe/Berlin"
    raise AgentError("DATETIME_INVALID_TIMEZONE", message)


def _existing(read: Callable[[re.Match[str]], datetime], match: re.Match[str]) -> datetime:
    try:
        moment = read(match)
    except ValueError as error:
        raise AgentError("DATETIME_PARSE_ERROR", f"there is no date {_shown(match[0])}: {error}") from None
    moment.astimezone(UTC)  # OverflowError, where the offset pushes it out of the range
    return moment


def _shown(text: str) -> str:
    return repr(text if len(text) <= _TEXT_CHARACTERS_MAX else text[:_TEXT_CHARACTERS_MAX] + "…")


def _unix(match: re.Match[str]) -> datetime:
    return unix_moment(int(match[0].removesuffix(".0")))


def _iso(match: re.Match[str]) -> datetime:
    return _built(match, month=int(match["month"]), zone=_offset(match["offset"]))


def _rfc_2822(match: re.Match[str]) -> datetime:
    if match["month"] not in _MONTHS or (match["zone"] or "UTC") not in _OBSOLETE_ZONES:
        raise ValueError("the month or the zone has no such name")
    named = timezone(timedelta(hours=_OBSOLETE_ZONES[match["zone"]])) if match["zone"] else None
    moment = _built(match, month=_MONTHS.index(match["month"]) + 1, zone=named or _offset(match["offset"]))
    if match["weekday"] not in (None, _WEEKDAYS[moment.weekday()]):
        raise ValueError(f"it is a {_WEEKDAYS[moment.weekday()]}")
    return moment


def _slashes(match: re.Match[str]) -> datetime:
    first, second, year = int(match["first"]), int(match["second"]), _year(match["year"])
    month, day = (second, first) if first > 12 else (first, second)
    return datetime(year, month, day, tzinfo=UTC)


def _dots(match: re.Match[str]) -> datetime:
    return datetime(_year(match["year"]), int(match["month"]), int(match["day"]), tzinfo=UTC)


def _year(digits: str) -> int:
    if len(digits) == 4:
        return int(digits)
    return int(digits) + (1900 if int(digits) >= _CENTURY_PIVOT else 2000)


def _built(match: re.Match[str], *, month: int, zone: tzinfo) -> datetime:
    """The date and the time of a match; a leap second is the second after it."""
    second = int(match["second"] or 0)
    moment = datetime(
        int(match["year"]),
        month,
        int(match["day"]),
        int(match["hour"] or 0),
        int(match["minute"] or 0),
        min(second, 59) if second <= 60 else second,
        int((match["fraction"] or "0").ljust(6, "0")[:6]),
        zone,
    )
    return moment + timedelta(seconds=1) if second == 60 else moment


def _offset(text: str | None) -> tzinfo:
    if text is None or text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].removeprefix(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"the offset {text} is not one")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


_FORMS: Final[Mapping[re.Pattern[str], Callable[[re.Match[str]], datetime]]] = {
    _UNIX: _unix,
    _ISO: _iso,
    _RFC_2822: _rfc_2822,
    _SLASHES: _slashes,
    _DOTS: _dots,
}
