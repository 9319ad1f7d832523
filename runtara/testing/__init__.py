"""What products test their scenarios and agents with, and so do we. ``contracts`` has the suites for backends."""

from runtara.testing.clock import ManualClock as ManualClock
from runtara.testing.crashes import CrashReport as CrashReport
from runtara.testing.crashes import try_crashes as try_crashes
from runtara.testing.doubles import Call as Call
from runtara.testing.scenario import RunResult as RunResult
from runtara.testing.scenario import ScriptedSignal as ScriptedSignal
from runtara.testing.scenario import call_capability as call_capability
from runtara.testing.scenario import run_scenario as run_scenario

__all__ = (
    "Call",
    "CrashReport",
    "ManualClock",
    "RunResult",
    "ScriptedSignal",
    "call_capability",
    "run_scenario",
    "try_crashes",
)
