"""Calendar sums: add, difference, parts, rounding. Source: dsl.md §12.9.

Years to days keep what the clock on the wall shows, hours to seconds count time that passes. A wall time that a change
of the clocks skips is that much later.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from runtara.agents.builtin.date_formats import unix_ms
from runtara.agents.builtin.date_parsing import within_range

__all__ = ("ExactUnit", "Part", "RoundMode", "Unit", "add", "difference", "part_of", "round_moment")

Unit = Literal["years", "months", "weeks", "days", "hours", "minutes", "seconds"]
ExactUnit = Literal["years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds"]
RoundMode = Literal["floor", "ceil", "round"]
Part = Literal[
    "year",
    "month",
    "week",
    "day",
    "day-of-week",
    "day-of-year",
    "hour",
    "minute",
    "second",
    "millisecond",
    "quarter",
]

_DAY_MS: Final = 24 * 3600 * 1000
_UNIT_MS: Final[Mapping[ExactUnit, int]] = {
    "years": 365 * _DAY_MS,
    "months": 30 * _DAY_MS,
    "weeks": 7 * _DAY_MS,
    "days": _DAY_MS,
    "hours": 3600 * 1000,
    "minutes": 60 * 1000,
    "seconds": 1000,
    "milliseconds": 1,
}

_ROUNDS_UP: Final[Mapping[Unit, Callable[[datetime], bool]]] = {
    "years": lambda m: m.month >= 7,
    "months": lambda m: m.day >= 16,
    "weeks": lambda m: m.isoweekday() >= 5,
    "days": lambda m: m.hour >= 12,
    "hours": lambda m: m.minute >= 30,
    "minutes": lambda m: m.second >= 30,
    "seconds": lambda m: False,
}

_PARTS: Final[Mapping[Part, Callable[[datetime], int]]] = {
    "year": lambda m: m.year,
    "month": lambda m: m.month,
    "week": lambda m: m.isocalendar().week,
    "day": lambda m: m.day,
    "day-of-week": lambda m: m.isoweekday(),
    "day-of-year": lambda m: m.timetuple().tm_yday,
    "hour": lambda m: m.hour,
    "minute": lambda m: m.minute,
    "second": lambda m: m.second,
    "millisecond": lambda m: m.microsecond // 1000,
    "quarter": lambda m: (m.month + 2) // 3,
}


@within_range
def add(moment: datetime, amount: int, unit: Unit) -> datetime:
    """The moment so many units later, or earlier. A day that the month does not have is its last one.

    Raises:
        AgentError: ``DATETIME_OUT_OF_RANGE``.
    """
    if amount == 0:
        return moment
    match unit:
        case "years":
            return _settled(_months_later(moment, 12 * amount))
        case "months":
            return _settled(_months_later(moment, amount))
        case "weeks" | "days":
            return _settled(moment + timedelta(days=amount * (7 if unit == "weeks" else 1)))
        case _:
            later = moment.astimezone(UTC) + timedelta(seconds=amount * (_UNIT_MS[unit] // 1000))
            return later.astimezone(moment.tzinfo)


def difference(start: datetime, end: datetime, unit: ExactUnit) -> int:
    """Whole units from the start to the end, towards zero. A month has 30 days here, a year 365, a day 24 hours."""
    between = unix_ms(end) - unix_ms(start)
    whole = abs(between) // _UNIT_MS[unit]
    return whole if between >= 0 else -whole


def part_of(moment: datetime, part: Part) -> int:
    """One number of a date. The week is that of ISO 8601, Monday is day 1 of it."""
    return _PARTS[part](moment)


@within_range
def round_moment(moment: datetime, unit: Unit, mode: RoundMode) -> datetime:
    """The last boundary of the unit up to the moment (floor), the first one from it on (ceil), or the nearer (round).

    Near is: from July, the 16th, Friday, 12 h, 30 min, 30 s on, it is the next. Seconds are not rounded.

    Raises:
        AgentError: ``DATETIME_OUT_OF_RANGE``.
    """
    start = _start_of(moment, unit)
    if mode == "floor" or _same(start, moment) or (mode == "round" and not _ROUNDS_UP[unit](moment)):
        return start
    later = add(start, 1, unit)
    end = _start_of(later, unit)  # again, for a start that the clocks had skipped to
    # An hour in which the clocks go back by half of one is longer than an hour.
    return end if end.astimezone(UTC) >= moment.astimezone(UTC) else _start_of(add(later, 1, unit), unit)


def _months_later(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("the year is out of range")
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day, fold=0)


def _start_of(moment: datetime, unit: Unit) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match unit:
        case "years":
            return _settled(midnight.replace(month=1, day=1))
        case "months":
            return _settled(midnight.replace(day=1))
        case "weeks":
            return _settled(midnight - timedelta(days=midnight.weekday()))
        case "days":
            return _settled(midnight)
        case "hours":
            return _settled_before(moment, moment.replace(minute=0, second=0, microsecond=0))
        case "minutes":
            return _settled_before(moment, moment.replace(second=0, microsecond=0))
        case "seconds":
            return moment


def _settled(moment: datetime) -> datetime:
    """The same wall time, or where the clocks skip it, the one that is as much later."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def _settled_before(moment: datetime, start: datetime) -> datetime:
    """The start, settled; as much earlier, where later would be after the moment: clocks may go forward at 00:01."""
    settled = _settled(start)
    return settled if settled.astimezone(UTC) <= moment.astimezone(UTC) else _settled(start.replace(fold=1))


def _same(one: datetime, other: datetime) -> bool:
    # Within one zone, == compares wall times, of which two moments may have the same.
    return one.astimezone(UTC) == other.astimezone(UTC)
