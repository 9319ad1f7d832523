"""What a scenario says of itself holds where the start of an instance does not say otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtara.client import Client
from runtara.compiler import CompilationInput, compile_scenario
from tests.support.management import memory_server
from tests.support.scenarios import finish, scenario

GRAPH = scenario(finish(), executionTimeoutSeconds=7)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with memory_server(tmp_path / "data", drain_s=0) as world, world.client() as client:
        yield client


async def pushed(client: Client, tmp_path: Path, document: Any, **metadata: Any) -> str:
    compiled = compile_scenario(
        CompilationInput(tenant_id="acme", scenario_id="orders", version=3, execution_graph=document), data_dir=tmp_path
    )
    image = await client.register_image(compiled.binary_path, name="orders", metadata=metadata)
    return image.image_id


@pytest.mark.parametrize(("given", "holds"), [({}, 7.0), ({"timeout_s": 2.5}, 2.5)])
async def test_an_instance_has_the_timeout_of_its_scenario_unless_the_start_gives_one(
    client: Client, tmp_path: Path, given: dict[str, Any], holds: float
) -> None:
    image = await pushed(client, tmp_path, GRAPH)
    handle = await client.start_instance(image, input={}, **given)
    assert (await handle.status()).timeout_s == holds


async def test_the_image_shows_what_the_artifact_says_and_not_what_the_client_claims(
    client: Client, tmp_path: Path
) -> None:
    document = {"executionGraph": GRAPH, "memoryTier": "M"}
    image = await client.get_image(await pushed(client, tmp_path, document, artifact={"memoryTier": "XL"}, team="a"))
    said = image.metadata["artifact"]
    assert image.metadata["team"] == "a"
    assert (said["scenarioId"], said["version"], said["memoryTier"], said["executionTimeoutS"]) == ("orders", 3, "M", 7)


async def test_a_program_without_a_manifest_keeps_the_metadata_that_it_was_given(client: Client) -> None:
    image = await client.register_image(b"print(1)\n", name="program", metadata={"artifact": "mine"})
    assert (await client.get_image(image.image_id)).metadata == {"artifact": "mine"}
    handle = await client.start_instance(image.image_id)
    assert (await handle.status()).timeout_s is None
