"""What authors of durable programs import. ``runtara.sdk.sync`` has the same names for programs without asyncio.

Each name is loaded when it is asked for: a compiled scenario needs none of them, and starts faster for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtara.sdk import events as events
    from runtara.sdk.author import CurrentInstance as CurrentInstance
    from runtara.sdk.author import check_interrupt as check_interrupt
    from runtara.sdk.author import checkpoint as checkpoint
    from runtara.sdk.author import current_instance as current_instance
    from runtara.sdk.author import durable as durable
    from runtara.sdk.author import idempotency_key as idempotency_key
    from runtara.sdk.author import run as run
    from runtara.sdk.author import sleep as sleep
    from runtara.sdk.author import wait_signal as wait_signal
    from runtara.sdk.base import AttemptSuperseded as AttemptSuperseded
    from runtara.sdk.base import InstanceCancelled as InstanceCancelled
    from runtara.sdk.base import InstanceFailed as InstanceFailed
    from runtara.sdk.base import InstancePaused as InstancePaused
    from runtara.sdk.base import InstanceSuspended as InstanceSuspended
    from runtara.sdk.base import Interruption as Interruption
    from runtara.sdk.base import ServerLost as ServerLost
    from runtara.sdk.operations import SignalTimeout as SignalTimeout
    from runtara.sdk.operations import StepFailed as StepFailed

__all__ = (
    "AttemptSuperseded",
    "CurrentInstance",
    "InstanceCancelled",
    "InstanceFailed",
    "InstancePaused",
    "InstanceSuspended",
    "Interruption",
    "ServerLost",
    "SignalTimeout",
    "StepFailed",
    "check_interrupt",
    "checkpoint",
    "current_instance",
    "durable",
    "events",
    "idempotency_key",
    "run",
    "sleep",
    "wait_signal",
)

_MODULES = ("author", "base", "operations")


def __getattr__(name: str) -> Any:
    if name == "events":
        return import_module("runtara.sdk.events")
    if name in __all__:
        for module in map(import_module, (f"runtara.sdk.{module}" for module in _MODULES)):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
