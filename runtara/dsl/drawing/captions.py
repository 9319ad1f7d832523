"""What stands under the title of a step in a picture: the one fact that tells it from others of its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

__all__ = ("caption_of", "clipped", "condition_text")

_CAPTION_CHARACTERS_MAX: Final = 38

Tree = Mapping[str, Any]


def caption_of(kind: str, step: Tree) -> str:
    """The caption of a step, from its JSON, which may have any mistakes; empty when there is nothing to say."""
    make = _CAPTIONS.get(kind)
    return "" if make is None else clipped(make(step, _object(step.get("config"))), _CAPTION_CHARACTERS_MAX)


def clipped(text: str, characters_max: int) -> str:
    """The text on one line, or its beginning and an ellipsis."""
    text = " ".join(text.split())
    return text if len(text) <= characters_max else f"{text[: characters_max - 1].rstrip()}…"


def condition_text(tree: Any) -> str:
    """A condition as a person would write it; clipped."""
    return clipped(_condition(tree, depth=0), _CAPTION_CHARACTERS_MAX)


def _object(value: Any) -> Tree:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _value(value: Any) -> str:
    tree = _object(value)
    if tree.get("valueType") in ("reference", "template"):
        return _text(tree.get("value"))
    if tree.get("valueType") == "immediate":
        return msgspec.json.encode(tree.get("value")).decode()
    return "…" if tree else ""


# ---- conditions

_SIGNS: Final = {
    "EQ": "=",
    "NE": "≠",
    "GT": ">",
    "GTE": "≥",
    "LT": "<",
    "LTE": "≤",
    "IN": "in",
    "NOT_IN": "not in",
    "CONTAINS": "contains",
    "STARTS_WITH": "starts with",
    "ENDS_WITH": "ends with",
    "AND": "and",
    "OR": "or",
}

_WORDS: Final = {
    "NOT": "not {}",
    "LENGTH": "length of {}",
    "IS_DEFINED": "{} is there",
    "IS_EMPTY": "{} is empty",
    "IS_NOT_EMPTY": "{} is not empty",
}


def _condition(tree: Any, *, depth: int) -> str:
    operation = _object(tree)
    if operation.get("type") != "operation":
        return _value(tree)
    operator, arguments = operation.get("op"), operation.get("arguments")
    if depth > 3 or not isinstance(operator, str) or not isinstance(arguments, list):
        return "…"
    parts = [_condition(argument, depth=depth + 1) for argument in arguments[:8]]
    if operator in _WORDS and len(parts) == 1:
        return _WORDS[operator].format(parts[0])
    joined = f" {_SIGNS.get(operator, operator)} ".join(parts)
    return f"({joined})" if depth and operator in ("AND", "OR") and len(parts) > 1 else joined


# ---- steps


def _agent(step: Tree, _config: Tree) -> str:
    return " · ".join(filter(None, (_text(step.get("agentId")), _text(step.get("capabilityId")))))


def _child(step: Tree, _config: Tree) -> str:
    version = step.get("childVersion")
    name = _text(step.get("childScenarioId"))
    return f"{name} @ {version}" if name and version is not None else name


def _finish(step: Tree, _config: Tree) -> str:
    return ", ".join(_object(step.get("inputMapping")))


def _delay(step: Tree, _config: Tree) -> str:
    return _milliseconds(_object(step.get("durationMs")))


def _milliseconds(value: Tree) -> str:
    milliseconds = value.get("value")
    if value.get("valueType") == "immediate" and isinstance(milliseconds, int) and milliseconds >= 0:
        return _duration(milliseconds)
    return _value(value)


def _duration(milliseconds: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size} {unit}"
    return f"{milliseconds} ms"


def _wait(step: Tree, _config: Tree) -> str:
    timeout = _object(step.get("timeoutMs"))
    return f"at most {_milliseconds(timeout)}" if timeout else ""


def _ai(step: Tree, config: Tree) -> str:
    return _value(config.get("model")) or _text(config.get("provider")) or _text(step.get("connectionId"))


_CAPTIONS: Final[Mapping[str, Callable[[Tree, Tree], str]]] = {
    "Agent": _agent,
    "AiAgent": _ai,
    "Conditional": lambda step, _: condition_text(step.get("condition")),
    "Connection": lambda step, _: _text(step.get("connectionId")),
    "Delay": _delay,
    "Error": lambda step, _: _text(step.get("code")),
    "Filter": lambda _, config: condition_text(config.get("condition")),
    "Finish": _finish,
    "GroupBy": lambda _, config: f"by {_text(config.get('key'))}",
    "Log": lambda step, _: _text(step.get("message")),
    "Split": lambda _, config: f"for each of {_value(config.get('value'))}",
    "StartScenario": _child,
    "Switch": lambda _, config: _value(config.get("value")),
    "WaitForSignal": _wait,
    "While": lambda step, _: f"while {condition_text(step.get('condition'))}",
}
