"""Requests to HTTP services. Sources: dsl.md §12.3 for the capability, §7.2 for the classes of errors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import anyio
import msgspec
from msgspec import Meta, field

from runtara.agents.capability import agent, capability
from runtara.agents.context import CallContext
from runtara.agents.errors import AgentError
from runtara.agents.retry_after import retry_after_ms
from runtara.limits import CHECKPOINT_BYTES_MAX

if TYPE_CHECKING:
    import httpx

__all__ = ("Http", "Request", "Response")

Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
BodyType = Literal["json", "text", "binary"]

# A base64 body grows by a third, and has to fit into a checkpoint with its headers.
_RESPONSE_BYTES_MAX: Final = CHECKPOINT_BYTES_MAX * 2 // 3

_METHODS_WITH_BODY: Final = ("POST", "PUT", "PATCH")

_CONTENT_TYPES: Final[Mapping[BodyType, str]] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "binary": "application/octet-stream",
}

_CODES: Final[Mapping[int, str]] = {
    400: "HTTP_BAD_REQUEST",
    401: "HTTP_UNAUTHORIZED",
    403: "HTTP_FORBIDDEN",
    404: "HTTP_NOT_FOUND",
    408: "HTTP_TIMEOUT",
    429: "HTTP_RATE_LIMITED",
    500: "HTTP_INTERNAL_ERROR",
    502: "HTTP_BAD_GATEWAY",
    503: "HTTP_SERVICE_UNAVAILABLE",
    504: "HTTP_GATEWAY_TIMEOUT",
}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of ``http/request``."""

    url: Annotated[
        str, Meta(description="Where to, with scheme and host.", examples=["https://api.example.com/orders"])
    ]
    method: Annotated[Method, Meta(description="A body is sent with POST, PUT and PATCH only.")] = "GET"
    headers: Annotated[dict[str, str], Meta(description="Names and values.")] = field(default_factory=dict)
    query_parameters: Annotated[dict[str, str], Meta(description="Appended to the URL.")] = field(default_factory=dict)
    body: Annotated[Any, Meta(description="A text is sent as it is, anything else as JSON, null not at all.")] = None
    body_type: Annotated[BodyType, Meta(description="With binary, the body is base64.")] = "json"
    response_type: Annotated[BodyType, Meta(description="With binary, the body is given as base64.")] = "json"
    timeout_ms: Annotated[int, Meta(description="For all of the request, in milliseconds.", ge=1)] = 30_000
    fail_on_error: Annotated[bool, Meta(description="Whether an answer other than 2xx is an error.")] = True


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``http/request``."""

    status_code: int
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    success: bool
    """Whether the status was 2xx."""


@agent(id="http", name="HTTP", supports_connections=True, integration_ids=("http_bearer", "http_api_key"))
class Http:
    """Requests to HTTP services."""

    @capability(id="request", side_effects=True, aliases=("http-request",), name="HTTP request")
    async def request(self, request: Request, context: CallContext) -> Response:
        """Send a request and read the answer.

        The header ``Idempotency-Key`` has the token of the call, unless the step sets one. The step's connection gives
        a header of authorization, and the beginning of a URL that has none; what the step sets itself stays.
        """
        request = _with_connection(request, context.connection)
        client = await context.resources.get("http.client", _open_client)
        headers, content = _headers(request, context.idempotency_key), _content(request)
        try:
            with anyio.fail_after(request.timeout_ms / 1000):
                answer, body = await _exchange(client, request, headers, content)
        except Exception as error:
            raise _translated(error, request) from error
        if request.fail_on_error and not answer.is_success:
            raise _status_error(answer, request, now=context.clock.now())
        return Response(
            status_code=answer.status_code,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=_decoded(body, request.response_type, answer.charset_encoding),
            success=answer.is_success,
        )


def _open_client() -> AbstractAsyncContextManager[httpx.AsyncClient]:
    import httpx  # 0.1 s that only a program with an HTTP step pays

    # The environment of an instance is not the place for proxies and credentials.
    return httpx.AsyncClient(follow_redirects=True, timeout=None, trust_env=False)


async def _exchange(
    client: httpx.AsyncClient, request: Request, headers: Mapping[str, str], content: bytes | None
) -> tuple[httpx.Response, bytes]:
    url = _with_query(request.url, request.query_parameters)
    async with client.stream(request.method, url, headers=headers, content=content) as answer:
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > _RESPONSE_BYTES_MAX:
                raise _error(
                    "HTTP_RESPONSE_TOO_LARGE", f"the answer has more than {_RESPONSE_BYTES_MAX} bytes", request
                )
        return answer, bytes(body)


# ---- what is sent


def _with_connection(request: Request, connection: Mapping[str, Any] | None) -> Request:
    """The request with what the connection gives. Source: dsl.md §10."""
    if connection is None:
        return request
    parameters = connection["parameters"]
    given = {name.lower() for name in request.headers}
    offered = {name: value for name, value in _authorization(connection).items() if name.lower() not in given}
    url, base = request.url, parameters.get("base_url")
    if base and not urlsplit(url).scheme:
        url = f"{str(base).rstrip('/')}/{url.lstrip('/')}"
    return msgspec.structs.replace(request, url=url, headers={**offered, **request.headers})


def _authorization(connection: Mapping[str, Any]) -> dict[str, str]:
    parameters, kind = connection["parameters"], connection.get("integration_id")
    if kind == "http_bearer" and "token" in parameters:
        return {"Authorization": f"Bearer {parameters['token']}"}
    if kind == "http_api_key" and "api_key" in parameters:
        return {str(parameters.get("header_name") or "X-API-Key"): str(parameters["api_key"])}
    raise AgentError("HTTP_CONNECTION_UNUSABLE", f"a connection of the type {kind!r} cannot be used for HTTP")


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(parameters, quote_via=quote, safe="~")) if part)
    return urlunsplit(parts._replace(query=query))


def _headers(request: Request, idempotency_key: str) -> dict[str, str]:
    headers = dict(request.headers)
    given = {name.lower() for name in headers}
    if "idempotency-key" not in given:
        headers["Idempotency-Key"] = idempotency_key
    if "content-type" not in given and _sends_body(request):
        headers["Content-Type"] = _CONTENT_TYPES[request.body_type]
    return headers


def _sends_body(request: Request) -> bool:
    return request.method in _METHODS_WITH_BODY and request.body is not None


def _content(request: Request) -> bytes | None:
    if not _sends_body(request):
        return None
    if not isinstance(request.body, str):
        return msgspec.json.encode(request.body)
    if request.body_type != "binary":
        return request.body.encode()
    try:
        return base64.b64decode(request.body, validate=True)
    except binascii.Error as error:
        raise _error("HTTP_INVALID_REQUEST", f"the body is not base64: {error}", request) from error


# ---- what comes back


def _decoded(body: bytes, kind: BodyType, charset: str | None) -> Any:
    if kind == "binary":
        return base64.b64encode(body).decode()
    if kind == "json":
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, RecursionError):
            pass  # A service that answers with a text where JSON was expected is heard all the same.
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


# ---- what goes wrong


def _error(code: str, message: str, request: Request, **more: Any) -> AgentError:
    attributes = {"url": request.url} | more.pop("attributes", {})
    return AgentError(code, message, attributes=attributes, **more)


def _status_error(answer: httpx.Response, request: Request, *, now: datetime) -> AgentError:
    status = answer.status_code
    return _error(
        _CODES.get(status, "HTTP_ERROR"),
        f"{request.method} {request.url} was answered with status {status}",
        request,
        category="transient" if status in (408, 429) or 500 <= status < 600 else "permanent",
        retry_after_ms=retry_after_ms(answer.headers.get("retry-after"), now),
        attributes={"status_code": str(status)},
    )


def _translated(error: Exception, request: Request) -> AgentError:
    import httpx

    if isinstance(error, AgentError):
        return error
    if isinstance(error, TimeoutError):
        return _error("NETWORK_ERROR", f"no answer within {request.timeout_ms} ms", request, category="transient")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError | ValueError):
        return _error("HTTP_INVALID_REQUEST", f"the request cannot be sent: {error}", request)
    if isinstance(error, httpx.TooManyRedirects):
        return _error("HTTP_ERROR", "the redirects do not end", request)
    if isinstance(error, httpx.DecodingError):
        return _error("HTTP_ERROR", f"the answer cannot be decompressed: {error}", request)
    if isinstance(error, httpx.TransportError):
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _error("NETWORK_ERROR", message, request, category="transient")
    return AgentError.of(error)
