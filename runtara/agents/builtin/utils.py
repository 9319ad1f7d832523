"""Small things: chance, time, and values that pass through. Source: dsl.md §12.6."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from runtara.agents.capability import agent, capability
from runtara.agents.context import CallContext

__all__ = ("Utils",)


@agent(id="utils", name="Utilities")
class Utils:
    """Random numbers, the time, and values that pass through."""

    @capability(side_effects=False, idempotent=False)
    def random_double(self, context: CallContext) -> float:
        """A random number from 0 to 1, 1 excluded."""
        return context.random.random()

    @capability(side_effects=False, idempotent=False)
    def random_array(self, size: Annotated[int, Meta(ge=0, le=100_000)], context: CallContext) -> list[int]:
        """As many random whole numbers as asked for, each from 0 to that size."""
        return [context.random.randint(0, size) for _ in range(size)]

    @capability(side_effects=False)
    def return_input_string(self, value: str) -> str:
        """The text itself."""
        return value

    @capability(side_effects=False)
    def return_input(self, value: Any) -> Any:
        """The value itself."""
        return value

    @capability(side_effects=False)
    def do_nothing(self) -> None:
        """Null."""

    @capability(side_effects=False)
    async def delay_in_ms(self, delay_value: Annotated[int, Meta(ge=0)], context: CallContext) -> int:
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
