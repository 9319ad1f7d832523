"""What generated code imports, and nothing else: the ABI that ``runtara.artifact.STDLIB_ABI`` counts."""

from runtara.stdlib.ai import Prompt as Prompt
from runtara.stdlib.conditions import at_least as at_least
from runtara.stdlib.conditions import at_most as at_most
from runtara.stdlib.conditions import contains as contains
from runtara.stdlib.conditions import ends_with as ends_with
from runtara.stdlib.conditions import equal as equal
from runtara.stdlib.conditions import greater as greater
from runtara.stdlib.conditions import is_defined as is_defined
from runtara.stdlib.conditions import is_empty as is_empty
from runtara.stdlib.conditions import is_in as is_in
from runtara.stdlib.conditions import length as length
from runtara.stdlib.conditions import less as less
from runtara.stdlib.conditions import starts_with as starts_with
from runtara.stdlib.conditions import truthy as truthy
from runtara.stdlib.entry import execute as execute
from runtara.stdlib.entry import main as main
from runtara.stdlib.run import Run as Run
from runtara.stdlib.steps import AgentStep as AgentStep
from runtara.stdlib.steps import AiAgentStep as AiAgentStep
from runtara.stdlib.steps import Case as Case
from runtara.stdlib.steps import ConditionalStep as ConditionalStep
from runtara.stdlib.steps import ConnectionStep as ConnectionStep
from runtara.stdlib.steps import DelayStep as DelayStep
from runtara.stdlib.steps import ErrorStep as ErrorStep
from runtara.stdlib.steps import FilterStep as FilterStep
from runtara.stdlib.steps import FinishStep as FinishStep
from runtara.stdlib.steps import Graph as Graph
from runtara.stdlib.steps import GroupByStep as GroupByStep
from runtara.stdlib.steps import LogStep as LogStep
from runtara.stdlib.steps import Scenario as Scenario
from runtara.stdlib.steps import SplitStep as SplitStep
from runtara.stdlib.steps import StartScenarioStep as StartScenarioStep
from runtara.stdlib.steps import SwitchStep as SwitchStep
from runtara.stdlib.steps import Tool as Tool
from runtara.stdlib.steps import WaitForSignalStep as WaitForSignalStep
from runtara.stdlib.steps import WhileStep as WhileStep
from runtara.stdlib.values import nested as nested

__all__ = (
    "AgentStep",
    "AiAgentStep",
    "Case",
    "ConditionalStep",
    "ConnectionStep",
    "DelayStep",
    "ErrorStep",
    "FilterStep",
    "FinishStep",
    "Graph",
    "GroupByStep",
    "LogStep",
    "Prompt",
    "Run",
    "Scenario",
    "SplitStep",
    "StartScenarioStep",
    "SwitchStep",
    "Tool",
    "WaitForSignalStep",
    "WhileStep",
    "at_least",
    "at_most",
    "contains",
    "ends_with",
    "equal",
    "execute",
    "greater",
    "is_defined",
    "is_empty",
    "is_in",
    "length",
    "less",
    "main",
    "nested",
    "starts_with",
    "truthy",
)
