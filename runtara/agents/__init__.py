"""What scenarios can call, and what authors of agents import."""

from runtara.agents.capability import Agent as Agent
from runtara.agents.capability import Capability as Capability
from runtara.agents.capability import agent as agent
from runtara.agents.capability import capability as capability
from runtara.agents.context import CallContext as CallContext
from runtara.agents.context import Resources as Resources
from runtara.agents.errors import AgentError as AgentError
from runtara.agents.registry import Registry as Registry
from runtara.agents.registry import registry as registry

__all__ = (
    "Agent",
    "AgentError",
    "CallContext",
    "Capability",
    "Registry",
    "Resources",
    "agent",
    "capability",
    "registry",
)
