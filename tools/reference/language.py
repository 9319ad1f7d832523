"""``docs/reference/language.md``: the prose of ``language.in.md``, with tables and examples in its places."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from runtara.dsl import mappings, model
from runtara.dsl.conditions import OPERATORS
from runtara.dsl.rules.scopes import BUILT_IN_VARIABLES
from runtara.dsl.shapes import ENTRY_EXTRAS, ENTRY_FIELDS, ERROR_FIELDS, OUTPUT_FIELDS
from runtara.dsl.step_types import STEP_TYPES, step_class
from runtara.dsl.template_filters import FILTERS
from runtara.dsl.ways import ERROR_KINDS
from runtara.limits import RETRY_DELAY_MS_MAX, STEP_EVENT_VALUE_BYTES_MAX
from runtara.stdlib import conditions
from tools.reference.blocks import code_list, fields_table, filled, markdown_table, shown_json
from tools.reference.notes import class_note

__all__ = ("language_page",)

_ROOT: Final = Path(__file__).parents[2]
_COMMON: Final = ("id", "name", "breakpoint")


def language_page(made_by: str) -> str:
    """The page."""
    template = Path(__file__).with_name("language.in.md").read_text()
    return f"{made_by}\n\n{filled(template, BLOCKS)}"


# ---- steps


def _steps() -> str:
    return "\n\n".join(_step(name) for name in STEP_TYPES)


def _step(name: str) -> str:
    kind = step_class(name)
    parts = [
        f"### {name}",
        class_note(kind),
        fields_table(kind, without=_COMMON),
        _outcome(name),
        _example(name),
    ]
    return "\n\n".join(part for part in parts if part)


def _outcome(name: str) -> str:
    if name in ("Finish", "Error"):
        return ""
    known = OUTPUT_FIELDS.get(name)
    outputs = f"`outputs` has {code_list(known)}." if known else _OUTPUTS[name]
    extras = ENTRY_EXTRAS.get(name, ())
    beside = f" Beside it: {code_list(extras)}." if extras else ""
    codes = [code for code, entry in _failures().items() if name in entry["steps"]]
    fails = f" It fails with {code_list(codes)}." if codes else ""
    return outputs + beside + fails


_OUTPUTS: Final[Mapping[str, str]] = {
    "Agent": "`outputs` is what the capability returned.",
    "Split": "`outputs` is the array of the results, in the order of the items; failed ones are left out.",
    "StartScenario": "`outputs` is the result of the child.",
    "Switch": "`outputs` is the output of the case.",
    "WaitForSignal": "`outputs` is the payload of the signal, with the defaults of the schema.",
}


def _example(name: str) -> str:
    path = _ROOT / "docs" / "examples" / f"{_dashed(name)}.json"
    shown = shown_json(json.loads(path.read_text()))
    return f"[`{path.name}`](../examples/{path.name}):\n\n```json\n{shown}\n```"


def _dashed(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


# ---- tables


def _struct(kind: type) -> Callable[[], str]:
    return lambda: f"{class_note(kind)}\n\n{fields_table(kind)}"


def _value_kinds() -> str:
    kinds = get_args(mappings.MappingValue)
    return "\n".join(f"| `{kind.__struct_config__.tag}` | {class_note(kind)} |" for kind in kinds)


def _operators() -> str:
    return "\n".join(f"| `{name}` | {_count(takes)} | {_meaning(name)} |" for name, takes in OPERATORS.items())


def _count(takes: int) -> str:
    return "any number" if takes < 0 else str(takes)


def _meaning(operator: str) -> str:
    if operator in _OWN_MEANINGS:
        return _OWN_MEANINGS[operator]
    doc = inspect.getdoc(getattr(conditions, _FUNCTIONS[operator])) or ""
    text = " ".join(doc.split()).removeprefix(f"``{operator}``").strip(". ;")
    return f"{text[:1].upper()}{text[1:]}.".replace("``", "`")


_OWN_MEANINGS: Final[Mapping[str, str]] = {
    "AND": "All are true; those after the first false one are not looked at.",
    "OR": "One is true; those after it are not looked at.",
    "NOT": "It is false.",
    "GT": "Greater, as numbers; a text counts as the number that it spells. False when one of them is no number.",
    "GTE": "Greater or equal; see `GT`.",
    "LT": "Less; see `GT`.",
    "LTE": "Less or equal; see `GT`.",
    "NE": "Not `EQ`.",
    "IN": "The second, an array, has an element that equals the first.",
    "NOT_IN": "Not `IN`.",
    "IS_NOT_EMPTY": "Not `IS_EMPTY`.",
}

_FUNCTIONS: Final[Mapping[str, str]] = {
    "EQ": "equal",
    "STARTS_WITH": "starts_with",
    "ENDS_WITH": "ends_with",
    "CONTAINS": "contains",
    "LENGTH": "length",
    "IS_DEFINED": "is_defined",
    "IS_EMPTY": "is_empty",
}


def _failures() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads((_ROOT / "schema" / "step_failures.toml").read_text())


def _failure_table() -> str:
    return markdown_table(("code", "steps", "category", "meaning"), _failure_rows())


def _failure_rows() -> Iterator[tuple[str, ...]]:
    for code, entry in _failures().items():
        yield f"`{code}`", ", ".join(entry["steps"]) or "any", entry["category"], entry["meaning"]


_STRUCTS: Final = (
    model.Scenario,
    model.ExecutionGraph,
    model.Edge,
    model.Note,
    mappings.Variable,
    mappings.SchemaField,
    mappings.Visibility,
    mappings.Reference,
)

BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    **{kind.__name__: _struct(kind) for kind in _STRUCTS},
    "Step": lambda: fields_table(model.FinishStep, without=("inputMapping",)),
    "built_in_variables": lambda: code_list(BUILT_IN_VARIABLES),
    "entry_fields": lambda: code_list(ENTRY_FIELDS),
    "error_fields": lambda: f"{code_list(ERROR_FIELDS)}, as far as they apply.",
    "error_kinds": lambda: ", ".join(sorted(ERROR_KINDS)),
    "event_value_max": lambda: f"{STEP_EVENT_VALUE_BYTES_MAX:,}",
    "failures": _failure_table,
    "filters": lambda: code_list(sorted(FILTERS)) + ".",
    "operators": _operators,
    "retry_delay_max": lambda: f"{RETRY_DELAY_MS_MAX:,}",
    "steps": _steps,
    "value_kinds": _value_kinds,
    "version": lambda: model.DSL_VERSION,
}
"""What is put into the places of the template."""
