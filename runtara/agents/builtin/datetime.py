"""Dates: read, write, add, compare, round. Source: dsl.md §12.9.

A date without an offset is in UTC; a date keeps its offset unless a time zone is given. The offset of a zone is that
of the date, not of today.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from runtara.agents.builtin.date_arithmetic import (
    ExactUnit,
    Part,
    RoundMode,
    Unit,
    add,
    difference,
    part_of,
    round_moment,
)
from runtara.agents.builtin.date_formats import Format, format_custom, format_iso, format_named, unix_ms
from runtara.agents.builtin.date_parsing import parse_moment, parse_zone, unix_moment, within_range
from runtara.agents.capability import agent, capability
from runtara.agents.context import CallContext
from runtara.agents.errors import AgentError

__all__ = (
    "Between",
    "CurrentDate",
    "DateTime",
    "ExtractPart",
    "FormatDate",
    "FromUnix",
    "MoveDate",
    "RoundDate",
    "TimeBetween",
    "UnixTime",
)

Date = Annotated[
    str,
    Meta(description="RFC 3339, a Unix time, RFC 2822, m/d/y, d.m.y.", examples=["2026-01-31T08:30:00Z"]),
]
Zone = Annotated[
    str | None,
    Meta(description="UTC, an offset such as +02:00, or an IANA name.", examples=["Europe/Berlin"]),
]


class _Inputs(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Inputs are named as JavaScript would; under the names of Python they are taken too."""


class _Dated(_Inputs, frozen=True, kw_only=True):
    date: Date
    timezone: Zone = None

    def moment(self) -> datetime:
        """The date in its time zone."""
        return _in_zone(parse_moment(self.date), self.timezone)


class CurrentDate(_Inputs, frozen=True, kw_only=True):
    """The inputs of ``get-current-date``."""

    include_time: Annotated[
        bool, Meta(description="Without, only the date is given.", extra={"aliases": ("include_time",)})
    ] = True
    timezone: Zone = None


class FormatDate(_Dated, frozen=True, kw_only=True):
    """The inputs of ``format-date``."""

    format: Annotated[Format, Meta(description="With custom, customFormat says how.")] = "iso8601"
    custom_format: Annotated[
        str | None,
        Meta(
            description="Tokens such as yyyy, MM, dd, HH, mm, ss; other text in single quotes.",
            examples=["dd.MM.yyyy HH:mm"],
            extra={"aliases": ("custom_format",)},
        ),
    ] = None


class MoveDate(_Dated, frozen=True, kw_only=True):
    """The inputs of ``add-to-date`` and ``subtract-from-date``."""

    amount: Annotated[int, Meta(description="How many units.")] = 0
    unit: Annotated[Unit, Meta(description="Years to days keep the time on the wall.")] = "days"


class Between(_Inputs, frozen=True, kw_only=True):
    """The inputs of ``get-time-between``."""

    start_date: Annotated[Date, Meta(extra={"aliases": ("start_date",)})]
    end_date: Annotated[Date, Meta(extra={"aliases": ("end_date",)})]
    unit: Annotated[ExactUnit, Meta(description="A month counts 30 days, a year 365.")] = "days"


class TimeBetween(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The output of ``get-time-between``."""

    difference: int
    """Whole units, towards zero; negative where the end is before the start."""
    unit: ExactUnit
    exact_ms: int


class ExtractPart(_Dated, frozen=True, kw_only=True):
    """The inputs of ``extract-date-part``."""

    part: Annotated[Part, Meta(description="The week is that of ISO 8601; Monday is day 1.")] = "day"


class RoundDate(_Dated, frozen=True, kw_only=True):
    """The inputs of ``round-date``."""

    unit: Annotated[Unit, Meta(description="What is to be whole. A week begins on Monday.")] = "days"
    mode: Annotated[RoundMode, Meta(description="Down, up, or to the nearer.")] = "floor"


class UnixTime(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The output of ``date-to-unix``."""

    timestamp: int
    is_milliseconds: bool


class FromUnix(_Inputs, frozen=True, kw_only=True):
    """The inputs of ``unix-to-date``."""

    timestamp: Annotated[int, Meta(description="Since 1970.", examples=[1769848200])]
    is_milliseconds: Annotated[
        bool | None,
        Meta(description="By default, if the number is beyond 10^12.", extra={"aliases": ("is_milliseconds",)}),
    ] = None
    timezone: Zone = None


@agent(id="datetime", name="Date and time")
class DateTime:
    """Read, write, add, compare and round dates."""

    @capability(side_effects=False, idempotent=False)
    def get_current_date(self, inputs: CurrentDate, context: CallContext) -> str:
        """The date and time now."""
        now = _in_zone(context.clock.now(), inputs.timezone)
        return format_named(now, "iso8601" if inputs.include_time else "date-only")

    @capability(side_effects=False)
    def format_date(self, inputs: FormatDate) -> str:
        """The date as a text."""
        moment = inputs.moment()
        if inputs.format != "custom":
            return format_named(moment, inputs.format)
        if not inputs.custom_format:
            raise AgentError("DATETIME_INVALID_FORMAT", "the format is custom, and customFormat is not given")
        return format_custom(moment, inputs.custom_format)

    @capability(side_effects=False)
    def add_to_date(self, inputs: MoveDate) -> str:
        """A later date. A day that the month does not have is its last one."""
        return format_iso(add(inputs.moment(), inputs.amount, inputs.unit))

    @capability(side_effects=False)
    def subtract_from_date(self, inputs: MoveDate) -> str:
        """An earlier date. A day that the month does not have is its last one."""
        return format_iso(add(inputs.moment(), -inputs.amount, inputs.unit))

    @capability(side_effects=False)
    def get_time_between(self, inputs: Between) -> TimeBetween:
        """How long it is from one date to another."""
        start, end = parse_moment(inputs.start_date), parse_moment(inputs.end_date)
        return TimeBetween(
            difference=difference(start, end, inputs.unit),
            unit=inputs.unit,
            exact_ms=unix_ms(end) - unix_ms(start),
        )

    @capability(side_effects=False)
    def extract_date_part(self, inputs: ExtractPart) -> int:
        """One number of a date: its year, hour, week, and so on."""
        return part_of(inputs.moment(), inputs.part)

    @capability(side_effects=False)
    def round_date(self, inputs: RoundDate) -> str:
        """The beginning of the date's year, day or hour, or of the next one."""
        return format_iso(round_moment(inputs.moment(), inputs.unit, inputs.mode))

    @capability(side_effects=False)
    def date_to_unix(
        self, date: Date, milliseconds: Annotated[bool, Meta(description="Instead of seconds.")] = False
    ) -> UnixTime:
        """Seconds or milliseconds since 1970, rounded down."""
        passed_ms = unix_ms(parse_moment(date))
        return UnixTime(timestamp=passed_ms if milliseconds else passed_ms // 1000, is_milliseconds=milliseconds)

    @capability(side_effects=False)
    def unix_to_date(self, inputs: FromUnix) -> str:
        """The date of seconds or milliseconds since 1970."""
        return format_iso(_in_zone(unix_moment(inputs.timestamp, milliseconds=inputs.is_milliseconds), inputs.timezone))


@within_range
def _in_zone(moment: datetime, name: str | None) -> datetime:
    return moment if name is None or not name.strip() else moment.astimezone(parse_zone(name))
