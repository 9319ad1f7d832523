"""``datetime``: tables of dates in and out, and laws of rounding over all zones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara.agents import AgentError, registry
from runtara.agents.builtin.date_arithmetic import RoundMode, Unit, add, difference, round_moment
from runtara.agents.builtin.date_formats import Format, format_custom, format_iso, unix_ms
from runtara.agents.builtin.date_parsing import EPOCH, parse_moment, parse_zone
from tests.unit.agents.test_capability import new_context

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia", "+05:45")
NOON = "2024-01-15T14:30:45.678Z"


async def call(capability_id: str, **inputs: Any) -> Any:
    found = registry().find_capability("datetime", capability_id)
    assert found is not None
    return msgspec.to_builtins(await found.call(inputs, new_context()))


async def code_of(capability_id: str, **inputs: Any) -> str:
    with pytest.raises(AgentError) as raised:
        await call(capability_id, **inputs)
    assert raised.value.category == "permanent"
    return raised.value.code


# ---- what a date looks like


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-01-15T14:30:00Z", "2024-01-15T14:30:00Z"),
        ("2024-01-15t14:30:00z", "2024-01-15T14:30:00Z"),
        (" 2024-01-15 14:30:00 ", "2024-01-15T14:30:00Z"),
        ("2024-01-15T14:30", "2024-01-15T14:30:00Z"),
        ("2024-01-15T14:30:00.999999999999Z", "2024-01-15T14:30:00Z"),
        ("2024-01-15T14:30:00+05:30", "2024-01-15T14:30:00+05:30"),
        ("2024-01-15T14:30:00 -0800", "2024-01-15T14:30:00-08:00"),
        ("2024-01-15T14:30:00+01", "2024-01-15T14:30:00+01:00"),
        ("2024-01-15T14:30:00+00:00", "2024-01-15T14:30:00Z"),
        ("2024-01-15", "2024-01-15T00:00:00Z"),
        ("2024-2-29", "2024-02-29T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("Mon, 15 Jan 2024 14:30:00 +0100", "2024-01-15T14:30:00+01:00"),
        ("15 Jan 2024 14:30 EST", "2024-01-15T14:30:00-05:00"),
        ("Mon, 15 Jan 2024 14:30:00 GMT", "2024-01-15T14:30:00Z"),
        ("10/22/25", "2025-10-22T00:00:00Z"),
        ("3/4/2024", "2024-03-04T00:00:00Z"),
        ("25/12/24", "2024-12-25T00:00:00Z"),
        ("22.10.25", "2025-10-22T00:00:00Z"),
        ("4.3.2024", "2024-03-04T00:00:00Z"),
        ("01/15/68", "2068-01-15T00:00:00Z"),
        ("01/15/69", "1969-01-15T00:00:00Z"),
        ("01/15/99", "1999-01-15T00:00:00Z"),
        ("01/15/00", "2000-01-15T00:00:00Z"),
        ("0", "1970-01-01T00:00:00Z"),
        ("1705329000", "2024-01-15T14:30:00Z"),
        ("1705329000000", "2024-01-15T14:30:00Z"),
        ("-1705329000000", "1915-12-18T09:30:00Z"),
        (1705329000, "2024-01-15T14:30:00Z"),
        (1705329000.0, "2024-01-15T14:30:00Z"),
        ("-1", "1969-12-31T23:59:59Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
async def test_a_date_has_one_of_many_forms(text: Any, iso: str) -> None:
    assert await call("format-date", date=text) == iso


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "not-a-date", "2023-02-29", "2024-13-01", "0000-01-01", "2024-01-15T24:00:00Z"),
        *("2024-01-15T14:30:61Z", "2024-01-15T14:30:00+24:00", "2024-01-15T14:30:00+05:60", "2024-01-15Z"),
        *("Tue, 15 Jan 2024 14:30:00 GMT", "15 Foo 2024 14:30:00 GMT", "15 Jan 2024 14:30:00 XYZ", "13/13/24"),
        *("29.2.23", "1.5", "1e3", "٢٠٢٤-٠١-١٥", "9" * 31, "2024-01-15\n2024-01-16", "1" * 100_000),
    ],
)
async def test_what_is_no_date_is_refused(text: str) -> None:
    assert await code_of("format-date", date=text) == "DATETIME_PARSE_ERROR"


@pytest.mark.parametrize(
    "text", ["999999999999", "9" * 30, "-99999999999999999", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"]
)
async def test_dates_outside_the_years_1_to_9999_are_refused(text: str) -> None:
    assert await code_of("format-date", date=text) == "DATETIME_OUT_OF_RANGE"


@pytest.mark.parametrize("capability_id", ["format-date", "add-to-date", "extract-date-part", "date-to-unix"])
async def test_a_date_is_required(capability_id: str) -> None:
    assert await code_of(capability_id) == "INPUT_DESERIALIZATION_ERROR"
    assert await code_of(capability_id, date=None) == "INPUT_DESERIALIZATION_ERROR"
    assert await code_of(capability_id, date=[]) == "INPUT_DESERIALIZATION_ERROR"


# ---- zones


@pytest.mark.parametrize(
    ("zone", "iso"),
    [
        (None, "2024-07-01T12:00:00Z"),
        (" ", "2024-07-01T12:00:00Z"),
        ("UTC", "2024-07-01T12:00:00Z"),
        ("z", "2024-07-01T12:00:00Z"),
        ("+05:30", "2024-07-01T17:30:00+05:30"),
        ("-0330", "2024-07-01T08:30:00-03:30"),
        ("Europe/Berlin", "2024-07-01T14:00:00+02:00"),
        ("America/Argentina/Buenos_Aires", "2024-07-01T09:00:00-03:00"),
        ("Etc/GMT+5", "2024-07-01T07:00:00-05:00"),
    ],
)
async def test_a_date_is_shown_in_the_zone_asked_for(zone: str | None, iso: str) -> None:
    assert await call("format-date", date="2024-07-01T12:00:00Z", timezone=zone) == iso


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("2024-01-15T12:00:00Z", "2024-01-15T07:00:00-05:00"),
        ("2024-07-15T12:00:00Z", "2024-07-15T08:00:00-04:00"),
        ("2024-03-10T06:59:59Z", "2024-03-10T01:59:59-05:00"),
        ("2024-03-10T07:00:00Z", "2024-03-10T03:00:00-04:00"),
        ("2024-11-03T05:30:00Z", "2024-11-03T01:30:00-04:00"),
        ("2024-11-03T06:30:00Z", "2024-11-03T01:30:00-05:00"),
    ],
)
async def test_the_offset_of_a_zone_is_that_of_the_date(date: str, iso: str) -> None:
    assert await call("format-date", date=date, timezone="America/New_York") == iso


async def test_an_offset_with_seconds_is_rounded_and_the_moment_stays() -> None:
    shown = await call("format-date", date="1850-01-01T00:00:00Z", timezone="Europe/Berlin")
    assert shown == "1850-01-01T00:53:00+00:53"
    assert parse_moment(shown) == datetime(1850, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "Europe", "+24:00", "+01:60", "+1", "../../etc/passwd", "/etc/passwd", "ü", "A" * 99_999]
)
async def test_what_is_no_zone_is_refused(zone: str) -> None:
    assert await code_of("format-date", date="0", timezone=zone) == "DATETIME_INVALID_TIMEZONE"
    assert await code_of("get-current-date", timezone=zone) == "DATETIME_INVALID_TIMEZONE"


async def test_a_zone_does_not_lead_out_of_the_years() -> None:
    last = "9999-12-31T23:59:59Z"
    assert await code_of("format-date", date=last, timezone="Asia/Tokyo") == "DATETIME_OUT_OF_RANGE"
    assert await call("format-date", date=last, timezone="-01:00") == "9999-12-31T22:59:59-01:00"


# ---- get-current-date


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ({}, "2026-01-01T00:00:00Z"),
        ({"includeTime": False}, "2026-01-01"),
        ({"includeTime": "no"}, "2026-01-01"),
        ({"include_time": False, "timezone": "America/New_York"}, "2025-12-31"),
        ({"timezone": "Asia/Kolkata"}, "2026-01-01T05:30:00+05:30"),
        ({"timezone": None}, "2026-01-01T00:00:00Z"),
    ],
)
async def test_the_current_date_is_that_of_the_clock(inputs: dict[str, Any], output: str) -> None:
    assert await call("get-current-date", **inputs) == output


# ---- format-date


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("iso8601", "2024-01-05T14:30:45Z"),
        ("rfc2822", "Fri, 05 Jan 2024 14:30:45 +0000"),
        ("date-only", "2024-01-05"),
        ("time-only", "14:30:45"),
        ("us-short-date", "01/05/2024"),
        ("eu-short-date", "05/01/2024"),
        ("long-date", "January 05, 2024"),
        ("date-time", "2024-01-05 14:30:45"),
        ("unix", "1704465045"),
        ("unix-ms", "1704465045678"),
    ],
)
async def test_a_format_has_a_name(name: str, text: str) -> None:
    assert await call("format-date", date="2024-01-05T14:30:45.678Z", format=name) == text


def test_every_format_is_tested() -> None:
    assert len(get_args(Format)) == 11


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy/MM/dd", "2024/01/05"),
        ("yyyyMMddHHmmssSSS", "20240105200045678"),
        ("yy MMM MMMM EEE EEEE E", "24 Jan January Fri Friday 5"),
        ("hh:mm a", "08:00 PM"),
        ("'W'W 'day' o", "W1 day 5"),
        ("ZZZ ZZ Z", "+05:30 +0530 +05:30"),
        ("yyyy-MM-ddTHH:mm:ssZ", "2024-01-05T20:00:45+05:30"),
        ("hh 'o''clock'", "08 o'clock"),
        ("dd 'de' MMMM", "05 de January"),
        ("''yy'' M d é 🙂\n", "'24' M d é 🙂\n"),
        ("'' '''a'''", "' 'a'"),
    ],
)
async def test_a_custom_format_has_tokens_and_quoted_text(pattern: str, text: str) -> None:
    inputs = {"date": "2024-01-05T14:30:45.678Z", "timezone": "Asia/Kolkata", "format": "custom"}
    assert await call("format-date", **inputs, customFormat=pattern) == text
    assert await call("format-date", **inputs, custom_format=pattern) == text


@pytest.mark.parametrize(("hour", "text"), [(0, "12 AM"), (1, "01 AM"), (12, "12 PM"), (13, "01 PM"), (23, "11 PM")])
def test_noon_and_midnight_are_twelve(hour: int, text: str) -> None:
    assert format_custom(datetime(2024, 1, 1, hour, tzinfo=UTC), "hh a") == text


def test_utc_is_shown_by_a_letter() -> None:
    assert format_custom(datetime(7, 1, 1, tzinfo=UTC), "yyyy-MM-ddTHH:mm:ssZ") == "0007-01-01T00:00:00Z"


@pytest.mark.parametrize("pattern", [None, "", "HH 'o", "o'clock", "'''"])
async def test_a_custom_format_is_given_and_its_quotes_are_closed(pattern: str | None) -> None:
    assert await code_of("format-date", date="0", format="custom", customFormat=pattern) == "DATETIME_INVALID_FORMAT"


async def test_a_format_that_has_another_name_is_refused() -> None:
    assert await code_of("format-date", date="0", format="ISO") == "INPUT_DESERIALIZATION_ERROR"


# ---- add-to-date, subtract-from-date


@pytest.mark.parametrize(
    ("date", "amount", "unit", "output"),
    [
        ("2024-01-31", 1, "months", "2024-02-29T00:00:00Z"),
        ("2023-01-31", 1, "months", "2023-02-28T00:00:00Z"),
        ("2024-03-31", -1, "months", "2024-02-29T00:00:00Z"),
        ("2024-12-15", 1, "months", "2025-01-15T00:00:00Z"),
        ("2024-01-15", -13, "months", "2022-12-15T00:00:00Z"),
        ("2024-02-29", 1, "years", "2025-02-28T00:00:00Z"),
        ("2024-02-29", 4, "years", "2028-02-29T00:00:00Z"),
        ("2024-02-28", 1, "days", "2024-02-29T00:00:00Z"),
        ("2023-02-28", "1", "days", "2023-03-01T00:00:00Z"),
        ("2024-01-01", 2, "weeks", "2024-01-15T00:00:00Z"),
        ("2024-01-01", 25, "hours", "2024-01-02T01:00:00Z"),
        ("2024-01-01", -90, "minutes", "2023-12-31T22:30:00Z"),
        ("2024-01-01T00:00:00.9Z", 86_400, "seconds", "2024-01-02T00:00:00Z"),
        ("2024-01-01T00:00:00+02:00", 0, "years", "2024-01-01T00:00:00+02:00"),
    ],
)
async def test_units_are_added(date: str, amount: Any, unit: str, output: str) -> None:
    assert await call("add-to-date", date=date, amount=amount, unit=unit) == output
    assert await call("subtract-from-date", date=date, amount=-int(amount), unit=unit) == output


async def test_without_an_amount_nothing_is_added() -> None:
    assert await call("add-to-date", date="2024-01-01") == "2024-01-01T00:00:00Z"
    assert await call("subtract-from-date", date="2024-01-02", amount=1) == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("date", "amount", "unit", "output"),
    [
        ("2024-03-09T12:00:00-05:00", 1, "days", "2024-03-10T12:00:00-04:00"),
        ("2024-03-09T12:00:00-05:00", 24, "hours", "2024-03-10T13:00:00-04:00"),
        ("2024-03-09T02:30:00-05:00", 1, "days", "2024-03-10T03:30:00-04:00"),
        ("2024-02-10T02:30:00-05:00", 1, "months", "2024-03-10T03:30:00-04:00"),
        ("2024-03-10T01:59:59-05:00", 1, "seconds", "2024-03-10T03:00:00-04:00"),
        ("2024-11-02T01:30:00-04:00", 1, "days", "2024-11-03T01:30:00-04:00"),
        ("2024-11-03T01:30:00-04:00", 60, "minutes", "2024-11-03T01:30:00-05:00"),
        ("2024-11-03T01:30:00-05:00", 0, "days", "2024-11-03T01:30:00-05:00"),
    ],
)
async def test_days_keep_the_time_on_the_wall_and_hours_pass(date: str, amount: int, unit: str, output: str) -> None:
    assert await call("add-to-date", date=date, amount=amount, unit=unit, timezone="America/New_York") == output


@pytest.mark.parametrize("unit", get_args(Unit))
async def test_a_sum_outside_the_years_1_to_9999_is_refused(unit: str) -> None:
    for amount in (10**13, 10**40):
        assert await code_of("add-to-date", date="0", amount=amount, unit=unit) == "DATETIME_OUT_OF_RANGE"
        assert await code_of("subtract-from-date", date="0", amount=amount, unit=unit) == "DATETIME_OUT_OF_RANGE"


@pytest.mark.parametrize("inputs", [{"unit": "day"}, {"unit": None}, {"amount": 1.5}, {"amount": "x"}, {"Amount": 1}])
async def test_other_units_and_amounts_are_refused(inputs: dict[str, Any]) -> None:
    assert await code_of("add-to-date", date="0", **inputs) == "INPUT_DESERIALIZATION_ERROR"


# ---- get-time-between


@pytest.mark.parametrize(
    ("start", "end", "unit", "whole", "exact_ms"),
    [
        ("2024-01-01", "2024-01-31", "days", 30, 30 * 86_400_000),
        ("2024-01-31", "2024-01-01", "days", -30, -30 * 86_400_000),
        ("2024-01-01T00:00:00Z", "2024-01-01T23:59:59.999Z", "days", 0, 86_399_999),
        ("2024-01-02", "2024-01-01T00:00:01Z", "days", 0, -86_399_000),
        ("2024-02-28", "2024-03-01", "days", 2, 2 * 86_400_000),
        ("2023-02-28", "2023-03-01", "hours", 24, 86_400_000),
        ("2023-01-01", "2024-01-01", "years", 1, 365 * 86_400_000),
        ("2024-01-01", "2024-12-30", "years", 0, 364 * 86_400_000),
        ("2024-01-01", "2024-03-01", "months", 2, 60 * 86_400_000),
        ("2024-01-01", "2024-01-14", "weeks", 1, 13 * 86_400_000),
        ("2024-01-01T12:00:00+02:00", "2024-01-01T12:00:00Z", "minutes", 120, 7_200_000),
        ("1704067200", "1704067200500", "seconds", 0, 500),
        ("2024-01-01", "2024-01-01", "milliseconds", 0, 0),
    ],
)
async def test_the_time_between_is_in_whole_units(start: str, end: str, unit: str, whole: int, exact_ms: int) -> None:
    expected = {"difference": whole, "unit": unit, "exactMs": exact_ms}
    assert await call("get-time-between", startDate=start, endDate=end, unit=unit) == expected
    assert await call("get-time-between", start_date=start, end_date=end, unit=unit) == expected


async def test_both_dates_are_needed() -> None:
    assert await code_of("get-time-between", startDate="0") == "INPUT_DESERIALIZATION_ERROR"
    assert await code_of("get-time-between", startDate="0", endDate=None) == "INPUT_DESERIALIZATION_ERROR"
    assert await code_of("get-time-between", startDate="0", endDate="") == "DATETIME_PARSE_ERROR"


# ---- extract-date-part


@pytest.mark.parametrize(
    ("date", "part", "number"),
    [
        ("2024-12-31T23:59:58.987Z", "year", 2024),
        ("2024-12-31T23:59:58.987Z", "month", 12),
        ("2024-12-31T23:59:58.987Z", "day", 31),
        ("2024-12-31T23:59:58.987Z", "day-of-year", 366),
        ("2023-12-31T23:59:58.987Z", "day-of-year", 365),
        ("2024-12-31T23:59:58.987Z", "week", 1),
        ("2021-01-01", "week", 53),
        ("2024-01-01", "day-of-week", 1),
        ("2024-01-07", "day-of-week", 7),
        ("2024-12-31T23:59:58.987Z", "hour", 23),
        ("2024-12-31T23:59:58.987Z", "minute", 59),
        ("2024-12-31T23:59:58.987Z", "second", 58),
        ("2024-12-31T23:59:58.987Z", "millisecond", 987),
        ("2024-03-31", "quarter", 1),
        ("2024-04-01", "quarter", 2),
        ("2024-12-31", "quarter", 4),
    ],
)
async def test_a_date_has_parts(date: str, part: str, number: int) -> None:
    assert await call("extract-date-part", date=date, part=part) == number


async def test_a_part_is_that_of_the_zone() -> None:
    inputs = {"date": "2024-03-10T06:30:00Z", "part": "hour"}
    assert await call("extract-date-part", **inputs, timezone="America/New_York") == 1
    assert await call("extract-date-part", **inputs, timezone="+05:45") == 12
    assert await call("extract-date-part", date="2024-01-15") == 15
    assert await code_of("extract-date-part", date="0", part="era") == "INPUT_DESERIALIZATION_ERROR"


# ---- round-date


@pytest.mark.parametrize(
    ("date", "unit", "floor", "ceil", "rounded"),
    [
        ("2024-06-30T23:59:59Z", "years", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "floor"),
        ("2024-07-01T00:00:00Z", "years", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "ceil"),
        ("2024-02-15T23:00:00Z", "months", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "floor"),
        ("2024-12-16T00:00:00Z", "months", "2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z", "ceil"),
        ("2024-02-29T23:00:00Z", "weeks", "2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z", "floor"),
        ("2024-03-01T00:00:00Z", "weeks", "2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z", "ceil"),
        ("2024-02-28T11:59:59Z", "days", "2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z", "floor"),
        ("2024-02-28T12:00:00Z", "days", "2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z", "ceil"),
        ("2024-02-28T23:29:59Z", "hours", "2024-02-28T23:00:00Z", "2024-02-29T00:00:00Z", "floor"),
        ("2024-02-28T23:30:00Z", "hours", "2024-02-28T23:00:00Z", "2024-02-29T00:00:00Z", "ceil"),
        ("2024-02-28T23:59:29Z", "minutes", "2024-02-28T23:59:00Z", "2024-02-29T00:00:00Z", "floor"),
        ("2024-02-28T23:59:30Z", "minutes", "2024-02-28T23:59:00Z", "2024-02-29T00:00:00Z", "ceil"),
        ("2024-02-28T23:59:30.9Z", "seconds", "2024-02-28T23:59:30Z", "2024-02-28T23:59:30Z", "floor"),
        ("2024-01-01T00:00:00Z", "years", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "ceil"),
    ],
)
async def test_dates_are_rounded(date: str, unit: str, floor: str, ceil: str, rounded: str) -> None:
    assert await call("round-date", date=date, unit=unit) == floor
    assert await call("round-date", date=date, unit=unit, mode="ceil") == ceil
    assert await call("round-date", date=date, unit=unit, mode="round") == {"floor": floor, "ceil": ceil}[rounded]


@pytest.mark.parametrize(
    ("zone", "date", "unit", "floor", "ceil"),
    [
        ("America/New_York", "2024-03-10T12:00:00Z", "days", "2024-03-10T00:00:00-05:00", "2024-03-11T00:00:00-04:00"),
        ("America/New_York", "2024-11-03T06:30:00Z", "hours", "2024-11-03T01:00:00-05:00", "2024-11-03T02:00:00-05:00"),
        ("America/New_York", "2024-11-03T05:30:00Z", "hours", "2024-11-03T01:00:00-04:00", "2024-11-03T01:00:00-05:00"),
        (
            "America/Goose_Bay",
            "2005-04-03T04:20:00Z",
            "hours",
            "2005-04-03T00:00:00-04:00",
            "2005-04-03T02:00:00-03:00",
        ),
        ("Asia/Beirut", "2024-03-31T12:00:00Z", "days", "2024-03-31T01:00:00+03:00", "2024-04-01T00:00:00+03:00"),
        ("Pacific/Apia", "2011-12-29T12:00:00-10:00", "days", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"),
    ],
)
async def test_a_day_begins_when_it_begins_in_the_zone(zone: str, date: str, unit: str, floor: str, ceil: str) -> None:
    assert await call("round-date", date=date, unit=unit, timezone=zone) == floor
    assert await call("round-date", date=date, unit=unit, timezone=zone, mode="ceil") == ceil


async def test_rounding_does_not_lead_out_of_the_years() -> None:
    assert await code_of("round-date", date="9999-12-31T01:00:00Z", mode="ceil") == "DATETIME_OUT_OF_RANGE"
    assert await call("round-date", date="0001-01-03", unit="weeks") == "0001-01-01T00:00:00Z"
    assert await code_of("round-date", date="") == "DATETIME_PARSE_ERROR"
    assert await code_of("round-date", date="0", mode="nearest") == "INPUT_DESERIALIZATION_ERROR"


MOMENTS = st.builds(
    lambda seconds, zone: (EPOCH + timedelta(seconds=seconds)).astimezone(parse_zone(zone)),
    st.floats(-5.4e9, 7.2e9),
    st.sampled_from(ZONES),
)
CHANGES = st.builds(
    lambda seconds, zone: (datetime(2024, 4, 6, 15, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(
        ZoneInfo(zone)
    ),
    st.integers(-7200, 7200),
    st.just("Australia/Lord_Howe"),
)


@given(MOMENTS | CHANGES, st.sampled_from(get_args(Unit)[:-1]))
def test_a_moment_is_between_its_floor_and_its_ceiling(moment: datetime, unit: Unit) -> None:
    floor, ceil = (round_moment(moment, unit, mode).astimezone(UTC) for mode in ("floor", "ceil"))
    assert floor <= moment.astimezone(UTC) <= ceil
    assert round_moment(floor.astimezone(moment.tzinfo), unit, "floor").astimezone(UTC) == floor
    assert round_moment(ceil.astimezone(moment.tzinfo), unit, "ceil").astimezone(UTC) == ceil
    assert round_moment(moment, unit, "round").astimezone(UTC) in (floor, ceil)


# ---- date-to-unix, unix-to-date


@pytest.mark.parametrize(
    ("date", "milliseconds", "timestamp"),
    [
        (NOON, False, 1705329045),
        (NOON, True, 1705329045678),
        ("1970-01-01", "true", 0),
        ("1969-12-31T23:59:59.999Z", False, -1),
        ("1969-12-31T23:59:59.999Z", True, -1),
        ("2024-02-29T00:00:00+01:00", False, 1709161200),
        ("1705329045", False, 1705329045),
    ],
)
async def test_a_date_becomes_a_unix_time(date: str, milliseconds: Any, timestamp: int) -> None:
    found = await call("date-to-unix", date=date, milliseconds=milliseconds)
    assert found == {"timestamp": timestamp, "isMilliseconds": milliseconds not in (False, "false")}


@pytest.mark.parametrize(
    ("inputs", "iso"),
    [
        ({"timestamp": 0}, "1970-01-01T00:00:00Z"),
        ({"timestamp": "1705329045"}, "2024-01-15T14:30:45Z"),
        ({"timestamp": 1705329045678}, "2024-01-15T14:30:45Z"),
        ({"timestamp": 1705329045678, "isMilliseconds": None}, "2024-01-15T14:30:45Z"),
        ({"timestamp": 1000, "isMilliseconds": True}, "1970-01-01T00:00:01Z"),
        ({"timestamp": -1, "is_milliseconds": True}, "1969-12-31T23:59:59Z"),
        ({"timestamp": 1720000000, "timezone": "Europe/Berlin"}, "2024-07-03T11:46:40+02:00"),
        ({"timestamp": 1710054000, "timezone": "America/New_York"}, "2024-03-10T03:00:00-04:00"),
    ],
)
async def test_a_unix_time_becomes_a_date(inputs: dict[str, Any], iso: str) -> None:
    assert await call("unix-to-date", **inputs) == iso


async def test_unix_times_that_are_none_are_refused() -> None:
    assert await code_of("unix-to-date", timestamp=10**40) == "DATETIME_OUT_OF_RANGE"
    assert await code_of("unix-to-date", timestamp=10**12) == "DATETIME_OUT_OF_RANGE"
    assert await code_of("unix-to-date", timestamp=1705329045678, isMilliseconds=False) == "DATETIME_OUT_OF_RANGE"
    for timestamp in (None, "", "x", 1.5, []):
        assert await code_of("unix-to-date", timestamp=timestamp) == "INPUT_DESERIALIZATION_ERROR"


# ---- laws


@given(MOMENTS)
def test_a_date_that_was_written_is_read_as_the_same(moment: datetime) -> None:
    assert parse_moment(format_iso(moment)) == moment.astimezone(UTC).replace(microsecond=0)


@given(MOMENTS, MOMENTS)
def test_the_time_between_turns_with_its_ends(start: datetime, end: datetime) -> None:
    assert difference(start, end, "hours") == -difference(end, start, "hours")
    reached = add(start, difference(start, end, "seconds"), "seconds")
    assert abs(unix_ms(end) - unix_ms(reached)) <= 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
LIKELY = st.sampled_from(
    [
        *(NOON, "0001-01-01", "9999-12-31T23:59:59.999999Z", "1/2/03", "0", 10**12, -62135596800, "''yyyy'", "W"),
        *(*ZONES, *get_args(Format), *get_args(Unit), *get_args(RoundMode)),
    ]
)


@given(st.data())
async def test_any_inputs_give_json_or_an_agent_error(data: st.DataObject) -> None:
    agent = registry().find("datetime")
    assert agent is not None
    found = data.draw(st.sampled_from(sorted(agent.capabilities.values(), key=lambda each: each.info.id)))
    names = [field.name for field in found.info.inputs]
    inputs = data.draw(st.dictionaries(st.sampled_from(names), LIKELY | JSON, min_size=len(names) - 1))
    try:
        json.dumps(msgspec.to_builtins(await found.call(inputs, new_context())), allow_nan=False)
    except AgentError as error:
        assert error.code.startswith(("DATETIME_", "INPUT_"))  # noqa: PT017 - both ends are right


def test_unix_milliseconds_are_rounded_down() -> None:
    assert unix_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)) == -1
