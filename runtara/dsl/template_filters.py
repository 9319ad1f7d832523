"""The filters and tests of templates: those of Jinja that stay in their bounds, and bounded ones for some others.

Left out are those that need chance (``random``), make a web page of a text (``urlize``, ``xmlattr``), or have no use
here. Filters that look into values, or compare them, pay for that first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final

import markupsafe
from jinja2 import Environment, Undefined, pass_environment
from jinja2 import filters as jinja
from jinja2.filters import make_attrgetter
from jinja2.tests import TESTS as JINJA_TESTS

from runtara.dsl.template_budget import check_length, spend, spend_on

__all__ = ("FILTERS", "TESTS", "text_of")

_DIGITS_MAX: Final = 15
_ROWS_MAX: Final = 1000
_WHOLE_CHARACTERS_MAX: Final = 400
_WIDE: Final = re.compile(r"%(?:\([^()]*\))?[-+ #0-9.]*(?:\*|[0-9]{4})|%\([^()]*\(")


def text_of(value: Any) -> str:
    """What a value looks like in a text.

    Raises:
        UndefinedError: there is no value.
        TypeError: it is none of JSON.
        OverBudget: it is too much.
    """
    match value:
        case str():
            return str(value)
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() | float() | Undefined():
            return str(value)
        case _:
            return _json(value, (", ", ": "))


def _json(value: Any, separators: tuple[str, str], indent: int | None = None) -> str:
    value = _plain(value) if _is_stream(value) else value
    spend_on(value)
    return json.dumps(value, ensure_ascii=False, separators=separators, indent=indent, default=_plain)


def _plain(value: Any) -> list[Any]:
    if isinstance(value, Undefined):
        str(value)  # which says what is missing
    if not _is_stream(value):
        raise TypeError(f"a value of the type {type(value).__name__} has no text")
    return _list(value)


def _is_stream(value: Any) -> bool:
    return isinstance(value, Iterator | range | type({}.keys()) | type({}.values()) | type({}.items()))


def _paid(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but all values are paid for. What Jinja noted about the function stays."""

    @wraps(function)
    def paid(*arguments: Any, **options: Any) -> Any:
        values = [_plain(value) if _is_stream(value) else value for value in arguments]
        for value in (*values, *options.values()):
            spend_on(value)
        return function(*values, **options)

    return paid


# ---- filters of our own, with the arguments that Jinja documents


def _limited_rows(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def limited(value: Iterable[Any], count: int, fill_with: Any = None) -> list[Any]:
        if not 1 <= count <= _ROWS_MAX:
            raise ValueError(f"from 1 to {_ROWS_MAX} are possible, not {count}")
        return list(function(value, count, fill_with))

    return limited


def _escape(value: Any) -> str:
    return str(markupsafe.escape(text_of(value)))


def _format(value: str, *arguments: Any, **names: Any) -> str:
    if _WIDE.search(value):
        raise ValueError("a width has at most three digits")
    given = [*arguments, *names.values()]
    if not all(isinstance(one, str | int | float) for one in given):
        raise TypeError("format takes texts and numbers")
    longest = max((len(one) for one in given if isinstance(one, str)), default=0)
    check_length(len(value) + value.count("%") * (longest + 1000))
    return str(jinja.do_format(value, *arguments, **names))


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    step = width if isinstance(width, int) else len(width)
    check_length(len(value) + (len(value.splitlines()) + 1) * max(step, 0))
    return jinja.do_indent(value, width, first, blank)


def _int(value: Any, default: int = 0, base: int = 10) -> int:
    if isinstance(value, str) and len(value) > _WHOLE_CHARACTERS_MAX:
        return default
    return jinja.do_int(value, default, base)


def _same(value: Any) -> Any:
    return value


@pass_environment
def _join(environment: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    pick = _same if attribute is None else make_attrgetter(environment, attribute)
    texts = [text_of(pick(item)) for item in _list(value)]
    check_length(sum(map(len, texts)) + len(d) * max(len(texts) - 1, 0))
    return d.join(texts)


def _list(value: Iterable[Any]) -> list[Any]:
    items = []
    for item in value:
        spend(1)
        items.append(item)
    return items


def _replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text = text_of(value)
    found = text.count(old) if count < 0 else min(text.count(old), count)
    check_length(len(text) + found * max(len(new) - len(old), 0))
    return text.replace(old, new, count)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if not 0 <= precision <= _DIGITS_MAX:
        raise ValueError(f"a number is rounded to 0 to {_DIGITS_MAX} digits, not to {precision}")
    return jinja.do_round(value, precision, method)


@pass_environment
def _sum(environment: Environment, value: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> float:
    pick = _same if attribute is None else make_attrgetter(environment, attribute)
    total = start
    for item in _list(value):
        number = pick(item)
        if not isinstance(number, int | float):
            raise TypeError(f"{text_of(number)[:100]!r} is no number, and has no part in a sum")
        total += number
    return total


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON that may stand in a script of a web page, too."""
    if indent is not None and not 0 <= indent <= _DIGITS_MAX:
        raise ValueError(f"an indent is from 0 to {_DIGITS_MAX}, not {indent}")
    text = _json(value, (",", ":") if indent is None else (",", ": "), indent)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


_OF_JINJA: Final = (
    *("count", "d", "default", "first", "items", "last", "length"),
    *("map", "reject", "rejectattr", "select", "selectattr"),
)
"""They do next to nothing themselves; who uses what they give pays for it."""

_OF_JINJA_PAID: Final = (
    *("abs", "capitalize", "filesizeformat", "float", "lower", "title", "trim", "truncate", "upper", "urlencode"),
    *("dictsort", "groupby", "max", "min", "reverse", "sort", "unique", "wordcount"),
)

_OWN: Final[Mapping[str, Callable[..., Any]]] = {
    "batch": _limited_rows(jinja.do_batch),
    "e": _escape,
    "escape": _escape,
    "format": _format,
    "indent": _indent,
    "int": _int,
    "join": _join,
    "list": _list,
    "replace": _replace,
    "round": _round,
    "safe": _same,
    "slice": _limited_rows(jinja.sync_do_slice),
    "string": text_of,
    "sum": _sum,
    "tojson": _tojson,
}

_JINJA: Final[Mapping[str, Callable[..., Any]]] = jinja.FILTERS
_JINJA_TESTS: Final[Mapping[str, Callable[..., Any]]] = JINJA_TESTS  # type: ignore[assignment]

FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _JINJA[name] for name in _OF_JINJA},
    **{name: _paid(_JINJA[name]) for name in _OF_JINJA_PAID},
    **_OWN,
}
"""By name, as templates write them."""

_COMPARING: Final = ("!=", "<", "<=", "==", ">", ">=", "divisibleby", "eq", "equalto", "ge", "greaterthan", "gt", "in")

TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    name: _paid(test) if name in (*_COMPARING, "le", "lessthan", "lt", "ne") else test
    for name, test in _JINJA_TESTS.items()
    if name not in ("callable", "escaped", "sameas")
}
"""By name, as templates write them."""
