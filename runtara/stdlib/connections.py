"""Connections: what a step needs to talk to a service in somebody's name. Source: dsl.md §10.

They are fetched from the product's connection service for each try, used, and forgotten: nothing of them is stored,
logged or shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio

from runtara.agents.errors import AgentError
from runtara.stdlib.execution import Execution
from runtara.stdlib.steps import ConnectionStep, Step

if TYPE_CHECKING:
    import httpx

__all__ = ("fetch_connection", "fetch_for_step")

_TIMEOUT_S: Final = 30.0
_RETRY_AFTER_S: Final = 60


async def fetch_connection(execution: Execution, connection_id: str, *, step: Step, tag: str) -> Mapping[str, Any]:
    """The connection: ``parameters``, ``integration_id``, ``connection_subtype``.

    Args:
        execution: The run.
        connection_id: Which one.
        step: Who asks; told to the service, with ``tag``, for its records.
        tag: What it is needed for.

    Raises:
        AgentError: ``CONNECTION_NOT_FOUND``, ``CONNECTION_RATE_LIMITED`` with a time to come back,
            ``CONNECTION_SERVICE_UNAVAILABLE``, or ``CONNECTION_SERVICE_MISSING`` when there is no service.
    """
    if execution.connection_url is None:
        message = f"the connection {connection_id!r} cannot be fetched: CONNECTION_SERVICE_URL is not set"
        raise AgentError("CONNECTION_SERVICE_MISSING", message)
    info = execution.durable.info
    url = f"{execution.connection_url.rstrip('/')}/{quote(info.tenant_id, safe='')}/{quote(connection_id, safe='')}"
    parameters = {
        "tag": tag,
        "stepId": step.id,
        "scenarioId": execution.scenario.id,
        "instanceId": info.instance_id,
    }
    return _connection_in(await _get(execution, url, parameters), connection_id)


async def fetch_for_step(execution: Execution, step: ConnectionStep) -> Mapping[str, Any]:
    """The connection that a step names, once.

    Raises:
        AgentError: as ``fetch_connection``; ``CONNECTION_TYPE_WRONG``; ``TIMEOUT``.
    """
    timeout_s = None if step.timeout_ms is None else step.timeout_ms / 1000
    with anyio.move_on_after(timeout_s) as scope:
        found = await fetch_connection(execution, step.connection_id, step=step, tag=step.integration_id)
    if scope.cancelled_caught:
        raise AgentError("TIMEOUT", f"no connection within {step.timeout_ms} ms", category="transient")
    if found["integration_id"] not in (None, step.integration_id):
        message = f"the connection {step.connection_id!r} is of type {found['integration_id']!r}"
        raise AgentError("CONNECTION_TYPE_WRONG", message)
    return found


async def _get(execution: Execution, url: str, parameters: Mapping[str, str]) -> httpx.Response:
    import httpx  # loaded by those who have connections

    client = await execution.resources.get("connections", _client)
    try:
        return await client.get(url, params=parameters)
    except httpx.HTTPError as error:
        message = f"the connection service does not answer: {type(error).__name__}"
        raise AgentError("CONNECTION_SERVICE_UNAVAILABLE", message, category="transient") from error


@asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    import httpx

    # The environment of an instance is not the place for proxies and credentials.
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        yield client


def _connection_in(response: httpx.Response, connection_id: str) -> Mapping[str, Any]:
    status = response.status_code
    if status == 404:
        raise AgentError("CONNECTION_NOT_FOUND", f"there is no connection {connection_id!r}")
    if status == 429:
        asked = response.headers.get("retry-after", "")
        seconds = int(asked) if asked.isdigit() else _RETRY_AFTER_S
        raise _limited(connection_id, seconds * 1000)
    if status != 200:
        message = f"the connection service answers with status {status}"
        raise AgentError("CONNECTION_SERVICE_UNAVAILABLE", message, category="transient")
    return _checked(_json_of(response), connection_id)


def _json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        message = "the answer of the connection service is not JSON"
        raise AgentError("CONNECTION_SERVICE_UNAVAILABLE", message, category="transient") from error


def _checked(connection: Any, connection_id: str) -> Mapping[str, Any]:
    if not isinstance(connection, dict) or not isinstance(connection.get("parameters"), dict):
        message = "the answer of the connection service has no parameters"
        raise AgentError("CONNECTION_SERVICE_UNAVAILABLE", message, category="transient")
    limit = connection.get("rate_limit")
    if isinstance(limit, dict) and limit.get("is_limited"):
        asked = limit.get("retry_after_ms")
        raise _limited(connection_id, asked if isinstance(asked, int) else _RETRY_AFTER_S * 1000)
    return {
        "parameters": connection["parameters"],
        "integration_id": connection.get("integration_id"),
        "connection_subtype": connection.get("connection_subtype"),
    }


def _limited(connection_id: str, retry_after_ms: int) -> AgentError:
    return AgentError(
        "CONNECTION_RATE_LIMITED",
        f"the connection {connection_id!r} is used up for a while",
        category="transient",
        retry_after_ms=retry_after_ms,
    )
