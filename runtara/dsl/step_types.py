"""The types of steps as a person meets them: their names, and the group that a palette shows them in.

Source: dsl.md §1.6. What a step does is the docstring of its class in ``runtara.dsl.model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from runtara.dsl.model import Step

__all__ = ("STEP_TYPES", "Category", "StepType", "step_class")

Category: TypeAlias = Literal["control", "execution", "utility"]


class StepType(NamedTuple):
    """How a type of steps is shown."""

    display_name: str
    category: Category


STEP_TYPES: Final[Mapping[str, StepType]] = {
    "Agent": StepType("Agent", "execution"),
    "AiAgent": StepType("AI agent", "execution"),
    "Conditional": StepType("Conditional", "control"),
    "Connection": StepType("Connection", "utility"),
    "Delay": StepType("Delay", "control"),
    "Error": StepType("Error", "control"),
    "Filter": StepType("Filter", "control"),
    "Finish": StepType("Finish", "control"),
    "GroupBy": StepType("Group by", "control"),
    "Log": StepType("Log", "utility"),
    "Split": StepType("Split", "control"),
    "StartScenario": StepType("Start scenario", "execution"),
    "Switch": StepType("Switch", "control"),
    "WaitForSignal": StepType("Wait for signal", "control"),
    "While": StepType("While", "control"),
}
"""By ``stepType``, sorted."""

_CLASSES: Final[Mapping[str, type[Step]]] = {str(each.__struct_config__.tag): each for each in get_args(Step)}


def step_class(step_type: str) -> type[Step]:
    """The class of the document model for a ``stepType``. Raises ``KeyError`` for what is none."""
    return _CLASSES[step_type]
