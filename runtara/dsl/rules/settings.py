"""Settings: numbers that work and are probably not meant, constants and schemas of the wrong type, malformed keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from runtara.dsl.catalog import CapabilityField
from runtara.dsl.coercion import fits
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose
from runtara.dsl.draft import GraphDraft, StepDraft
from runtara.dsl.mappings import Immediate, SchemaField, SchemaFields, Variable
from runtara.dsl.model import (
    MAX_RETRIES_DEFAULT,
    AgentStep,
    AiAgentConfig,
    AiAgentStep,
    ConnectionStep,
    DelayStep,
    GroupByStep,
    SplitConfig,
    SplitStep,
    StartScenarioStep,
    Step,
    SwitchConfig,
    SwitchStep,
    WaitForSignalStep,
    WhileConfig,
    WhileStep,
    graph_in,
)
from runtara.dsl.paths import PathMalformed, child_path, tokenize
from runtara.dsl.schemas import SchemaMisfit, check_value, compile_pattern
from runtara.dsl.structure import describe

__all__ = ("check_settings",)

_BOUNDS: Final[dict[str, tuple[int, Code, str]]] = {
    "max_retries": (50, Code.MANY_RETRIES, "{value} retries are more than {bound}"),
    "retry_delay": (3_600_000, Code.LONG_RETRY_DELAY, "the first retry waits {hours}"),
    "parallelism": (100, Code.MUCH_PARALLELISM, "{value} items at a time are more than {bound}"),
    "max_iterations": (10_000, Code.MANY_ITERATIONS, "{value} iterations are more than {bound}"),
    "timeout": (3_600_000, Code.LONG_TIMEOUT, "one try may take {hours}"),
    "turn_timeout": (3_600_000, Code.LONG_TIMEOUT, "one turn may take {hours}"),
}
"""Beyond these numbers people are asked whether they mean it."""

_MAPPINGS: Final = ("input_mapping", "context", "variables", "correlation")


def check_settings(draft: GraphDraft) -> Iterator[Diagnostic]:
    """What is wrong with the numbers, target keys, constants and schemas of a graph, and of those inside it."""
    for graph in draft.with_subgraphs:
        yield from _check_variables(graph)
        for name, schema in (("inputSchema", graph.input_schema), ("outputSchema", graph.output_schema)):
            yield from _check_schema(schema or {}, child_path(graph.path, name))
        for step in graph.steps.values():
            yield from _check_step(step)


def _check_variables(draft: GraphDraft) -> Iterator[Diagnostic]:
    for name, variable in draft.variables.items():
        path = child_path(child_path(draft.path, "variables"), name)
        yield from _check_variable_name(name, path)
        if variable is not None and not _fits_type(variable):
            message = f"the variable {name!r} is of type {variable.type}, and this is {describe(variable.value)}"
            yield diagnose(Code.VALUE_TYPE_WRONG, child_path(path, "value"), message)


def _fits_type(variable: Variable) -> bool:
    kind = "object" if variable.type == "file" else variable.type
    return fits(variable.value, CapabilityField(name="value", type=kind, required=True))


def _check_variable_name(name: str, path: str) -> Iterator[Diagnostic]:
    if name.startswith("_"):
        hint = "Names that begin with _ belong to the platform."
        yield diagnose(Code.VARIABLE_RESERVED, path, f"the variable {name!r} cannot be declared", hint=hint)


def _check_loop_variables(draft: StepDraft) -> Iterator[Diagnostic]:
    path = child_path(child_path(draft.path, "config"), "variables")
    for name in draft.loop_variables:
        yield from _check_variable_name(name, child_path(path, name))


def _check_retry_delay(step: Step, path: str) -> Iterator[Diagnostic]:
    """A delay before tries that there are not."""
    holder: AgentStep | StartScenarioStep | ConnectionStep | SplitConfig | WhileConfig | AiAgentConfig
    if isinstance(step, AgentStep | StartScenarioStep | ConnectionStep):
        holder, retries = step, MAX_RETRIES_DEFAULT
    elif isinstance(step, SplitStep | WhileStep | AiAgentStep):
        holder, retries, path = step.config, 0, child_path(path, "config")
    else:
        return
    retries = retries if holder.max_retries is None else holder.max_retries
    if holder.retry_delay is not None and retries == 0:
        yield _without_meaning("retryDelay", "nothing is tried again without maxRetries", path)


def _check_parallelism(step: SplitStep, path: str) -> Iterator[Diagnostic]:
    if step.config.sequential and step.config.parallelism > 1:
        yield _without_meaning("parallelism", "sequential goes through the items one after the other", path)


def _without_meaning(field: str, reason: str, path: str) -> Diagnostic:
    message = f"{field} has no meaning here: {reason}"
    return diagnose(Code.SETTING_WITHOUT_MEANING, child_path(path, field), message, hint="Leave it out.")


def _check_step(draft: StepDraft) -> Iterator[Diagnostic]:
    step = draft.step
    if step is None:
        return
    yield from _check_fields(step, draft.path)
    yield from _check_loop_variables(draft)
    yield from _check_retry_delay(step, draft.path)
    inner = graph_in(step)
    if inner is not None and inner.execution_timeout_seconds is not None and draft.subgraph is not None:
        reason = "an attempt has one timeout, that of the outermost graph"
        yield _without_meaning("executionTimeoutSeconds", reason, draft.subgraph.path)
    if isinstance(step, SplitStep):
        yield from _check_parallelism(step, child_path(draft.path, "config"))
        yield from _check_schema(step.input_schema, child_path(draft.path, "inputSchema"))
        yield from _check_schema(step.output_schema, child_path(draft.path, "outputSchema"))
    elif isinstance(step, WaitForSignalStep):
        yield from _check_schema(step.response_schema, child_path(draft.path, "responseSchema"))
        yield from _check_wait(step, draft.path)
    elif isinstance(step, DelayStep) and isinstance(step.duration_ms, Immediate):
        yield from _check_milliseconds(step.duration_ms.value, child_path(draft.path, "durationMs"))
    elif isinstance(step, GroupByStep):
        yield from _check_group_key(step, child_path(child_path(draft.path, "config"), "key"))
    elif isinstance(step, SwitchStep) and step.config is not None:
        yield from _check_matches(step.config, child_path(child_path(draft.path, "config"), "cases"))


def _check_matches(config: SwitchConfig, path: str) -> Iterator[Diagnostic]:
    for index, case in enumerate(config.cases):
        if isinstance(case.match, dict) and "valueType" in case.match:
            message = "a match is a constant: this object would be compared as it stands, and match nothing"
            hint = "Write the constant, or decide with a Conditional or with conditions of edges."
            yield diagnose(Code.MATCH_NOT_CONSTANT, child_path(child_path(path, index), "match"), message, hint=hint)


def _check_fields(node: Any, path: str) -> Iterator[Diagnostic]:
    """The numbers and the target keys of a step and of its config."""
    for name, written in zip(node.__struct_fields__, node.__struct_encode_fields__, strict=True):
        value, field_path = getattr(node, name), child_path(path, written)
        if name in _BOUNDS and isinstance(value, int):
            yield from _check_bound(name, value, field_path)
        elif name in _MAPPINGS and isinstance(value, dict):
            yield from _check_target_keys(value, field_path)
        elif name in ("config", "action", "memory", "compaction") and isinstance(value, msgspec.Struct):
            yield from _check_fields(value, field_path)


def _check_bound(name: str, value: int, path: str) -> Iterator[Diagnostic]:
    bound, code, message = _BOUNDS[name]
    if value > bound:
        yield diagnose(code, path, message.format(value=value, bound=bound, hours=f"{value / 3_600_000:.1f} hours"))


def _check_target_keys(mapping: dict[str, Any], path: str) -> Iterator[Diagnostic]:
    for key in mapping:
        if not all(key.split(".")):
            message = f"the target {key!r} has an empty part"
            yield diagnose(
                Code.PATH_MALFORMED, child_path(path, key), message, hint="Write a name, or names with dots."
            )


def _check_wait(step: WaitForSignalStep, path: str) -> Iterator[Diagnostic]:
    if step.poll_interval_ms is not None:
        yield _without_meaning("pollIntervalMs", "signals are pushed, so nothing is polled", path)
    if isinstance(step.timeout_ms, Immediate):
        yield from _check_milliseconds(step.timeout_ms.value, child_path(path, "timeoutMs"))


def _check_milliseconds(value: Any, path: str) -> Iterator[Diagnostic]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"a number of milliseconds belongs here, not {describe(value)}"
        yield diagnose(Code.VALUE_TYPE_WRONG, child_path(path, "value"), message)


def _check_group_key(step: GroupByStep, path: str) -> Iterator[Diagnostic]:
    try:
        tokenize(step.config.key)
    except PathMalformed as error:
        yield diagnose(Code.PATH_MALFORMED, path, f"{step.config.key!r} is not a path: {error}")


# ---- schemas

_KINDS_OF_FACTS: Final[dict[str, tuple[str, ...]]] = {
    "items": ("array",),
    "properties": ("object",),
    "pattern": ("string",),
    "min": ("string", "integer", "number", "array"),
    "max": ("string", "integer", "number", "array"),
}
"""What a schema can say of values of some types only."""


def _check_schema(fields: SchemaFields, path: str) -> Iterator[Diagnostic]:
    for name, field in fields.items():
        yield from _check_schema_field(field, child_path(path, name))


def _check_schema_field(field: SchemaField, path: str) -> Iterator[Diagnostic]:
    yield from _check_pattern(field, path)
    for name, kinds in _KINDS_OF_FACTS.items():
        if getattr(field, name) is not None and field.type not in kinds:
            yield _without_meaning(name, f"it says nothing of type {field.type}", path)
    if field.default is not UNSET:
        try:
            check_value(field.default, field, "the default")
        except SchemaMisfit as error:
            yield diagnose(Code.VALUE_TYPE_WRONG, child_path(path, "default"), str(error))
    if field.min is not None and field.max is not None and field.min > field.max:
        message = f"the least, {field.min:g}, is more than the most, {field.max:g}"
        yield diagnose(Code.SCHEMA_CONTRADICTORY, child_path(path, "min"), message)
    if field.items is not None:
        yield from _check_schema_field(field.items, child_path(path, "items"))
    yield from _check_schema(field.properties or {}, child_path(path, "properties"))


def _check_pattern(field: SchemaField, path: str) -> Iterator[Diagnostic]:
    if field.pattern is None:
        return
    try:
        compile_pattern(field.pattern)
    except ValueError as error:
        message = f"{field.pattern!r} is not a regular expression: {error}"
        yield diagnose(Code.SCHEMA_CONTRADICTORY, child_path(path, "pattern"), message)
