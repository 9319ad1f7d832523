"""One request to a provider over HTTP, and what its failures mean. Sources: dsl.md §3.15, §7.2.

Nothing that is said about a failure carries the key: not what a library says of a header, not what a service repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtara.agents.errors import AgentError
from runtara.agents.retry_after import retry_after_ms
from runtara.limits import CHECKPOINT_BYTES_MAX
from runtara.stdlib.ai.providers.base import AnswerUnreadable, Ask, HttpRequest, Provider, Turn
from runtara.stdlib.execution import Execution
from runtara.stdlib.failures import clipped

if TYPE_CHECKING:
    import httpx

__all__ = ("take_turn",)

_REASON_CHARACTERS_MAX: Final = 500

# What is read of an answer is about as long as the answer, and has to fit into a checkpoint.
_ANSWER_BYTES_MAX: Final = CHECKPOINT_BYTES_MAX // 2

# More is no time that anybody waits for.


async def take_turn(
    execution: Execution, provider: Provider, parameters: Mapping[str, Any], ask: Ask, idempotency_key: str
) -> Turn:
    """Ask the model once.

    Args:
        execution: The run; it keeps the client.
        provider: Who is asked.
        parameters: Of the connection: ``api_key``, ``base_url``.
        ask: What is asked.
        idempotency_key: Sent along, for services that recognise a repetition.

    Raises:
        AgentError: ``AI_RATE_LIMITED``, ``AI_PROVIDER_UNAVAILABLE``, ``AI_UNAUTHORIZED`` or ``AI_PROVIDER_ERROR``.
    """
    api_key, base_url = parameters.get("api_key"), parameters.get("base_url")
    if not isinstance(api_key, str) or not api_key:
        raise AgentError("AI_UNAUTHORIZED", "the connection has no api_key")
    if base_url is not None and not isinstance(base_url, str):
        raise AgentError("AI_PROVIDER_ERROR", "the base_url of the connection is not a text")
    request = provider.request(ask, api_key=api_key, base_url=base_url or None)
    answer, body = await _exchange(execution, request, idempotency_key)
    if not answer.is_success:
        raise _refusal(answer, body, api_key, now=execution.clock.now())
    try:
        return provider.turn(msgspec.json.decode(body))
    except (AnswerUnreadable, msgspec.MsgspecError, RecursionError) as error:
        message = f"the answer of {provider.name} cannot be read: {error}"
        raise AgentError("AI_PROVIDER_ERROR", _without(api_key, message)) from None


async def _exchange(execution: Execution, request: HttpRequest, idempotency_key: str) -> tuple[httpx.Response, bytes]:
    import httpx  # loaded by those who talk to models

    client = await execution.resources.get("ai.client", _open_client)
    headers = {**request.headers, "Content-Type": "application/json", "Idempotency-Key": idempotency_key}
    content = msgspec.json.encode(request.body)
    try:
        async with client.stream("POST", request.url, headers=headers, content=content) as answer:
            return answer, await _body_of(answer)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as error:
        # Their messages may show a header, and with it the key.
        message = f"the request cannot be sent: {type(error).__name__}"
        raise AgentError("AI_PROVIDER_ERROR", message) from None
    except httpx.DecodingError:
        raise AgentError("AI_PROVIDER_ERROR", "the answer cannot be decompressed") from None
    except httpx.HTTPError as error:
        message = f"the provider is not reached: {type(error).__name__}"
        raise AgentError("AI_PROVIDER_UNAVAILABLE", message, category="transient") from None


def _open_client() -> AbstractAsyncContextManager[httpx.AsyncClient]:
    import httpx

    # A redirect would take the key elsewhere, and the environment of an instance is not the place for proxies.
    return httpx.AsyncClient(follow_redirects=False, timeout=None, trust_env=False)


async def _body_of(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > _ANSWER_BYTES_MAX:
            message = f"the answer has more than {_ANSWER_BYTES_MAX} bytes"
            raise AgentError("AI_PROVIDER_ERROR", message)
    return bytes(body)


# ---- what goes wrong


def _refusal(answer: httpx.Response, body: bytes, api_key: str, *, now: datetime) -> AgentError:
    status = answer.status_code
    message = f"the provider answers with status {status}"
    facts = {"status_code": str(status)}
    if status in (401, 403):
        # Services repeat a part of a key that they do not know.
        return AgentError("AI_UNAUTHORIZED", message, attributes=facts)
    message += _reason_in(body, api_key)
    wait_ms = retry_after_ms(answer.headers.get("retry-after"), now)
    if status == 429:
        code = "AI_RATE_LIMITED"
    elif status == 408 or status >= 500:
        code = "AI_PROVIDER_UNAVAILABLE"
    else:
        return AgentError("AI_PROVIDER_ERROR", message, attributes=facts)
    return AgentError(code, message, category="transient", retry_after_ms=wait_ms, attributes=facts)


def _reason_in(body: bytes, api_key: str) -> str:
    """What both shapes say of an error, as the end of a message."""
    try:
        reason = msgspec.json.decode(body)["error"]["message"]
    except (msgspec.MsgspecError, RecursionError, LookupError, TypeError):
        return ""
    if not isinstance(reason, str):
        return ""
    # The key first: the beginning of a key that was cut off would not be found.
    return f": {clipped(_without(api_key, reason), _REASON_CHARACTERS_MAX)}"


def _without(api_key: str, text: str) -> str:
    return text.replace(api_key, "***")
