"""The http agent against a server on loopback."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtara.agents import AgentError, CallContext, Resources, registry
from runtara.agents.builtin import http
from tests.support.http_server import Answer, RecordingServer, recording_http_server
from tests.unit.agents.test_capability import new_context


@pytest.fixture
async def server() -> AsyncIterator[RecordingServer]:
    async with recording_http_server() as server:
        yield server


@pytest.fixture
async def context() -> AsyncIterator[CallContext]:
    async with Resources() as resources:
        yield dataclasses.replace(new_context(), resources=resources)


async def request(context: CallContext, **inputs: Any) -> Any:
    found = registry().find_capability("http", "request")
    assert found is not None
    return await found.call(inputs, context)


async def test_a_request_is_a_get_and_its_json_is_read(server: RecordingServer, context: CallContext) -> None:
    server.answer("/x", Answer(200, {"items": [1]}, {"X-Kind": "Test"}))
    response = await request(context, url=f"{server.url}/x")
    assert (response.status_code, response.success, response.body) == (200, True, {"items": [1]})
    assert response.headers["x-kind"] == "Test"
    (sent,) = server.requests
    assert (sent.method, sent.path, sent.body) == ("GET", "/x", b"")
    assert sent.headers["idempotency-key"] == "key"
    assert "content-type" not in sent.headers


async def test_a_body_is_sent_with_post_and_not_with_get(server: RecordingServer, context: CallContext) -> None:
    """The default method is GET, whatever else is given. Source: dsl.md §12.3."""
    await request(context, url=server.url, body={"a": 1})
    await request(context, url=server.url, body={"a": 1}, method="POST")
    without, with_body = server.requests
    assert (without.method, without.body) == ("GET", b"")
    assert (with_body.method, with_body.json) == ("POST", {"a": 1})
    assert with_body.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("inputs", "body", "content_type"),
    [
        ({"body": "raw text"}, b"raw text", "application/json"),
        ({"body": [1, "x"]}, b'[1,"x"]', "application/json"),
        ({"body": None}, b"", None),
        ({"body": "x", "body_type": "text"}, b"x", "text/plain; charset=utf-8"),
        ({"body": "aGk=", "body_type": "binary"}, b"hi", "application/octet-stream"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, b"<a/>", "text/xml"),
    ],
)
async def test_bodies(
    server: RecordingServer, context: CallContext, inputs: dict[str, Any], body: bytes, content_type: str | None
) -> None:
    await request(context, url=server.url, method="PUT", **inputs)
    (sent,) = server.requests
    assert (sent.body, sent.headers.get("content-type")) == (body, content_type)


async def test_query_parameters_are_appended_and_encoded(server: RecordingServer, context: CallContext) -> None:
    await request(context, url=f"{server.url}/find?a=1#part", query_parameters={"q": "x y&z", "n": 5})
    assert server.requests[0].query == {"a": "1", "q": "x y&z", "n": "5"}


async def test_a_step_can_set_its_own_idempotency_key(server: RecordingServer, context: CallContext) -> None:
    await request(context, url=server.url, headers={"idempotency-key": "mine"})
    assert server.requests[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("inputs", "answer", "body"),
    [
        ({}, b"not json", "not json"),
        ({}, b"", ""),
        ({"response_type": "text"}, b'{"a": 1}', '{"a": 1}'),
        ({"response_type": "binary"}, b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
    ],
)
async def test_answers(
    server: RecordingServer, context: CallContext, inputs: dict[str, Any], answer: bytes, body: Any
) -> None:
    server.answer("/", Answer(200, answer))
    assert (await request(context, url=f"{server.url}/", **inputs)).body == body


async def test_one_connection_serves_many_requests(server: RecordingServer, context: CallContext) -> None:
    for _ in range(3):
        await request(context, url=server.url)
    client = await context.resources.get("http.client", http._open_client)
    assert len(client._transport._pool.connections) == 1


@pytest.mark.parametrize(
    ("status", "code", "category"),
    [
        (400, "HTTP_BAD_REQUEST", "permanent"),
        (401, "HTTP_UNAUTHORIZED", "permanent"),
        (404, "HTTP_NOT_FOUND", "permanent"),
        (408, "HTTP_TIMEOUT", "transient"),
        (418, "HTTP_ERROR", "permanent"),
        (429, "HTTP_RATE_LIMITED", "transient"),
        (500, "HTTP_INTERNAL_ERROR", "transient"),
        (503, "HTTP_SERVICE_UNAVAILABLE", "transient"),
        (599, "HTTP_ERROR", "transient"),
    ],
)
async def test_an_answer_that_is_no_success_is_an_error_of_its_class(
    server: RecordingServer, context: CallContext, status: int, code: str, category: str
) -> None:
    server.answer("/", Answer(status))
    with pytest.raises(AgentError) as caught:
        await request(context, url=f"{server.url}/")
    assert (caught.value.code, caught.value.category) == (code, category)
    assert caught.value.attributes == {"url": f"{server.url}/", "status_code": str(status)}
    response = await request(context, url=f"{server.url}/", fail_on_error=False)
    assert (response.status_code, response.success) == (status, False)


@pytest.mark.parametrize(
    ("header", "retry_after_ms"),
    [
        ("2", 2000),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60_000),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
    ],
)
async def test_retry_after_is_seconds_or_a_date(
    server: RecordingServer, context: CallContext, header: str, retry_after_ms: int | None
) -> None:
    server.answer("/", Answer(429, headers={"Retry-After": header}))
    with pytest.raises(AgentError) as caught:
        await request(context, url=f"{server.url}/")
    assert caught.value.retry_after_ms == retry_after_ms


async def test_redirects_are_followed(server: RecordingServer, context: CallContext) -> None:
    server.answer("/old", Answer(302, headers={"Location": "/new"}))
    assert (await request(context, url=f"{server.url}/old")).status_code == 200
    assert [sent.path for sent in server.requests] == ["/old", "/new"]


@pytest.mark.parametrize(
    ("answer", "code", "category"),
    [
        (Answer(302, headers={"Location": "/"}), "HTTP_ERROR", "permanent"),
        (Answer(breaks=True), "NETWORK_ERROR", "transient"),
        (Answer(hangs=True), "NETWORK_ERROR", "transient"),
        (Answer(200, b"no gzip", {"Content-Encoding": "gzip"}), "HTTP_ERROR", "permanent"),
    ],
    ids=["redirects for ever", "connection lost", "no answer", "broken compression"],
)
async def test_a_server_that_misbehaves(
    server: RecordingServer, context: CallContext, answer: Answer, code: str, category: str
) -> None:
    server.answer("/", answer)
    with pytest.raises(AgentError) as caught:
        await request(context, url=f"{server.url}/", timeout_ms=200)
    assert (caught.value.code, caught.value.category) == (code, category)


@pytest.mark.parametrize(
    "inputs",
    [
        {"url": "not a url"},
        {"url": "ftp://host/"},
        {"url": "http://[::1"},
        {"headers": {"a\nb": "x"}},
        {"headers": {"a": "é\u2028"}},
        {"method": "POST", "body": "%%%", "body_type": "binary"},
    ],
    ids=lambda inputs: repr(inputs)[:40],
)
async def test_a_request_that_cannot_be_sent_is_a_permanent_error(
    server: RecordingServer, context: CallContext, inputs: Any
) -> None:
    with pytest.raises(AgentError) as caught:
        await request(context, **({"url": server.url} | inputs))
    assert server.requests == []
    assert (caught.value.code, caught.value.category) == ("HTTP_INVALID_REQUEST", "permanent")


async def test_nobody_listening_is_a_transient_error(context: CallContext) -> None:
    async with recording_http_server() as gone:
        url = gone.url
    with pytest.raises(AgentError) as caught:
        await request(context, url=url)
    assert (caught.value.code, caught.value.category) == ("NETWORK_ERROR", "transient")


async def test_an_answer_larger_than_a_checkpoint_is_refused(
    server: RecordingServer, context: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_RESPONSE_BYTES_MAX", 1000)
    server.answer("/", Answer(200, b"x" * 1000), Answer(200, b"x" * 1001))
    assert len((await request(context, url=f"{server.url}/")).body) == 1000
    with pytest.raises(AgentError, match="more than 1000 bytes"):
        await request(context, url=f"{server.url}/")
