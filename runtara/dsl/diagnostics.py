"""What is wrong with a scenario, as data: a code, where it is, what it is, and what to do.

Codes are stable and never reused; ``schema/diagnostics.toml`` says what each means. Those that the reference system has
as well mean the same there. ``E`` forbids the compilation, ``W`` does not.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any, Final

import msgspec

from runtara.errors import ScenarioInvalid
from runtara.limits import NAME_CHARACTERS_MAX

__all__ = ("Code", "Diagnostic", "diagnose", "has_errors", "nearest", "raise_errors", "suggestion")


class Code(StrEnum):
    """Every code that a scenario can get."""

    ENTRY_POINT_UNKNOWN = "E001"
    STEP_UNREACHABLE = "E002"
    NO_STEPS = "E004"
    KEY_IS_NOT_ID = "E005"
    CYCLE = "E006"
    STEP_UNKNOWN = "E010"
    PATH_MALFORMED = "E011"
    STEP_CANNOT_HAVE_RUN = "E012"
    VARIABLE_UNKNOWN = "E013"
    EDGE_STEP_UNKNOWN = "E014"
    AGENT_UNKNOWN = "E020"
    CAPABILITY_UNKNOWN = "E021"
    INPUT_MISSING = "E022"
    VALUE_TYPE_WRONG = "E023"
    VALUE_NOT_ALLOWED = "E024"
    CONDITION_MALFORMED = "E025"
    OPERATOR_NEEDS_DATABASE = "E027"
    INPUT_UNKNOWN = "E028"
    INPUT_GIVEN_TWICE = "E029"
    INTEGRATION_UNKNOWN = "E030"
    CONNECTION_UNUSABLE = "E031"
    CREDENTIALS_TO_AGENT = "E040"
    CREDENTIALS_IN_RESULT = "E041"
    CREDENTIALS_IN_EVENT = "E042"
    CHILD_VERSION_WRONG = "E050"
    DATA_FIELD_UNKNOWN = "E051"
    VARIABLE_RESERVED = "E053"
    CHILD_TAKES_NOTHING = "E054"
    CHILD_INPUT_MISSING = "E055"
    CHILDREN_IN_CIRCLE = "E056"
    SCHEMA_CONTRADICTORY = "E057"
    FIELD_OF_STEP_UNKNOWN = "E058"
    FIELD_OF_VALUE_UNKNOWN = "E059"
    STEP_NAME_TAKEN = "E060"
    PRIORITY_TAKEN = "E070"
    DEFAULT_EDGE_TAKEN = "E071"
    BRANCH_LABEL_WRONG = "E072"
    FAN_OUT_AMBIGUOUS = "E073"
    LABEL_WITHOUT_MEANING = "E074"
    EDGE_AFTER_FINISH = "E075"
    BRANCHES_MISSING = "E076"
    EDGE_CONDITION_MISPLACED = "E077"
    MATCH_NOT_CONSTANT = "E078"
    DOCUMENT_MALFORMED = "E080"
    TYPE_WRONG = "E081"
    FIELD_UNKNOWN = "E082"
    FIELD_MISSING = "E083"
    KIND_UNKNOWN = "E084"
    KEY_GIVEN_TWICE = "E085"
    NOT_SUPPORTED = "E090"
    LIMIT_EXCEEDED = "E092"
    TOOL_NAME_TAKEN = "E110"
    TOOL_NAME_WRONG = "E111"
    AI_CONNECTION_MISSING = "E112"
    MEMORY_EDGE_TAKEN = "E113"
    MEMORY_NOT_AGENT = "E114"
    MEMORY_EDGE_MISSING = "E115"
    MEMORY_CONFIG_MISSING = "E116"
    AI_PROMPT_MISSING = "E128"
    TOOL_KIND_WRONG = "E129"
    TOOL_GOES_ON = "E130"
    CHILD_UNKNOWN = "E124"
    ROOT_UNKNOWN = "E126"
    ROOT_OUT_OF_SCOPE = "E127"
    STEP_ENDS_NOWHERE = "W003"
    BRANCH_MISSING = "W004"
    MANY_RETRIES = "W030"
    LONG_RETRY_DELAY = "W031"
    MUCH_PARALLELISM = "W032"
    MANY_ITERATIONS = "W033"
    LONG_TIMEOUT = "W034"
    CONNECTION_UNUSED = "W040"
    TOOL_CHOOSES_HOST = "W041"
    SETTING_WITHOUT_MEANING = "W071"


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One finding."""

    code: str
    severity: str
    """``error`` or ``warning``."""
    path: str
    """Where in the document: ``$.steps.fetch.inputMapping.url``."""
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.code} {self.path}: {self.message}{hint}"


def diagnose(code: Code, path: str, message: str, *, hint: str | None = None) -> Diagnostic:
    """A finding; its severity follows from its code."""
    severity = "error" if code.startswith("E") else "warning"
    return Diagnostic(code=code.value, severity=severity, path=path, message=message, hint=hint)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether anything forbids the compilation."""
    return any(diagnostic.severity == "error" for diagnostic in diagnostics)


def raise_errors(diagnostics: Sequence[Diagnostic]) -> None:
    """Returns when there are warnings at most.

    Raises:
        ScenarioInvalid: there are errors; the attribute ``diagnostics`` lists everything that was found.
    """
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    if not errors:
        return
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    raise ScenarioInvalid(
        f"the scenario is not valid: {errors[0].message} at {errors[0].path}{more}",
        hint="Read all diagnostics; each has a code, the place and a hint.",
        diagnostics=_as_data(diagnostics),
    )


def _as_data(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = msgspec.to_builtins(diagnostics)
    return data


_WORDS_MAX: Final = 1000
_SHORTLIST: Final = 10


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant. Among more than 1,000, and for what is too long to be a name: none."""
    known = tuple(known)
    if len(known) > _WORDS_MAX or len(word) > NAME_CHARACTERS_MAX:
        return None
    by_lower, with_pair = _index(known)
    word = word.lower()
    shared = Counter(chain.from_iterable(with_pair.get(pair, ()) for pair in _pairs(word)))
    shortlist = sorted(shared, key=lambda other: (-shared[other], other))[:_SHORTLIST]
    close = difflib.get_close_matches(word, shortlist, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


@lru_cache(maxsize=32)
def _index(known: tuple[str, ...]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The words by their lower case, and those by each pair of characters in them."""
    by_lower = {word.lower(): word for word in sorted(known) if len(word) <= 2 * NAME_CHARACTERS_MAX}
    with_pair: dict[str, list[str]] = {}
    for word in by_lower:
        for pair in _pairs(word):
            with_pair.setdefault(pair, []).append(word)
    return by_lower, with_pair


def _pairs(word: str) -> set[str]:
    """The pairs of neighbours in a word, with its beginning and its end."""
    return {one + other for one, other in pairwise(("", *word, ""))}


def suggestion(word: str, known: Iterable[str], *, what: str) -> str:
    """A hint: the near miss, or all there is when that is few enough to read."""
    known = sorted(known)
    near = nearest(word, known)
    if near is not None:
        return f"Did you mean {near!r}?"
    if not known:
        return f"There is no {what}."
    shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return f"There is: {shown}."
