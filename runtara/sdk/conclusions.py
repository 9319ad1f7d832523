"""How an attempt can end by its own report, and how to tell from an answer or from a status that it did. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtara.errors import IllegalTransition
from runtara.protocol.messages import (
    AckSignal,
    Complete,
    Fail,
    Message,
    Ok,
    Parked,
    SignalAcked,
    SignalPending,
    Sleep,
    Wait,
    Yield,
)
from runtara.sdk.base import InstanceCancelled, InstancePaused, InstanceSuspended

__all__ = ("Conclusion", "acknowledgement", "end", "is_applied", "suspension", "yielding")

# By the time somebody looks, a suspended instance may be in the queue again.
_PARKED: Final = frozenset({"suspended", "pending"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How an attempt wants to end."""

    message: Message
    statuses: frozenset[str]
    """Where the instance is when this was applied. So a lost answer can be told from a successor's deeds."""
    ending: BaseException
    """What every later call raises."""


def is_applied(answer: Message) -> bool:
    """Whether that answer ends the attempt; if not, it goes on."""
    match answer:
        case Parked():
            return answer.parked
        case SignalAcked():
            return answer.applied
        case _:
            return isinstance(answer, Ok)


def suspension(message: Sleep | Wait | Yield, why: str) -> Conclusion:
    """It ends here and is launched again by itself."""
    return Conclusion(message=message, statuses=_PARKED, ending=InstanceSuspended(f"the instance is suspended: {why}"))


def yielding() -> Conclusion:
    """It makes room."""
    return suspension(Yield(), "its server or its process was asked to end")


def acknowledgement(signal: SignalPending) -> Conclusion:
    """It does what a cancel or a pause asks."""
    message = AckSignal(signal.signal_no)
    if signal.kind == "pause":
        return Conclusion(message=message, statuses=_PARKED, ending=InstancePaused("the instance is paused"))
    reason = f": {signal.payload.decode(errors='replace')}" if signal.payload else ""
    ending = InstanceCancelled(f"the instance is cancelled{reason}")
    return Conclusion(message=message, statuses=frozenset({"cancelled"}), ending=ending)


def end(message: Complete | Fail, status: str) -> Conclusion:
    """The instance has ended, as completed or failed."""
    ending = IllegalTransition(f"this attempt has ended its instance as {status}", status=status)
    return Conclusion(message=message, statuses=frozenset({status}), ending=ending)
