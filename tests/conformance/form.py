"""The form of a case: ``README.md`` describes it to people, this to the computer. What it does not know is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

CASES = Path(__file__).parent / "cases"
NOTHING: Any = msgspec.UNSET


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A field that the form does not know would be an expectation that nobody checks."""


class Expect(Form, frozen=True, kw_only=True):
    """What must come of a run."""

    status: str = "completed"
    output: Any = NOTHING
    error: dict[str, Any] | None = None
    error_text_contains: list[str] = []
    checkpoint_keys: list[str] | None = None
    events: list[dict[str, Any]] = []
    no_events: list[str] = []
    steps_run_once: list[str] = []
    steps_not_run: list[str] = []
    order_constraints: list[tuple[str, str]] = []
    calls: dict[str, int | list[Any]] = {}
    elapsed_ms: int | None = None
    attempts: int | None = None
    requests: list[dict[str, Any]] | None = None


class Signal(Form, frozen=True, kw_only=True):
    """Something that happens to the run from outside."""

    kind: str = "custom"
    name: str = ""
    payload: Any = None
    after: str | None = None


class Run(Form, frozen=True, kw_only=True):
    """A run of the scenario of a case."""

    data: Any
    expect: Expect
    note: str = ""
    set: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    agents: dict[str, Any] = {}
    signals: list[Signal] = []
    debug: bool = False
    preloaded: dict[str, Any] = {}
    answers: dict[str, list[dict[str, Any]]] = {}
    llm: list[Any] = []
    repeats_effects: bool = False
    races: bool = False


class Capability(Form, frozen=True, kw_only=True):
    """A call of a capability: its inputs, and its output or the code of its error."""

    inputs: dict[str, Any]
    capability: str = ""
    output: Any = NOTHING
    error: str | None = None


class Operator(Form, frozen=True, kw_only=True):
    """An operator with its arguments; ``codes`` instead of a result where the validator refuses it."""

    op: str
    args: list[Any]
    result: bool | None = None
    codes: list[str] | None = None


class Reference(Form, frozen=True, kw_only=True):
    """A reference, with its default and its type, and what it comes to."""

    path: str
    value: Any = NOTHING
    error: str | None = None
    type: str | None = None
    default: Any = NOTHING


class Tables(Form, frozen=True, kw_only=True):
    """Rows that need no scenario of their own."""

    data: Any = None
    capability: str = ""
    capabilities: list[Capability] = []
    operators: list[Operator] = []
    references: list[Reference] = []


class Validation(Form, frozen=True, kw_only=True):
    """What the validator must say: all codes of errors, or of warnings, and words of the messages."""

    codes: list[str] | None = None
    warnings: list[str] | None = None
    message_contains: list[str] = []


class Dependency(Form, frozen=True, kw_only=True):
    """A child that was compiled in."""

    step_id: str
    child_scenario_id: str
    child_version_requested: int | str
    child_version_resolved: int


class Case(Form, frozen=True, kw_only=True):
    """See README.md."""

    id: str
    title: str
    source: str
    note: str = ""
    graph: dict[str, Any] = {}
    children: dict[str, Any] = {}
    runs: list[Run] = []
    table: Tables | None = None
    validation: Validation | None = None
    dependencies: list[Dependency] | None = None
    real: bool = False


def read_cases() -> dict[str, Case]:
    """All cases, by id."""
    paths = sorted(CASES.glob("*.json"))
    cases = {path.stem: msgspec.json.decode(path.read_bytes(), type=Case) for path in paths}
    for name, case in cases.items():
        assert case.id == name, f"{name}.json says that it is {case.id}"
        assert case.runs or case.table or case.validation or case.dependencies, f"{name} expects nothing"
    return cases
