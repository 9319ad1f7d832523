"""Examples on a server, as a person runs them: with the command, and with the decision of a person in one of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import Command
from tests.support.examples import FOLDER, Example, ExampleWorld
from tests.support.http_server import recording_http_server
from tests.support.server import serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CHILDREN: Final = {"customer-onboarding": ("open-account", "send-welcome")}


@pytest.fixture
async def command(tmp_path: Path) -> AsyncIterator[Command]:
    async with serve(tmp_path / "data"):
        yield Command(tmp_path, tmp_path / "data")


async def run(command: Command, example: Example, url: str) -> Any:
    """What `runtara run` prints at the end."""
    started = [f"--child={each}={FOLDER / 'children' / each}.json" for each in CHILDREN.get(example.name, ())]
    return (await command("run", example.path, "--input", json.dumps(example.input_at(url)), *started)).json


@pytest.mark.parametrize("name", ["order-fulfilment", "xml-feed-import", "webhook-fan-out", "customer-onboarding"])
async def test_an_example_comes_to_its_expected_output_on_a_server(command: Command, name: str) -> None:
    example = Example(name)
    world = ExampleWorld(example.world)
    async with recording_http_server(world):
        assert await run(command, example, world.url) == example.expected


async def test_an_invoice_waits_for_its_approver_on_a_server(command: Command, tmp_path: Path) -> None:
    example = Example("invoice-approval")
    (signal,) = example.signals
    world = ExampleWorld(example.world)
    async with recording_http_server(world):
        document = json.dumps(example.input_at(world.url))
        artifact = tmp_path / "invoice-approval.pyz"
        await command("compile", example.path, "-o", artifact)
        await command("image", "push", artifact, "--name", "invoice-approval")
        await command("start", "invoice-approval", "--input", document, "--id", "invoice")
        await world.wait_for_requests(1)
        assert world.requests[0].json["signal"] == signal.name
        await command("signal", "invoice", signal.name, "--payload", json.dumps(signal.payload))
        waited = await command("start", "invoice-approval", "--input", document, "--id", "invoice", "--wait")
        assert waited.json == example.expected
