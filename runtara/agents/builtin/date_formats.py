"""Moments into texts: the named formats and the custom ones, in English whatever the locale. Source: dsl.md §12.9.

Tokens of a custom format::

    yyyy 2026   yy 26   MMMM January   MMM Jan   MM 01   dd 31   EEEE Saturday   EEE Sat   E 6 (Monday is 1)
    HH 00-23    hh 01-12   a AM   mm   ss   SSS milliseconds   W ISO week   o day of the year
    ZZZ +05:30   ZZ +0530   Z the same as ZZZ, or Z in UTC

Everything else stands for itself, as does everything between single quotes: ``hh 'o''clock'``. An apostrophe is
``''`` inside and outside of quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Final, Literal

from runtara.agents.builtin.date_parsing import EPOCH, within_range
from runtara.agents.errors import AgentError

__all__ = ("Format", "format_custom", "format_iso", "format_named", "unix_ms")

Format = Literal[
    "iso8601",
    "rfc2822",
    "date-only",
    "time-only",
    "us-short-date",
    "eu-short-date",
    "long-date",
    "date-time",
    "unix",
    "unix-ms",
    "custom",
]

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def unix_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


@within_range
def format_iso(moment: datetime) -> str:
    """``2026-01-31T08:30:00Z``, or with the offset where there is one. Fractions are dropped."""
    text = _clean(moment).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


@within_range
def format_named(moment: datetime, name: Format) -> str:
    """The text in one of the formats other than ``custom``. Unix times are rounded down."""
    match name:
        case "iso8601" | "custom":
            return format_iso(moment)
        case "rfc2822":
            return format_datetime(_clean(moment))
        case "unix":
            return str(unix_ms(moment) // 1000)
        case "unix-ms":
            return str(unix_ms(moment))
        case _:
            return format_custom(moment, _PATTERNS[name])


@within_range
def format_custom(moment: datetime, pattern: str) -> str:
    """The text in a format of the tokens of this module.

    Raises:
        AgentError: ``DATETIME_INVALID_FORMAT``: a quote is not closed.
    """
    clean = _clean(moment)
    return "".join(_piece(match, clean) for match in _PIECES.finditer(pattern))


def _clean(moment: datetime) -> datetime:
    """The same moment, with an offset of whole minutes: no text has room for the seconds of offsets before 1970."""
    offset = moment.utcoffset() or timedelta(0)
    whole = timedelta(minutes=round(offset / timedelta(minutes=1)))
    return moment if whole == offset else moment.astimezone(timezone(whole))


def _offset(moment: datetime, separator: str) -> str:
    minutes = (moment.utcoffset() or timedelta(0)) // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}{separator}{rest:02}"


_PATTERNS: Final[Mapping[Format, str]] = {
    "date-only": "yyyy-MM-dd",
    "time-only": "HH:mm:ss",
    "us-short-date": "MM/dd/yyyy",
    "eu-short-date": "dd/MM/yyyy",
    "long-date": "MMMM dd, yyyy",
    "date-time": "yyyy-MM-dd HH:mm:ss",
}

_TOKENS: Final[Mapping[str, Callable[[datetime], str]]] = {
    "yyyy": lambda m: f"{m.year:04}",
    "yy": lambda m: f"{m.year % 100:02}",
    "MMMM": lambda m: _MONTHS[m.month - 1],
    "MMM": lambda m: _MONTHS[m.month - 1][:3],
    "MM": lambda m: f"{m.month:02}",
    "dd": lambda m: f"{m.day:02}",
    "EEEE": lambda m: _WEEKDAYS[m.weekday()],
    "EEE": lambda m: _WEEKDAYS[m.weekday()][:3],
    "E": lambda m: str(m.isoweekday()),
    "HH": lambda m: f"{m.hour:02}",
    "hh": lambda m: f"{m.hour % 12 or 12:02}",
    "mm": lambda m: f"{m.minute:02}",
    "ss": lambda m: f"{m.second:02}",
    "SSS": lambda m: f"{m.microsecond // 1000:03}",
    "a": lambda m: "AM" if m.hour < 12 else "PM",
    "W": lambda m: str(m.isocalendar().week),
    "o": lambda m: str(m.timetuple().tm_yday),
    "ZZZ": lambda m: _offset(m, ":"),
    "ZZ": lambda m: _offset(m, ""),
    "Z": lambda m: "Z" if not m.utcoffset() else _offset(m, ":"),
}
"""The longer ones of a letter come first."""

_PIECES: Final = re.compile(r"(?s)''|'(?P<quoted>(?:[^']|'')*)'|(?P<token>" + "|".join(_TOKENS) + r")|.")


def _piece(match: re.Match[str], moment: datetime) -> str:
    if match["token"]:
        return _TOKENS[match["token"]](moment)
    if match["quoted"] is not None:
        return match["quoted"].replace("''", "'")
    if match[0] == "'":
        message = "a quote in the format is not closed; an apostrophe is written twice"
        raise AgentError("DATETIME_INVALID_FORMAT", message, attributes={"position": str(match.start())})
    return "'" if match[0] == "''" else match[0]
