"""The language of scenarios: JSON to values, and everything that can be said about a scenario before it runs."""

from runtara.dsl.diagnostics import Diagnostic as Diagnostic
from runtara.dsl.draft import Document as Document
from runtara.dsl.model import DSL_VERSION as DSL_VERSION
from runtara.dsl.model import ExecutionGraph as ExecutionGraph
from runtara.dsl.model import Scenario as Scenario
from runtara.dsl.validate import parse_scenario as parse_scenario
from runtara.dsl.validate import validate as validate

__all__ = ("DSL_VERSION", "Diagnostic", "Document", "ExecutionGraph", "Scenario", "parse_scenario", "validate")
