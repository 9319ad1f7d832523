"""Connections: fetched from the product's service for each call, used, and nowhere to be found afterwards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtara.errors import InvalidRequest
from runtara.testing import RunResult, call_capability, run_scenario
from tests.support.http_server import Answer, RecordingServer, recording_http_server
from tests.support.scenarios import agent, finish, immediate, reference, scenario

SECRET = "s3cr3t-t0ken"
SHOP = "/connections/memory-tenant/shop"
BEARER = {"parameters": {"token": SECRET}, "integration_id": "http_bearer", "connection_subtype": None}
API_KEY = {"parameters": {"api_key": SECRET, "header_name": "X-Shop-Key"}, "integration_id": "http_api_key"}


@pytest.fixture
async def service() -> AsyncIterator[RecordingServer]:
    """The connection service, and the shop beside it."""
    async with recording_http_server() as server:
        server.answer(SHOP, Answer(body=BEARER))
        yield server


def call(**more: Any) -> dict[str, Any]:
    inputs = {"url": reference("data.url"), "method": immediate("POST")}
    return agent("call", "http/request", inputs, connectionId="shop", **more)


DOCUMENT = scenario(call(maxRetries=2, retryDelay=0), finish(status=reference("steps.call.outputs.status_code")))


async def run(service: RecordingServer, document: Any = DOCUMENT, *, url: str = "/orders", **more: Any) -> RunResult:
    full = f"{service.url}{url}" if url.startswith("/") else url
    return await run_scenario(document, {"url": full}, connection_url=f"{service.url}/connections", **more)


def of_shop(service: RecordingServer) -> list[Any]:
    return [request for request in service.requests if not request.path.startswith("/connections")]


def assert_kept_secret(result: RunResult) -> None:
    seen = json.dumps([result.output, result.error, result.checkpoints, result.events], default=str)
    assert SECRET not in seen


async def test_a_bearer_token_goes_to_the_service_that_is_called_and_is_stored_nowhere(
    service: RecordingServer,
) -> None:
    result = await run(service, debug=True)
    assert result.output == {"status": 200}
    (request,) = of_shop(service)
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert_kept_secret(result)


async def test_the_service_is_told_who_asks(service: RecordingServer) -> None:
    await run(service)
    asked = next(request for request in service.requests if request.path.startswith("/connections"))
    assert asked.path == SHOP
    assert (asked.query["tag"], asked.query["stepId"], asked.query["scenarioId"]) == ("http_request", "call", "test")


async def test_an_api_key_has_a_header_of_its_own_and_a_base_url_completes_the_steps(service: RecordingServer) -> None:
    parameters = {**API_KEY["parameters"], "base_url": f"{service.url}/v1/"}
    service.answer(SHOP, Answer(body={**API_KEY, "parameters": parameters}))
    await run(service, url="orders/7")
    (request,) = of_shop(service)
    assert (request.path, request.headers["x-shop-key"]) == ("/v1/orders/7", SECRET)


async def test_what_the_step_sets_itself_stays(service: RecordingServer) -> None:
    own = call(maxRetries=0)
    own["inputMapping"]["headers"] = immediate({"authorization": "Basic own"})
    await run(service, scenario(own, finish()))
    (request,) = of_shop(service)
    assert request.headers["authorization"] == "Basic own"


async def test_a_connection_is_fetched_anew_for_each_try(service: RecordingServer) -> None:
    renewed = {**BEARER, "parameters": {"token": "new"}}
    service.answer(SHOP, Answer(body=BEARER), Answer(body=renewed))
    service.answer("/orders", Answer(503), Answer(200))
    assert (await run(service)).output == {"status": 200}
    assert [request.headers["authorization"] for request in of_shop(service)] == [f"Bearer {SECRET}", "Bearer new"]


async def test_a_connection_that_is_used_up_is_waited_for(service: RecordingServer) -> None:
    limited = {**BEARER, "rate_limit": {"is_limited": True, "retry_after_ms": 20_000}}
    service.answer(
        SHOP,
        Answer(body=limited),
        Answer(429, headers={"Retry-After": "15"}),
        Answer(body=BEARER),
    )
    result = await run(service)
    assert result.output == {"status": 200}
    assert result.elapsed_s == pytest.approx(35)
    assert len(of_shop(service)) == 1


@pytest.mark.parametrize(
    ("answer", "code", "asked"),
    [
        (Answer(404), "CONNECTION_NOT_FOUND", 1),
        (Answer(500), "CONNECTION_SERVICE_UNAVAILABLE", 3),
        (Answer(body=b"no JSON"), "CONNECTION_SERVICE_UNAVAILABLE", 3),
        (Answer(body={"token": 1}), "CONNECTION_SERVICE_UNAVAILABLE", 3),
        (Answer(body={"parameters": {}, "integration_id": "sftp"}), "HTTP_CONNECTION_UNUSABLE", 1),
    ],
)
async def test_what_is_no_connection_fails_the_step(
    service: RecordingServer, answer: Answer, code: str, asked: int
) -> None:
    service.answer(SHOP, answer)
    result = await run(service)
    assert result.error is not None
    assert (result.status, result.error["code"], result.error["stepId"]) == ("failed", code, "call")
    assert len(service.requests) == asked


async def test_without_a_service_the_step_fails_and_says_which_setting_is_missing() -> None:
    result = await run_scenario(DOCUMENT, {"url": "http://127.0.0.1:1/"})
    assert result.error is not None
    assert result.error["code"] == "CONNECTION_SERVICE_MISSING"
    assert "CONNECTION_SERVICE_URL" in result.error["message"]


async def test_a_result_that_is_stored_needs_no_connection(service: RecordingServer) -> None:
    """A replay does not ask for credentials that it will not use."""
    document = scenario(call(), agent("after", "utils/return-input", {"value": immediate(1)}), finish())
    await run(service, document, crash_after=1)
    assert sum(request.path.startswith("/connections") for request in service.requests) == 1


CONNECTION = {"stepType": "Connection", "id": "shop", "connectionId": "shop", "integrationId": "http_bearer"}


def by_hand() -> dict[str, Any]:
    """A Connection step whose token the author puts into a header."""
    inputs = {
        "url": reference("data.url"),
        "headers": {
            "valueType": "composite",
            "value": {"X-Token": reference("steps.shop.outputs.parameters.token")},
        },
    }
    return scenario(
        dict(CONNECTION),
        agent("call", "http/request", inputs),
        finish(status=reference("steps.call.outputs.status_code")),
    )


async def test_the_outputs_of_a_connection_step_can_be_put_where_a_service_wants_them(service: RecordingServer) -> None:
    result = await run(service, by_hand())
    assert result.output == {"status": 200}
    assert of_shop(service)[0].headers["x-token"] == SECRET
    assert_kept_secret(result)


async def test_a_connection_of_another_type_fails_the_step(service: RecordingServer) -> None:
    service.answer(SHOP, Answer(body=API_KEY))
    result = await run(service, by_hand())
    assert result.error is not None
    assert (result.error["code"], result.error["stepId"]) == ("CONNECTION_TYPE_WRONG", "shop")


async def test_a_failing_connection_step_has_a_route(service: RecordingServer) -> None:
    service.answer(SHOP, Answer(404))
    document = by_hand()
    document["steps"]["sorry"] = finish("sorry", code=reference("error.code"))
    document["executionPlan"].append({"fromStep": "shop", "toStep": "sorry", "label": "onError"})
    assert (await run(service, document)).output == {"code": "CONNECTION_NOT_FOUND"}


async def test_a_connection_step_is_tried_again_and_waits_where_the_service_says_so(service: RecordingServer) -> None:
    limited = {**BEARER, "rate_limit": {"is_limited": True, "retry_after_ms": 20_000}}
    service.answer(SHOP, Answer(503), Answer(body=limited), Answer(body=BEARER))
    result = await run(service, by_hand())
    assert result.output == {"status": 200}
    assert result.elapsed_s == pytest.approx(21)


async def test_a_connection_step_gives_up_after_its_retries(service: RecordingServer) -> None:
    service.answer(SHOP, Answer(503))
    document = by_hand()
    document["steps"]["shop"] |= {"maxRetries": 1, "retryDelay": 0}
    result = await run(service, document)
    assert result.error is not None
    assert (result.error["code"], len(service.requests)) == ("CONNECTION_SERVICE_UNAVAILABLE", 2)


async def test_a_connection_that_does_not_come_in_time_is_a_timeout(service: RecordingServer) -> None:
    service.answer(SHOP, Answer(hangs=True))
    document = by_hand()
    document["steps"]["shop"] |= {"maxRetries": 0, "timeout": 50}
    result = await run(service, document)
    assert result.error is not None
    assert (result.error["code"], result.error["category"]) == ("TIMEOUT", "transient")


async def test_a_product_can_try_a_capability_with_a_connection(service: RecordingServer) -> None:
    answer = await call_capability("http", "request", {"url": f"{service.url}/orders"}, connection=BEARER)
    assert answer["status_code"] == 200
    assert service.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    with pytest.raises(InvalidRequest, match="works with no connection"):
        await call_capability("utils", "do-nothing", {}, connection=BEARER)
