"""Settings: numbers that work and are probably not meant, constants of the wrong type, options that have to wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from runtara.dsl.catalog import CapabilityField
from runtara.dsl.coercion import fits
from runtara.dsl.diagnostics import Code, Diagnostic, diagnose
from runtara.dsl.draft import Draft, GraphDraft, StepDraft
from runtara.dsl.model import AgentStep, ConditionalStep, InputMapping
from runtara.dsl.paths import child_path
from runtara.dsl.structure import describe

__all__ = ("check_options", "check_settings")

_MANY_RETRIES: Final = 50
_LONG_MS: Final = 3_600_000


def check_options(draft: Draft) -> Iterator[Diagnostic]:
    """What is wrong with the options of the document itself."""
    for name, unsupported in (("debugMode", True), ("durable", False)):
        if draft.is_wrapped and draft.tree.get(name) is unsupported:
            message = f"{name}: {'true' if unsupported else 'false'} is not supported by this version"
            yield diagnose(Code.NOT_SUPPORTED, child_path("$", name), message)


def check_settings(draft: GraphDraft) -> Iterator[Diagnostic]:
    """What is wrong with the numbers, target keys and constants of a graph."""
    for name, variable in draft.variables.items():
        kind = "object" if variable is not None and variable.type == "file" else variable and variable.type
        if variable is not None and not fits(variable.value, CapabilityField(name=name, type=str(kind), required=True)):
            path = child_path(child_path(child_path(draft.path, "variables"), name), "value")
            message = f"the variable {name!r} is of type {variable.type}, and this is {describe(variable.value)}"
            yield diagnose(Code.VALUE_TYPE_WRONG, path, message)
    for step in draft.steps.values():
        yield from _check_numbers(step)
        if step.step is not None and not isinstance(step.step, ConditionalStep):
            yield from _check_target_keys(step.step.input_mapping, child_path(step.path, "inputMapping"))


def _check_numbers(step: StepDraft) -> Iterator[Diagnostic]:
    if not isinstance(step.step, AgentStep):
        return
    retries, delay, timeout = step.step.max_retries, step.step.retry_delay, step.step.timeout
    if (retries or 0) > _MANY_RETRIES:
        path = child_path(step.path, "maxRetries")
        yield diagnose(Code.MANY_RETRIES, path, f"{retries} retries are more than {_MANY_RETRIES}")
    if (delay or 0) > _LONG_MS:
        path = child_path(step.path, "retryDelay")
        yield diagnose(Code.LONG_RETRY_DELAY, path, f"the first retry waits {_in_hours(delay)}")
    if (timeout or 0) > _LONG_MS:
        path = child_path(step.path, "timeout")
        yield diagnose(Code.LONG_TIMEOUT, path, f"one try may take {_in_hours(timeout)}")


def _in_hours(milliseconds: Any) -> str:
    return f"{milliseconds / _LONG_MS:.1f} h"


def _check_target_keys(mapping: InputMapping, path: str) -> Iterator[Diagnostic]:
    for key in mapping:
        if "" in key.split("."):
            message = f"the target key {key!r} has an empty part"
            yield diagnose(Code.PATH_MALFORMED, child_path(path, key), message, hint="A dot makes a nested object.")
