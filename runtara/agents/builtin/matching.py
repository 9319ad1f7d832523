"""The conditions of ``transform/filter``, made into tests of a value. Source: dsl.md §12.5."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from runtara.agents.builtin.json_values import identity

__all__ = ("MatchCondition", "matcher")

MatchCondition = Literal["INCLUDES", "EXCLUDES", "STARTS_WITH", "ENDS_WITH", "CONTAINS"]


def matcher(condition: MatchCondition, wanted: Iterable[Any]) -> Callable[[Any], bool]:
    """The test that the condition means: of the value, or, when it is an array, of any of its elements.

    Raises:
        AgentError: ``TRANSFORM_INVALID_INPUT``, from here or the test; a value is nested too deep to be compared.
    """
    if condition in ("INCLUDES", "EXCLUDES"):
        identities = {identity(value) for value in wanted if value is not None}
        included = condition == "INCLUDES"
        return lambda value: any(identity(one) in identities for one in _elements(value)) is included
    texts = [value for value in wanted if isinstance(value, str)]
    test = _TEXT_TESTS[condition]
    return lambda value: any(isinstance(one, str) and test(one, texts) for one in _elements(value))


def _elements(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else (value,)


_TEXT_TESTS: Final[Mapping[str, Callable[[str, list[str]], bool]]] = {
    "STARTS_WITH": lambda text, wanted: text.startswith(tuple(wanted)),
    "ENDS_WITH": lambda text, wanted: text.endswith(tuple(wanted)),
    "CONTAINS": lambda text, wanted: any(one in text for one in wanted),
}
