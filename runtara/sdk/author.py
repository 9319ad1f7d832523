"""The asynchronous names that authors import. Each is a safe point: a pending cancel or pause ends the program here."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

import msgspec

from runtara.sdk import operations
from runtara.sdk.base import Durable, InstanceFailed
from runtara.sdk.operations import RetryPolicy
from runtara.sdk.recipe import Key, Recipe, arguments_of_main
from runtara.sdk.scope import Scope, current_scope, entered
from runtara.sdk.values import encode_value

__all__ = (
    "CurrentInstance",
    "check_interrupt",
    "checkpoint",
    "current_instance",
    "describe_instance",
    "durable",
    "idempotency_key",
    "run",
    "run_main",
    "sleep",
    "wait_signal",
)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentInstance:
    """Who this program is."""

    instance_id: str
    tenant_id: str
    attempt: int
    input: Any
    """The decoded JSON."""


@overload
def durable(function: Callable[P, Awaitable[T]], /) -> Callable[P, Coroutine[Any, Any, T]]: ...


@overload
def durable(
    *,
    key: Key | None = ...,
    max_retries: int = ...,
    retry_delay_s: float = ...,
    backoff: float = ...,
    timeout_s: float | None = ...,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]: ...


def durable(
    function: Callable[..., Any] | None = None,
    /,
    *,
    key: Key | None = None,
    max_retries: int = 3,
    retry_delay_s: float = 1.0,
    backoff: float = 2.0,
    timeout_s: float | None = None,
) -> Any:
    """Make an async function durable: once it has returned, it never runs again for the same key.

    Its result must be what JSON can hold, and comes back as its return annotation says. An exception is tried again
    (attempts and delays survive restarts) unless it says that it is permanent (``category`` or ``retryable``); when
    the tries are used up, ``StepFailed`` is raised, now and in every replay.

    Args:
        function: The function, when used without parentheses.
        key: The key of a call within its surroundings, or a function of the call's arguments that gives it; calls with
            equal keys are one call. By default calls are told apart by their arguments and number, see ``sdk.scope``.
        max_retries: Tries after the first one.
        retry_delay_s: Before the first retry.
        backoff: The factor from delay to delay.
        timeout_s: How long one try may take; then it failed with ``TimeoutError``, which is tried again.
    """
    policy = RetryPolicy(max_retries=max_retries, retry_delay_s=retry_delay_s, backoff=backoff)

    def decorate(body: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        recipe = Recipe(body=body, key=key, policy=policy)

        @functools.wraps(body)
        async def durably(*arguments: Any, **named: Any) -> Any:
            call = recipe.call(arguments, named)
            state = await call.durable.recall()
            while state is None:
                try:
                    with entered(call.inside):
                        result = await _within(body(*arguments, **named), timeout_s)
                    state = await call.durable.succeeded(result)
                except InstanceFailed:
                    raise
                except Exception as error:
                    await call.durable.failed(error)
            return recipe.result(state)

        return durably

    return decorate if function is None else decorate(function)


async def _within(running: Awaitable[T], timeout_s: float | None) -> T:
    timeout = asyncio.timeout(timeout_s)
    try:
        async with timeout:
            return await running
    except TimeoutError as error:
        if timeout.expired():
            raise TimeoutError(f"no result within {timeout_s:g} s") from error
        raise


async def checkpoint(key: str, value: T) -> T:
    """Save ``value`` under ``key``, durable on return. What holds is returned: the first value ever saved there."""
    scope = current_scope()
    held: T = await operations.save_value(scope.durable, scope.key("checkpoint", key), value)
    return held


async def sleep(duration: float | timedelta, *, key: str | None = None) -> None:
    """Sleep for seconds or a ``timedelta``, counted from the first time that this call began.

    Above the server's threshold (30 s) the process ends and the instance is launched again in time.
    """
    scope = current_scope()
    await operations.sleep_for(scope.durable, scope.key("sleep", key), duration)


async def wait_signal(name: str, *, timeout_s: float | None = None, key: str | None = None) -> Any:
    """The payload (decoded JSON) of the oldest custom signal of that name that nobody has taken yet.

    Taking it is durable together with its payload. A long wait ends the process; the signal brings it back.

    Raises:
        SignalTimeout: none came within ``timeout_s`` of the first time that this call began.
    """
    scope = current_scope()
    return await operations.wait_for_signal(scope.durable, scope.key(f"signal/{name}", key), name, timeout_s)


async def check_interrupt() -> None:
    """A safe point in a long computation: a pending cancel or pause ends the program here."""
    await operations.give_way(current_scope().durable)


def current_instance() -> CurrentInstance:
    """Who this program is. Raises ``NotInInstance``."""
    return describe_instance(current_scope().durable)


def describe_instance(durable: Durable) -> CurrentInstance:
    """See ``CurrentInstance``."""
    info = durable.info
    return CurrentInstance(
        instance_id=info.instance_id,
        tenant_id=info.tenant_id,
        attempt=info.attempt,
        input=msgspec.json.decode(info.input),
    )


def idempotency_key() -> str:
    """The same for every try of the durable call around this, in all attempts, and another one for every other call.

    Hand it to services that know such keys: then a try that was cut off does nothing twice.
    """
    scope = current_scope()
    return f"{scope.durable.info.instance_id}:{scope.call_key}"


def run(main: Callable[..., Awaitable[Any]]) -> NoReturn:
    """Be an instance: connect, call ``main(input)``, report how it ended, and end the process.

    The input comes as the type that ``main`` annotates for it; a ``main`` without parameters does without. What it
    returns is the output; what it raises fails the instance.
    """

    async def entry(durable: Durable) -> bytes:
        return await run_main(main, durable)

    # Only a program has a connection to make; tests import these names without one.
    from runtara.sdk.program import run_program

    run_program(entry)


async def run_main(main: Callable[..., Awaitable[Any]], durable: Durable) -> bytes:
    """The output of ``main`` on that instance, as JSON. Raises what it raises, and ``NotJson``."""
    with entered(Scope(durable)):
        output = await main(*arguments_of_main(main, durable.info.input))
    return encode_value(output, what="the output")
