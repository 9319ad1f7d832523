"""Where the values of a step are: the one list of all mapping values, for everybody who looks at references."""

from __future__ import annotations

from collections.abc import Iterator

from runtara.dsl.conditions import iter_operands, read_condition
from runtara.dsl.model import ConditionalStep, InputMapping, MappingValue, Reference, Step
from runtara.dsl.paths import PathMalformed, child_path, tokenize

__all__ = ("iter_values", "referenced_steps")


def iter_values(step: Step, path: str) -> Iterator[tuple[str, MappingValue]]:
    """All values of a step at ``path``, each with its own document path."""
    if isinstance(step, ConditionalStep):
        for operand in iter_operands(read_condition(step.condition, child_path(path, "condition"))):
            yield operand.path, operand.value
    else:
        yield from _iter_mapping(step.input_mapping, child_path(path, "inputMapping"))


def _iter_mapping(mapping: InputMapping, path: str) -> Iterator[tuple[str, MappingValue]]:
    for key, value in mapping.items():
        yield child_path(path, key), value


def referenced_steps(step: Step) -> frozenset[str]:
    """The ids in its references to ``steps.<id>``."""
    references = (value.value for _, value in iter_values(step, "$") if isinstance(value, Reference))
    return frozenset(found for path in references if (found := _step_in(path)) is not None)


def _step_in(path: str) -> str | None:
    try:
        segments = tokenize(path)
    except PathMalformed:
        return None
    return segments[1] if len(segments) > 1 and segments[0] == "steps" else None
