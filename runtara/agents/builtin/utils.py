"""Small things: chance, time, arithmetic, and values that pass through. Source: dsl.md §12.6."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from runtara.agents.builtin.dates import formatted, parse_iso_date, unix_timestamp_of
from runtara.agents.capability import agent, capability
from runtara.agents.context import CallContext
from runtara.agents.errors import AgentError

__all__ = ("CodeType", "Utils")

CodeType = Literal["alpha2", "alpha3"]

IsoDate = Annotated[str, Meta(description="ISO 8601; UTC where it has no offset.", examples=["2026-01-31T08:30:00Z"])]
Pattern = Annotated[str, Meta(description="Text with yyyy yy MM dd HH mm ss.", examples=["dd.MM.yyyy HH:mm"])]

_DECIMAL_PLACES_MAX: Final = 15
"""As many as every float keeps."""


@agent(id="utils", name="Utilities")
class Utils:
    """Random numbers, the time, arithmetic, countries, and values that pass through."""

    @capability(side_effects=False, idempotent=False)
    def random_double(self, context: CallContext) -> float:
        """A random number from 0 to 1, 1 excluded."""
        return context.random.random()

    @capability(side_effects=False, idempotent=False)
    def random_array(
        self,
        size: Annotated[int, Meta(description="How many, and the largest.", ge=0, le=100_000)],
        context: CallContext,
    ) -> list[int]:
        """As many random whole numbers as asked for, each from 0 to that size."""
        return [context.random.randint(0, size) for _ in range(size)]

    @capability(side_effects=False)
    def return_input_string(self, value: Annotated[str, Meta(description="Any text.")]) -> str:
        """The text itself."""
        return value

    @capability(side_effects=False)
    def return_input(self, value: Annotated[Any, Meta(description="Any value.")]) -> Any:
        """The value itself."""
        return value

    @capability(side_effects=False)
    def do_nothing(self) -> None:
        """Null."""

    @capability(side_effects=False)
    async def delay_in_ms(
        self, delay_value: Annotated[int, Meta(description="Milliseconds.", ge=0)], context: CallContext
    ) -> int:
        """Wait inside the program, and return the time waited in milliseconds. A crash begins the wait again."""
        await context.clock.sleep(delay_value / 1000)
        return delay_value

    @capability(side_effects=False, idempotent=False)
    def get_current_unix_timestamp(self, context: CallContext) -> int:
        """Seconds since 1970."""
        return int(context.clock.now().timestamp())

    @capability(side_effects=False, idempotent=False)
    def get_current_iso_datetime(self, context: CallContext) -> str:
        """The time in UTC: 2026-01-31T08:30:00Z."""
        return context.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    @capability(side_effects=False, idempotent=False)
    def get_current_formatted_datetime(self, format: Pattern, context: CallContext) -> str:  # noqa: A002 - its name
        """The time in UTC as the pattern says."""
        return formatted(context.clock.now(), format)

    @capability(side_effects=False)
    def format_date_from_iso(self, iso_date: IsoDate, target_format: Pattern) -> str:
        """A date as the pattern says, on the clock of its own offset. Fails with ``UTILS_INVALID_DATE``."""
        return formatted(parse_iso_date(iso_date), target_format)

    @capability(side_effects=False)
    def iso_to_unix_timestamp(self, iso_date: IsoDate) -> int:
        """Whole seconds from 1970 to a date. Fails with ``UTILS_INVALID_DATE``."""
        return unix_timestamp_of(parse_iso_date(iso_date))

    @capability(side_effects=False)
    def calculate(
        self,
        expression: Annotated[str, Meta(description="+ - * / % ( ), numbers and names.", examples=["(net + 5) * 1.2"])],
        variables: Annotated[
            dict[str, Any] | None, Meta(description="Numbers, or texts that are numbers, by name.")
        ] = None,
        enable_rounding: Annotated[bool, Meta(description="Round the result, a half away from zero.")] = False,
        decimal_places: Annotated[
            int | None, Meta(description="Digits after the point when rounding; by default none.")
        ] = None,
    ) -> float:
        """The value of an arithmetic expression. Fails with ``UTILS_CALCULATE_ERROR``."""
        from runtara.agents.builtin.expressions import ExpressionInvalid, evaluate, rounded  # few programs calculate

        if decimal_places is not None and not 0 <= decimal_places <= _DECIMAL_PLACES_MAX:
            message = f"decimal_places is from 0 to {_DECIMAL_PLACES_MAX}"
            raise AgentError("UTILS_CALCULATE_ERROR", message)
        try:
            result = evaluate(expression, variables or {})
        except ExpressionInvalid as error:
            raise AgentError("UTILS_CALCULATE_ERROR", f"the expression has no value: {error}") from error
        return rounded(result, decimal_places or 0) if enable_rounding else result

    @capability(side_effects=False)
    def country_name_to_iso_code(
        self,
        country_name: Annotated[str, Meta(description="A name or a code; small misspellings are understood.")],
        code_type: Annotated[CodeType, Meta(description="Two letters or three.")] = "alpha2",
    ) -> str:
        """The ISO 3166-1 code of a country. Fails with ``UTILS_COUNTRY_NOT_FOUND`` or ``UTILS_COUNTRY_AMBIGUOUS``."""
        from runtara.agents.builtin.countries import find_country  # a table that few programs look at

        country = find_country(country_name)
        return country.alpha2 if code_type == "alpha2" else country.alpha3
