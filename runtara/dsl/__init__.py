"""The language of scenarios: JSON to values, and everything that can be said about a scenario before it runs.

The names load when they are asked for: a running scenario needs the paths of the language and not its validator.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtara.dsl.diagnostics import Diagnostic as Diagnostic
    from runtara.dsl.draft import Document as Document
    from runtara.dsl.model import DSL_VERSION as DSL_VERSION
    from runtara.dsl.model import ExecutionGraph as ExecutionGraph
    from runtara.dsl.model import Scenario as Scenario
    from runtara.dsl.validation import parse_scenario as parse_scenario
    from runtara.dsl.validation import validate as validate

__all__ = ("DSL_VERSION", "Diagnostic", "Document", "ExecutionGraph", "Scenario", "parse_scenario", "validate")

_MODULES = {
    "DSL_VERSION": "model",
    "Diagnostic": "diagnostics",
    "Document": "draft",
    "ExecutionGraph": "model",
    "Scenario": "model",
    "parse_scenario": "validation",
    "validate": "validation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
