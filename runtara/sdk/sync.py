"""The names of ``runtara.sdk`` for plain synchronous programs.

The connection lives on a thread of its own, so code that blocks for a minute stays registered and is told what
happens. Each name is a safe point: a pending cancel or pause is raised here, in the thread of the program.
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

from runtara.sdk import events as events
from runtara.sdk import operations
from runtara.sdk.author import CurrentInstance as CurrentInstance
from runtara.sdk.author import current_instance as current_instance
from runtara.sdk.author import idempotency_key as idempotency_key
from runtara.sdk.base import AttemptSuperseded as AttemptSuperseded
from runtara.sdk.base import Durable
from runtara.sdk.base import InstanceCancelled as InstanceCancelled
from runtara.sdk.base import InstanceFailed as InstanceFailed
from runtara.sdk.base import InstancePaused as InstancePaused
from runtara.sdk.base import InstanceSuspended as InstanceSuspended
from runtara.sdk.base import Interruption as Interruption
from runtara.sdk.base import ServerLost as ServerLost
from runtara.sdk.bridge import Bridge
from runtara.sdk.failures import describe
from runtara.sdk.operations import RetryPolicy
from runtara.sdk.operations import SignalTimeout as SignalTimeout
from runtara.sdk.operations import StepFailed as StepFailed
from runtara.sdk.recipe import Key, Recipe, arguments_of_main
from runtara.sdk.scope import Scope, current_scope, entered
from runtara.sdk.values import encode_value

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
    "attend",
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

P = ParamSpec("P")
T = TypeVar("T")


class _Bridged:
    """A ``Durable`` on the loop of a bridge."""

    def __init__(self, durable: Durable, bridge: Bridge) -> None:
        self.durable = durable
        self.bridge = bridge

    def __getattr__(self, name: str) -> Any:
        return getattr(self.durable, name)

    def emit(self, subtype: str, payload: bytes | None) -> None:
        """See ``Durable.emit``."""

        async def emit() -> None:
            self.durable.emit(subtype, payload)

        self.bridge.call(emit)


def _wait(work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
    """Run it on the connection's thread, and give back here what it returns or raises."""
    durable = current_scope().durable
    assert isinstance(durable, _Bridged), "asynchronous programs use runtara.sdk"
    return durable.bridge.call(work, *arguments)


@overload
def durable(function: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def durable(
    *,
    key: Key | None = ...,
    max_retries: int = ...,
    retry_delay_s: float = ...,
    backoff: float = ...,
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def durable(
    function: Callable[..., Any] | None = None,
    /,
    *,
    key: Key | None = None,
    max_retries: int = 3,
    retry_delay_s: float = 1.0,
    backoff: float = 2.0,
) -> Any:
    """Make a function durable: see ``runtara.sdk.durable``. It has no timeout: a thread cannot be interrupted."""
    policy = RetryPolicy(max_retries=max_retries, retry_delay_s=retry_delay_s, backoff=backoff)

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        recipe = Recipe(body=body, key=key, policy=policy)

        @functools.wraps(body)
        def durably(*arguments: Any, **named: Any) -> Any:
            call = recipe.call(arguments, named)
            state = _wait(call.durable.recall)
            while state is None:
                try:
                    with entered(call.inside):
                        result = body(*arguments, **named)
                    state = _wait(call.durable.succeeded, result)
                except InstanceFailed:
                    raise
                except Exception as error:
                    _wait(call.durable.failed, error)
            return recipe.result(state)

        return durably

    return decorate if function is None else decorate(function)


def checkpoint(key: str, value: T) -> T:
    """See ``runtara.sdk.checkpoint``."""
    scope = current_scope()
    held: T = _wait(operations.save_value, scope.durable, scope.key("checkpoint", key), value)
    return held


def sleep(duration: float | timedelta, *, key: str | None = None) -> None:
    """See ``runtara.sdk.sleep``."""
    scope = current_scope()
    _wait(operations.sleep_for, scope.durable, scope.key("sleep", key), duration)


def wait_signal(name: str, *, timeout_s: float | None = None, key: str | None = None) -> Any:
    """See ``runtara.sdk.wait_signal``."""
    scope = current_scope()
    return _wait(operations.wait_for_signal, scope.durable, scope.key(f"signal/{name}", key), name, timeout_s)


def check_interrupt() -> None:
    """See ``runtara.sdk.check_interrupt``."""
    _wait(operations.give_way, current_scope().durable)


def run(main: Callable[..., Any]) -> NoReturn:
    """Be an instance: see ``runtara.sdk.run``."""
    from runtara.sdk.program import own_options, report_errors
    from runtara.sdk.remote import open_remote

    def attempt() -> int:
        with Bridge() as bridge, bridge.opened(open_remote(own_options())) as remote:
            signal.signal(signal.SIGTERM, lambda number, frame: bridge.soon(remote.stop))
            attend(remote, bridge, main)
        return 0

    sys.exit(report_errors(attempt))


def attend(durable: Durable, bridge: Bridge, main: Callable[..., Any]) -> None:
    """Run ``main`` in this thread, with ``durable`` on the bridge's, and report its end.

    Raises ``Interruption`` when the attempt ends otherwise.
    """
    from runtara.sdk.program import vanish

    try:
        with entered(Scope(_Bridged(durable, bridge))):
            output = main(*arguments_of_main(main, durable.info.input))
        bridge.call(durable.complete, encode_value(output, what="the output"))
    except InstanceFailed as failure:
        bridge.call(durable.fail, failure.error)
    except AttemptSuperseded as error:
        vanish(error)
    except Exception as error:
        bridge.call(durable.fail, describe(error))
