"""What generated code imports, and nothing else: the ABI that ``runtara.artifact.STDLIB_ABI`` counts."""

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
from runtara.stdlib.steps import ConditionalStep as ConditionalStep
from runtara.stdlib.steps import FinishStep as FinishStep
from runtara.stdlib.steps import Scenario as Scenario
from runtara.stdlib.values import nested as nested

__all__ = (
    "AgentStep",
    "ConditionalStep",
    "FinishStep",
    "Run",
    "Scenario",
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
