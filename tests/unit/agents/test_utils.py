"""``utils``: arithmetic, dates and countries. Chance, delays and what passes through are in ``test_builtin.py``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from runtara.agents import AgentError
from runtara.agents.builtin.countries import NAME_CHARACTERS_MAX, find_country
from runtara.agents.builtin.country_names import COUNTRIES
from runtara.agents.builtin.expressions import BRACKETS_NESTED_MAX, EXPRESSION_CHARACTERS_MAX
from tests.unit.agents.fuzzing import assert_explained, fuzz, ids_of, texts
from tests.unit.agents.test_builtin import call


async def refused(capability_id: str, **inputs: Any) -> str:
    with pytest.raises(AgentError) as caught:
        await call(f"utils/{capability_id}", inputs)
    assert caught.value.category == "permanent"
    return caught.value.code


# ---- arithmetic

VARIABLES = {"x": -5, "half": "0.5", "größe": 2, "order.total": "1e2", "big": 10**400, "no": None, "yes": True}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("7", 7.0),
        (" 1 + 2*3 ", 7.0),
        ("(1+2)*3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("2 * 12 / 3 / 4", 2.0),
        ("7 % 4 * 2", 6.0),
        ("-7 % 3", -1.0),
        ("7.5 % -2", 1.5),
        ("-x", 5.0),
        ("10-x", 15.0),
        ("10 - -x", 5.0),
        ("x*x", 25.0),
        ("--5 + +-+5", 0.0),
        ("-(x+1)", 4.0),
        (".5 + 5. + half", 6.0),
        ("1e3 + 1.5E-1", 1000.15),
        ("größe * order.total", 200.0),
        ("-0", 0.0),
        ("0.1 + 0.2", 0.30000000000000004),
        ("(" * BRACKETS_NESTED_MAX + "1" + ")" * BRACKETS_NESTED_MAX, 1.0),
        ("-" * (EXPRESSION_CHARACTERS_MAX - 1) + "1", -1.0),
    ],
)
async def test_calculate(expression: str, result: float) -> None:
    output = await call("utils/calculate", {"expression": expression, "variables": VARIABLES})
    assert repr(output) == repr(result)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "a number was expected at position 0, not the end"),
        ("1 +", "not the end"),
        ("1 2", "an operator was expected at position 2, not '2'"),
        ("2x", "an operator was expected at position 1, not 'x'"),
        ("1 + 1)", r"an operator was expected at position 5, not '\)'"),
        ("((1)", "a closing bracket was expected at position 4"),
        ("()", "a number was expected"),
        ("9**9**9", r"a number was expected at position 2, not '\*'"),
        ("1 $ 2", "position 1 cannot be read"),
        ("__import__('os')", "position 11 cannot be read|there is no variable"),
        ("missing + 1", "there is no variable 'missing'"),
        ("1 / 0", "division by zero"),
        ("1 % (x - x)", "division by zero"),
        ("no + 1", "'no' is not a number"),
        ("yes + 1", "'yes' is not a number"),
        ("big", "'big' is too large"),
        ("1e999", "too large"),
        ("1e308 * 10", "too large"),
        ("(" * (BRACKETS_NESTED_MAX + 1) + "1" + ")" * (BRACKETS_NESTED_MAX + 1), "brackets are nested"),
        ("(" * EXPRESSION_CHARACTERS_MAX, "brackets are nested"),
        (" " * EXPRESSION_CHARACTERS_MAX + "1", "characters"),
    ],
)
async def test_an_expression_without_a_value_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(AgentError, match=reason) as caught:
        await call("utils/calculate", {"expression": expression, "variables": VARIABLES})
    assert caught.value.code == "UTILS_CALCULATE_ERROR"
    assert caught.value.category == "permanent"


@pytest.mark.parametrize("value", ["", "five", "nan", "inf", "1_000", "0x10", "1 2", "--1", [1], {}, "\u0663"])
async def test_a_variable_that_is_no_number_is_refused_where_it_is_used(value: Any) -> None:
    assert await refused("calculate", expression="v + 1", variables={"v": value}) == "UTILS_CALCULATE_ERROR"
    assert await call("utils/calculate", {"expression": "1 + 1", "variables": {"v": value}}) == 2


@pytest.mark.parametrize(
    ("expression", "places", "result"),
    [
        ("2.5", None, 3.0),
        ("-2.5", None, -3.0),
        ("2.675", 2, 2.68),
        ("-1.005", 2, -1.01),
        ("2 / 3", 4, 0.6667),
        ("-0.2", 0, 0.0),
        ("1e300", 15, 1e300),
        ("5e-324", 15, 0.0),
    ],
)
async def test_a_result_is_rounded_a_half_away_from_zero(expression: str, places: int | None, result: float) -> None:
    inputs = {"expression": expression, "enable_rounding": True, "decimal_places": places}
    assert repr(await call("utils/calculate", inputs)) == repr(result)


async def test_decimal_places_alone_do_not_round() -> None:
    assert await call("utils/calculate", {"expression": "2 / 3", "decimal_places": 2}) == 2 / 3


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"decimal_places": 16}, "UTILS_CALCULATE_ERROR"),
        ({"decimal_places": -1}, "UTILS_CALCULATE_ERROR"),
        ({"decimal_places": 1.5}, "INPUT_DESERIALIZATION_ERROR"),
        ({"expression": None}, "INPUT_DESERIALIZATION_ERROR"),
        ({"variables": [1]}, "INPUT_DESERIALIZATION_ERROR"),
    ],
)
async def test_inputs_that_mean_no_calculation_are_refused(inputs: dict[str, Any], code: str) -> None:
    assert await refused("calculate", **({"expression": "1", "enable_rounding": True} | inputs)) == code


# ---- dates


@pytest.mark.parametrize(
    ("iso_date", "pattern", "text"),
    [
        ("2026-01-31T08:30:05Z", "yyyy-MM-dd HH:mm:ss", "2026-01-31 08:30:05"),
        ("2026-01-31T08:30:05", "dd.MM.yy", "31.01.26"),
        ("2026-01-31T23:30:05.987654321+02:00", "yyyyMMddHHmmss", "20260131233005"),
        ("2026-01-31", "HH:mm", "00:00"),
        ("0999-12-01", "yyyy/yy", "0999/99"),
        ("2026-01-31T08:30:05Z", "Year: y, Day: d, T%d", "Year: y, Day: d, T%d"),
        ("2026-01-31T08:30:05Z", "", ""),
        (" 2026-01-31t08:30:05z ", "yyyyyy", "202626"),
    ],
)
async def test_format_date_from_iso(iso_date: str, pattern: str, text: str) -> None:
    assert await call("utils/format-date-from-iso", {"iso_date": iso_date, "target_format": pattern}) == text


@pytest.mark.parametrize(
    ("iso_date", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T08:30:05", 1769848205),
        ("2026-01-31T10:30:05+02:00", 1769848205),
        ("2026-01-31T08:30:05.999999Z", 1769848205),
        ("1969-12-31T23:59:59.5Z", -1),
        ("2026-01-31", 1769817600),
        ("0001-01-01T00:00:00+14:00", -62135647200),
        ("9999-12-31T23:59:59-14:00", 253402351199),
    ],
)
async def test_iso_to_unix_timestamp(iso_date: str, seconds: int) -> None:
    assert await call("utils/iso-to-unix-timestamp", {"iso_date": iso_date}) == seconds


@pytest.mark.parametrize(
    "iso_date", ["", "yesterday", "2026-02-30", "2026-01-31T25:00:00Z", "31.01.2026", 5, "x" * 9999]
)
async def test_what_is_no_date_is_refused(iso_date: Any) -> None:
    assert await refused("iso-to-unix-timestamp", iso_date=iso_date) == "UTILS_INVALID_DATE"
    assert await refused("format-date-from-iso", iso_date=iso_date, target_format="yyyy") == "UTILS_INVALID_DATE"


async def test_null_is_no_date() -> None:
    assert await refused("iso-to-unix-timestamp", iso_date=None) == "INPUT_DESERIALIZATION_ERROR"
    assert await refused("format-date-from-iso", iso_date="2026-01-31") == "INPUT_DESERIALIZATION_ERROR"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd", "2026-01-01"),
        ("HH:mm:ss", "00:00:00"),
        ("yy/MM", "26/01"),
        ("no tokens", "no tokens"),
        ("", ""),
    ],
)
async def test_get_current_formatted_datetime(pattern: str, text: str) -> None:
    assert await call("utils/get-current-formatted-datetime", {"format": pattern}) == text


# ---- countries


@pytest.mark.parametrize(
    ("name", "alpha2", "alpha3"),
    [
        ("Germany", "DE", "DEU"),
        ("  gErMaNy ", "DE", "DEU"),
        ("deu", "DE", "DEU"),
        ("and", "AD", "AND"),
        ("UK", "GB", "GBR"),
        ("U.S.A.", "US", "USA"),
        ("The Gambia", "GM", "GMB"),
        ("Trinidad & Tobago", "TT", "TTO"),
        ("cote d’ivoire", "CI", "CIV"),
        ("Türkiye", "TR", "TUR"),
        ("Holland", "NL", "NLD"),
        ("Guinea Bissau", "GW", "GNB"),
        ("Korea, Republic of", "KR", "KOR"),
        ("Korea, Democratic People's Republic of", "KP", "PRK"),
        ("Democratic Republic of the Congo", "CD", "COD"),
        ("Republic of the Congo", "CG", "COG"),
        ("Iran (Islamic Republic of)", "IR", "IRN"),
        ("Federal Republic of Germany", "DE", "DEU"),
        ("Kingdom of the Netherlands", "NL", "NLD"),
        ("United Kingdom of Great Britain and Northern Ireland", "GB", "GBR"),
        ("Germny", "DE", "DEU"),
        ("Brzl", "BR", "BRA"),
        ("newzealand", "NZ", "NZL"),
        ("United Sttes of Amerika", "US", "USA"),
        ("Sant Vincnt and the Grenadins", "VC", "VCT"),
    ],
)
async def test_country_name_to_iso_code(name: str, alpha2: str, alpha3: str) -> None:
    assert await call("utils/country-name-to-iso-code", {"country_name": name}) == alpha2
    assert await call("utils/country-name-to-iso-code", {"country_name": name, "code_type": "alpha3"}) == alpha3


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"country_name": "Atlantis"}, "UTILS_COUNTRY_NOT_FOUND"),
        ({"country_name": "xx"}, "UTILS_COUNTRY_NOT_FOUND"),
        ({"country_name": ""}, "UTILS_COUNTRY_NOT_FOUND"),
        ({"country_name": " the !?"}, "UTILS_COUNTRY_NOT_FOUND"),
        ({"country_name": 5}, "UTILS_COUNTRY_NOT_FOUND"),
        ({"country_name": "x" * NAME_CHARACTERS_MAX}, "UTILS_COUNTRY_NOT_FOUND"),
        ({"country_name": "Austrlia"}, "UTILS_COUNTRY_AMBIGUOUS"),
        ({"country_name": "Germany", "code_type": "numeric"}, "INPUT_DESERIALIZATION_ERROR"),
        ({"country_name": None}, "INPUT_DESERIALIZATION_ERROR"),
    ],
)
async def test_a_name_of_no_one_country_is_refused(inputs: dict[str, Any], code: str) -> None:
    assert await refused("country-name-to-iso-code", **inputs) == code


async def test_a_name_has_two_hundred_characters_at_most() -> None:
    assert (await call("utils/country-name-to-iso-code", {"country_name": "France".ljust(NAME_CHARACTERS_MAX)})) == "FR"
    name = "France".ljust(NAME_CHARACTERS_MAX + 1)
    assert await refused("country-name-to-iso-code", country_name=name) == "UTILS_COUNTRY_NOT_FOUND"


def test_every_name_and_code_in_the_table_means_its_own_country() -> None:
    rows = [row.split(" ", 2) for row in COUNTRIES.strip().splitlines()]
    assert len({alpha2 for alpha2, _, _ in rows}) == len({alpha3 for _, alpha3, _ in rows}) == len(rows) == 249
    for alpha2, alpha3, names in rows:
        for name in (alpha2, alpha3, *names.split(" | ")):
            assert find_country(name).alpha2 == alpha2, name


# ---- anything

EXPRESSIONS = st.lists(st.sampled_from([*"0123456789.+-*/%() e", "ab", "x", "**"]), max_size=30).map("".join)
DATES = st.datetimes().map(lambda moment: moment.isoformat())
NAMES = st.sampled_from(["Germany", "Frnce", "united", "of", ", ,", "İ", "ß" * 60]) | texts


@pytest.mark.parametrize("capability_id", sorted({*ids_of("utils")} - {"delay-in-ms"}))
def test_any_json_gives_json_or_is_refused(capability_id: str) -> None:
    numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts, st.none())
    variables = st.fixed_dictionaries({}, optional={"ab": numbers, "x": numbers, "e": numbers})
    fields = {"expression": EXPRESSIONS | st.just("ab+x"), "variables": variables, "iso_date": DATES | texts}
    fuzz(f"utils/{capability_id}", {"country_name": NAMES, **fields})


@pytest.mark.parametrize("capability_id", ids_of("utils"))
def test_a_capability_and_its_inputs_explain_themselves(capability_id: str) -> None:
    assert_explained(f"utils/{capability_id}")
