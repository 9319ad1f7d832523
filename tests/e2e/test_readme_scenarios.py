"""The two scenarios of the README of the reference, as a person runs them: compile, push, start, result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.http_server import Answer, RecordingServer, recording_http_server
from tests.support.scenarios import example
from tests.support.server import serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ELSEWHERE = b"https://api.example.com"
"""Where the URLs of Order Processing point as it is written."""


@dataclass
class Stage:
    """A server, and a product's HTTP server."""

    command: Command
    product: RecordingServer

    async def result_of(self, name: str, scenario: bytes, document: Any) -> Any:
        """By the way of four commands."""
        written = self.command.directory / f"{name}.json"
        written.write_bytes(scenario)
        out = self.command.directory / name
        await self.command("compile", written, "-o", out)
        await self.command("image", "push", out, "--name", name)
        started = (await self.command("start", name, "--input", json.dumps(document), "--json")).json
        again = ("--id", started["instance_id"], "--wait")
        waited = await self.command("start", name, "--input", json.dumps(document), *again)
        status = (await self.command("status", started["instance_id"], "--json")).json
        assert (status["status"], status["attempt"]) == ("completed", 1)
        assert status["output"] == waited.json
        return waited.json


@pytest.fixture
async def stage(tmp_path: Path):
    async with recording_http_server() as product, serve(tmp_path / "data"):
        yield Stage(Command(tmp_path, tmp_path / "data"), product)


async def test_data_processing_runs_as_it_is_written(stage):
    orders = {"orders": [{"id": 1, "total": 9.5}]}
    stage.product.answer("/orders", Answer(200, orders))
    result = await stage.result_of(
        "data-processing", example("data-processing"), {"endpoint": f"{stage.product.url}/orders"}
    )
    fetched = result["result"]["result"]
    assert (fetched["status_code"], fetched["body"]) == (200, orders)
    assert [(request.method, request.path) for request in stage.product.requests] == [("GET", "/orders")]


async def test_order_processing_runs_as_it_is_written_but_for_where_its_urls_point(stage):
    scenario = example("order-processing")
    assert scenario.count(ELSEWHERE) == 2
    stage.product.answer("/notify", Answer(200, {"notified": True}))
    order = {"id": "A-1", "lines": [{"sku": "x", "count": 2}]}
    result = await stage.result_of(
        "order-processing", scenario.replace(ELSEWHERE, stage.product.url.encode()), {"order": order}
    )
    assert result["result"]["body"] == {"notified": True}
    # Without a method a request is a GET, and those carry no body (dsl.md §12.3).
    requests = [(request.method, request.path, request.body) for request in stage.product.requests]
    assert requests == [("GET", "/validate", b""), ("GET", "/notify", b"")]
