"""The input of a run: the JSON value of the start, as ``data`` and ``variables``.

An object that has the key ``data`` and besides it nothing but ``variables`` is an envelope: its parts are the data and
the variables. Every other value is the data itself. (To start a scenario whose data looks like an envelope, wrap it in
one.) Sources: dsl.md §1.4, §9.3; core.md §5.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from runtara.sdk.base import InstanceInfo
from runtara.stdlib.schemas import fitting
from runtara.stdlib.steps import Scenario
from runtara.stdlib.values import ValueFailed

__all__ = ("RunInput", "read_input")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInput:
    """What references to ``data`` and ``variables`` see."""

    data: Any
    variables: Mapping[str, Any]


def read_input(info: InstanceInfo, scenario: Scenario) -> RunInput:
    """The input of the instance, over the defaults of the scenario's variables. Built-in variables always win.

    Raises:
        ValueFailed: it is no JSON, or sets a variable that begins with ``_``; ``INPUT_INVALID``.
    """
    try:
        value = msgspec.json.decode(info.input) if info.input else {}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueFailed("INPUT_INVALID", f"the input is not JSON: {error}") from error
    data, given = _opened(value)
    reserved = sorted(name for name in given if name.startswith("_"))
    if reserved:
        names = ", ".join(reserved)
        raise ValueFailed("INPUT_INVALID", f"variables that begin with _ belong to the platform: {names}")
    data = fitting(data, scenario.input_schema, "data", "INPUT_INVALID")
    return RunInput(data=data, variables={**scenario.variables, **given, **_built_in(info, scenario)})


def _opened(value: Any) -> tuple[Any, Mapping[str, Any]]:
    if not isinstance(value, dict) or "data" not in value or value.keys() - {"data", "variables"}:
        return value, {}
    variables = value.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise ValueFailed("INPUT_INVALID", "the variables of the input are not an object")
    return value["data"], variables or {}


def _built_in(info: InstanceInfo, scenario: Scenario) -> Mapping[str, Any]:
    return {"_scenario_id": scenario.id, "_instance_id": info.instance_id, "_tenant_id": info.tenant_id}
