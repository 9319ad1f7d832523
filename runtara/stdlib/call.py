"""The durable call: one Agent step from its inputs to its recorded result.

What is recorded is never done again. A result that no effect depends on yet is sent and not waited for; everything that
was sent is durable before the next effect, so a crash repeats pure work at no harm and effects only while their result
is not recorded, with the same idempotency key. Failed tries are recorded as well: a replay goes on counting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import anyio
import msgspec

from runtara.agents import AgentError, CallContext, Capability, Registry, Resources
from runtara.clock import Clock
from runtara.errors import LimitExceeded
from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import Durable
from runtara.stdlib.failures import StepFailed, encode_error
from runtara.stdlib.retry import RetryPolicy, decide
from runtara.stdlib.steps import AgentStep
from runtara.stdlib.values import encode_value

__all__ = ("Caller",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Calls capabilities durably, for one run."""

    durable: Durable
    agents: Registry
    clock: Clock
    random: Random
    resources: Resources
    rate_limit_budget_ms: int

    async def call(self, step: AgentStep, inputs: Mapping[str, Any], *, key: str) -> Any:
        """The outputs of the step: those that were recorded, or new ones.

        Raises:
            StepFailed: it failed finally, now or in an earlier attempt.
        """
        state = await self.durable.find(key)
        if state is None:
            state = await self._new_state(step, inputs, key)
        return msgspec.json.decode(state)

    async def _new_state(self, step: AgentStep, inputs: Mapping[str, Any], key: str) -> bytes:
        capability = self._capability(step)
        while True:
            await self._wait_for_turn(step, key)
            try:
                state = await self._try(step, capability, inputs, key)
                return await self._record_result(capability, key, state)
            except AgentError as error:
                await self._record_failure(step, key, error)

    def _capability(self, step: AgentStep) -> Capability:
        found = self.agents.find_capability(step.agent, step.capability)
        if found is None:
            message = f"this runtime has no capability {step.agent}/{step.capability}"
            raise StepFailed(step, AgentError("CAPABILITY_NOT_FOUND", message))
        return found

    async def _wait_for_turn(self, step: AgentStep, key: str) -> None:
        """Returns when the step may be tried: at once, or after the wait that its last failure asked for."""
        record = self.durable.retry_of(key)
        if record is None:
            return
        if record.next_at is None:
            raise StepFailed(step, AgentError.from_data(msgspec.json.decode(record.error)))
        await self.durable.flush()
        await self.durable.sleep_until(record.next_at)

    async def _try(self, step: AgentStep, capability: Capability, inputs: Mapping[str, Any], key: str) -> bytes:
        if capability.info.has_side_effects:
            await self.durable.flush()
        try:
            return _encoded(await self._call(step, capability, inputs, key))
        except Exception as error:
            raise AgentError.of(error) from error

    async def _call(self, step: AgentStep, capability: Capability, inputs: Mapping[str, Any], key: str) -> Any:
        context = self._context(step, key)
        if step.timeout_ms is None:
            return await capability.call(inputs, context)
        with anyio.move_on_after(step.timeout_ms / 1000) as scope:
            return await capability.call(inputs, context, in_thread=True)
        assert scope.cancelled_caught
        raise AgentError("TIMEOUT", f"no result within {step.timeout_ms} ms", category="transient")

    def _context(self, step: AgentStep, key: str) -> CallContext:
        info = self.durable.info
        return CallContext(
            instance_id=info.instance_id,
            tenant_id=info.tenant_id,
            step_id=step.id,
            idempotency_key=f"{info.instance_id}:{key}",
            clock=self.clock,
            random=self.random,
            resources=self.resources,
        )

    async def _record_result(self, capability: Capability, key: str, state: bytes) -> bytes:
        """The state that holds, which after a race of two attempts may be another one's."""
        try:
            if capability.info.has_side_effects:
                return await self.durable.save(key, state)
            self.durable.send(key, state)
            return state
        except LimitExceeded as error:
            raise AgentError("OUTPUT_TOO_LARGE", f"the result cannot be stored: {error.message}") from error

    async def _record_failure(self, step: AgentStep, key: str, error: AgentError) -> None:
        """Durable on return, with the time of the next try, or as final."""
        record = self.durable.retry_of(key)
        tries, waited_ms = (record.tries, record.waited_ms) if record is not None else (0, 0)
        again = decide(self._policy(step), error, tries=tries, waited_ms=waited_ms)
        await self.durable.record_retry(
            RetryRecord(
                key=key,
                tries=tries + 1 if again is None else again.tries,
                error=encode_error(error.to_data()),
                next_at=None if again is None else self.durable.now() + timedelta(milliseconds=again.wait_ms),
                waited_ms=waited_ms if again is None else again.waited_ms,
            )
        )
        if again is None:
            raise StepFailed(step, error)

    def _policy(self, step: AgentStep) -> RetryPolicy:
        return RetryPolicy(
            max_retries=step.max_retries,
            delay_ms=step.retry_delay_ms,
            rate_limit_budget_ms=self.rate_limit_budget_ms,
        )


def _encoded(outputs: Any) -> bytes:
    try:
        return encode_value(outputs)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        message = f"the capability returned what JSON cannot hold: {error}"
        raise AgentError("OUTPUT_SERIALIZATION_ERROR", message) from error
