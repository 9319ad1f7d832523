"""The durable call: one Agent step from its inputs to its recorded result.

What is recorded is never done again. A result that no effect depends on yet is sent and not waited for; everything that
was sent is durable before the next effect, so a crash repeats pure work at no harm and effects only while their result
is not recorded, with the same idempotency key. Failed tries are recorded as well: a replay goes on counting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec

from runtara.agents import AgentError, Capability
from runtara.errors import LimitExceeded
from runtara.sdk.base import Durable
from runtara.stdlib.connections import fetch_connection
from runtara.stdlib.execution import Execution
from runtara.stdlib.failures import StepFailed
from runtara.stdlib.retry import RetryPolicy
from runtara.stdlib.steps import AgentStep
from runtara.stdlib.tries import Tries
from runtara.stdlib.values import encode_value
from runtara.stdlib.waits import Waits

__all__ = ("DurableCall",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableCall:
    """One call of a capability, in one place of a run."""

    execution: Execution
    step: AgentStep
    key: str
    retry_key: str
    """Under which its failed tries are counted; another one when what is around it is tried again."""
    durable: Durable
    is_durable: bool
    waits: Waits
    rate_limit_budget_ms: int

    async def outputs(self, inputs: Mapping[str, Any]) -> Any:
        """The outputs of the step: those that were recorded, or new ones.

        Raises:
            StepFailed: it failed finally, now or in an earlier attempt.
        """
        state = await self.durable.find(self.key)
        if state is None:
            state = await self._new_state(inputs)
        return msgspec.json.decode(state)

    async def _new_state(self, inputs: Mapping[str, Any]) -> bytes:
        capability = self._capability()
        tries = Tries(
            step=self.step,
            key=self.retry_key,
            policy=self._policy(),
            durable=self.durable,
            waits=self.waits,
            is_durable=self.is_durable,
        )

        async def attempt() -> bytes:
            return await self._record_result(capability, await self._try(capability, inputs))

        return await tries.until_success(attempt)

    def _capability(self) -> Capability:
        found = self.execution.agents.find_capability(self.step.agent, self.step.capability)
        if found is None:
            message = f"this runtime has no capability {self.step.agent}/{self.step.capability}"
            raise StepFailed(self.step, AgentError("CAPABILITY_NOT_FOUND", message))
        return found

    async def _try(self, capability: Capability, inputs: Mapping[str, Any]) -> bytes:
        if capability.info.has_side_effects:
            await self.execution.durable.flush()
        try:
            return _encoded(await self._call(capability, inputs))
        except Exception as error:
            raise AgentError.of(error) from error

    async def _call(self, capability: Capability, inputs: Mapping[str, Any]) -> Any:
        connection = None
        if self.step.connection_id is not None:
            tag = f"{self.step.agent}_{self.step.capability}"
            connection = await fetch_connection(self.execution, self.step.connection_id, step=self.step, tag=tag)
        context = self.execution.context(self.step, self.key, connection)
        if self.step.timeout_ms is None:
            return await capability.call(inputs, context)
        with anyio.move_on_after(self.step.timeout_ms / 1000) as scope:
            return await capability.call(inputs, context, in_thread=True)
        assert scope.cancelled_caught
        raise AgentError("TIMEOUT", f"no result within {self.step.timeout_ms} ms", category="transient")

    async def _record_result(self, capability: Capability, state: bytes) -> bytes:
        """The state that holds, which after a race of two attempts may be another one's."""
        try:
            if capability.info.has_side_effects:
                return await self.durable.save(self.key, state)
            self.durable.send(self.key, state)
            return state
        except LimitExceeded as error:
            raise AgentError("OUTPUT_TOO_LARGE", f"the result cannot be stored: {error.message}") from error

    def _policy(self) -> RetryPolicy:
        return RetryPolicy(
            max_retries=self.step.max_retries,
            delay_ms=self.step.retry_delay_ms,
            rate_limit_budget_ms=self.rate_limit_budget_ms,
        )


def _encoded(outputs: Any) -> bytes:
    try:
        return encode_value(outputs)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        message = f"the capability returned what JSON cannot hold: {error}"
        raise AgentError("OUTPUT_SERIALIZATION_ERROR", message) from error
