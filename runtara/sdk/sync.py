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

import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from runtara.sdk import events as events
from runtara.sdk import operations
from runtara.sdk.author import CurrentInstance as CurrentInstance
from runtara.sdk.author import current_instance as current_instance
from runtara.sdk.author import describe_instance, return_type
from runtara.sdk.base import AttemptSuperseded, Durable, InstanceFailed
from runtara.sdk.base import Interruption as Interruption
from runtara.sdk.failures import describe
from runtara.sdk.operations import DurableCall, RetryPolicy
from runtara.sdk.operations import SignalTimeout as SignalTimeout
from runtara.sdk.operations import StepFailed as StepFailed
from runtara.sdk.scope import Scope, current_scope, entered

__all__ = (
    "CurrentInstance",
    "Interruption",
    "SignalTimeout",
    "StepFailed",
    "attend",
    "check_interrupt",
    "checkpoint",
    "current_instance",
    "durable",
    "events",
    "run",
    "sleep",
    "wait_signal",
)

P = ParamSpec("P")
T = TypeVar("T")


class _Bridged:
    """A ``Durable`` whose emissions, too, happen on its own thread."""

    def __init__(self, durable: Durable, portal: BlockingPortal) -> None:
        self.durable = durable
        self.portal = portal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.durable, name)

    def emit(self, subtype: str, payload: bytes | None) -> None:
        self.portal.call(self.durable.emit, subtype, payload)


def _wait(work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
    """Run it on the connection's thread, and give back here what it returns or raises."""
    durable = current_scope().durable
    assert isinstance(durable, _Bridged), "asynchronous programs use runtara.sdk"
    result: T = durable.portal.call(work, *arguments)
    return result


@overload
def durable(function: Callable[P, T], /) -> Callable[P, T]: ...


@overload
def durable(
    *,
    key: str | Callable[..., str] | None = ...,
    max_retries: int = ...,
    retry_delay_s: float = ...,
    backoff: float = ...,
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def durable(
    function: Callable[..., Any] | None = None,
    /,
    *,
    key: str | Callable[..., str] | None = None,
    max_retries: int = 3,
    retry_delay_s: float = 1.0,
    backoff: float = 2.0,
) -> Any:
    """Make a function durable: see ``runtara.sdk.durable``. It has no timeout: a thread cannot be interrupted."""
    policy = RetryPolicy(max_retries=max_retries, retry_delay_s=retry_delay_s, backoff=backoff)

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        def call(*arguments: Any, **named: Any) -> Any:
            scope = current_scope()
            own_key = scope.key(body.__qualname__, key(*arguments, **named) if callable(key) else key)
            durable_call = DurableCall(scope.durable, own_key, policy)
            state = _wait(durable_call.recall)
            while state is None:
                try:
                    with entered(scope.inside(own_key)):
                        result = body(*arguments, **named)
                except Exception as error:
                    _wait(durable_call.failed, error)
                else:
                    state = _wait(durable_call.succeeded, msgspec.json.encode(result))
            return msgspec.json.decode(state, type=return_type(body))

        return call

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


def run(main: Callable[[Any], Any]) -> NoReturn:
    """Be an instance: see ``runtara.sdk.run``."""
    from runtara.sdk.program import own_options, report_errors
    from runtara.sdk.remote import open_remote

    def attempt() -> int:
        with (
            start_blocking_portal("asyncio") as portal,
            portal.wrap_async_context_manager(open_remote(own_options())) as remote,
        ):
            signal.signal(signal.SIGTERM, lambda number, frame: portal.start_task_soon(_stop, remote))
            attend(remote, portal, main)
        return 0

    sys.exit(report_errors(attempt))


async def _stop(remote: Any) -> None:
    remote.stop()


def attend(durable: Durable, portal: BlockingPortal, main: Callable[[Any], Any]) -> None:
    """Run ``main`` in this thread, with ``durable`` on the portal's, and report its end.

    Raises ``Interruption`` when the attempt ends otherwise.
    """
    from runtara.sdk.program import vanish

    try:
        with entered(Scope(_Bridged(durable, portal))):
            output = msgspec.json.encode(main(describe_instance(durable).input))
        portal.call(durable.complete, output)
    except InstanceFailed as failure:
        portal.call(durable.fail, failure.error)
    except AttemptSuperseded as error:
        vanish(error)
    except Exception as error:
        portal.call(durable.fail, describe(error))
