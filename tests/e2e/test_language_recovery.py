"""Kills in the middle of what the language can do: the output is that of an undisturbed run, and what was done is done.

An effect that was under way when its process was killed may be repeated, with the same idempotency key; one whose
result was recorded is not.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtara.client import Client, InstanceHandle
from tests.support.images import register_scenario
from tests.support.processes import gone, only_attempt_of
from tests.support.scenarios import agent, finish, immediate, operation, reference, scenario
from tests.support.server import ServerProcess, serve
from tests.support.steps import World, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

RESULT_WITHIN_S = 45
THRESHOLD_S = 1


@dataclass
class Stage:
    """A server, a client, and the world that scenarios act upon."""

    server: ServerProcess
    client: Client
    world: World
    directory: Path

    async def start(
        self, document: Mapping[str, Any], data: Mapping[str, Any] | None = None, *, children: Any = None
    ) -> InstanceHandle:
        image = await register_scenario(self.client, document, self.directory, name="tried", children=children)
        return await self.client.start_instance(image, input={"data": {"url": self.world.url, **(data or {})}})

    async def kill_instance(self) -> None:
        pid = only_attempt_of(self.server.data_dir).pid
        os.kill(pid, signal.SIGKILL)
        await gone(pid)

    async def kill_server(self) -> None:
        await self.server.kill()
        await self.server.start()

    def once(self, *paths: str) -> bool:
        return all(self.world.counts[path] == 1 for path in paths)

    def at_most_repeated(self, *paths: str) -> bool:
        """Asked once or twice, with one key."""
        return all(self.world.counts[path] in (1, 2) and len(self.world.keys(path)) == 1 for path in paths)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    env = {"RUNTARA_SLEEP_THRESHOLD_SECS": str(THRESHOLD_S)}
    async with (
        world() as outside,
        serve(tmp_path / "data", env=env) as server,
        Client.local(server.data_dir) as client,
    ):
        yield Stage(server, client, outside, tmp_path)


async def suspended(handle: InstanceHandle) -> None:
    """Returns when the instance has no process and waits."""
    async with asyncio.timeout(RESULT_WITHIN_S), aclosing(handle.changes()) as changes:
        async for instance in changes:
            if instance.status == "suspended":
                return


def template(text: str) -> dict[str, Any]:
    return {"valueType": "template", "value": text}


def post(step_id: str, url: str, **more: Any) -> dict[str, Any]:
    return agent(step_id, "http/request", {"method": immediate("POST"), "url": template(url)}, **more)


async def test_a_split_over_a_hundred_items_ten_at_a_time(stage: Stage) -> None:
    body = scenario(
        post("send", "{{ variables.url }}/{{ item }}"), finish(at=reference("steps.send.outputs.body.path"))
    )
    config = {
        "value": reference("data.items"),
        "parallelism": 10,
        "variables": {"url": reference("data.url")},
    }
    split = {"stepType": "Split", "id": "each", "config": config, "subgraph": body}
    document = scenario(split, finish(outputs=reference("steps.each.outputs")))
    under_way = [f"/{number}" for number in range(40, 50)]
    for path in under_way:
        stage.world.hold(path)
    handle = await stage.start(document, {"items": list(range(100))})
    for path in under_way:
        await stage.world.asked(path, 1)
    await stage.kill_instance()
    for path in under_way:
        stage.world.release(path)
    assert await handle.result(timeout_s=RESULT_WITHIN_S) == [{"at": f"/{number}"} for number in range(100)]
    assert stage.once(*(f"/{number}" for number in range(100) if f"/{number}" not in under_way))
    assert stage.at_most_repeated(*under_way)


def less_than(path: str, bound: int) -> dict[str, Any]:
    return operation("LT", reference(path), immediate(bound))


def loop(step_id: str, body: dict[str, Any]) -> dict[str, Any]:
    condition = less_than("loop.index", 3)
    return {"stepType": "While", "id": step_id, "condition": condition, "subgraph": body}


async def test_the_third_iteration_of_a_loop_in_a_loop(stage: Stage) -> None:
    inner = scenario(
        post("send", "{{ data.url }}/{{ iteration.indices[0] }}/{{ iteration.indices[1] }}"),
        finish(at=reference("steps.send.outputs.body.path"), before=reference("loop.outputs.at")),
    )
    outer = scenario(loop("inner", inner), finish(last=reference("steps.inner.outputs.outputs")))
    document = scenario(loop("outer", outer), finish(outputs=reference("steps.outer.outputs")))
    stage.world.hold("/2/2")
    handle = await stage.start(document)
    await stage.world.asked("/2/2", 1)
    await stage.kill_instance()
    stage.world.release("/2/2")
    expected = {"iterations": 3, "outputs": {"last": {"at": "/2/2", "before": "/2/1"}}}
    assert await handle.result(timeout_s=RESULT_WITHIN_S) == expected
    assert stage.once(*(f"/{one}/{two}" for one in range(3) for two in range(3) if (one, two) != (2, 2)))
    assert stage.at_most_repeated("/2/2")


def start(step_id: str, child: str) -> dict[str, Any]:
    inputs = {"url": reference("data.url")}
    return {
        "stepType": "StartScenario",
        "id": step_id,
        "childScenarioId": child,
        "childVersion": "latest",
        "inputMapping": inputs,
    }


async def test_a_child_of_a_child(stage: Stage) -> None:
    schema = {"inputSchema": {"url": {"type": "string", "required": True}}}
    grandchild = scenario(
        post("one", "{{ data.url }}/one"),
        post("two", "{{ data.url }}/two"),
        finish(at=reference("steps.two.outputs.body.path")),
        **schema,
    )
    child = scenario(
        post("before", "{{ data.url }}/before"),
        start("inner", "grandchild"),
        finish(outputs=reference("steps.inner.outputs")),
        **schema,
    )
    document = scenario(start("outer", "child"), finish(outputs=reference("steps.outer.outputs")))
    stage.world.hold("/two")
    handle = await stage.start(document, children={"child": child, "grandchild": grandchild})
    await stage.world.asked("/two", 1)
    await stage.kill_instance()
    stage.world.release("/two")
    assert await handle.result(timeout_s=RESULT_WITHIN_S) == {"at": "/two"}
    assert stage.once("/before", "/one")
    assert stage.at_most_repeated("/two")


async def test_between_two_retries(stage: Stage) -> None:
    document = scenario(
        post("first", "{{ data.url }}/first"),
        post("second", "{{ data.url }}/second", maxRetries=2, retryDelay=3000),
        finish(at=reference("steps.second.outputs.body.path")),
    )
    stage.world.fail("/second", 1)
    handle = await stage.start(document)
    await suspended(handle)
    await stage.kill_server()
    assert await handle.result(timeout_s=RESULT_WITHIN_S) == {"at": "/second"}
    assert stage.once("/first")
    assert stage.world.counts["/second"] == 2, "one failure, and one success: the failure was not forgotten"


async def test_during_a_wait_for_a_signal(stage: Stage) -> None:
    asks = scenario(post("ask", "{{ data.url }}/ask"), finish())
    wait = {"stepType": "WaitForSignal", "id": "approve", "onWait": asks}
    document = scenario(
        wait,
        post("ship", "{{ data.url }}/ship"),
        finish(by=reference("steps.approve.outputs.by"), at=reference("steps.ship.outputs.body.path")),
    )
    handle = await stage.start(document)
    await suspended(handle)
    await stage.kill_server()
    async with Client.local(stage.server.data_dir) as fresh:
        await fresh.send_custom_signal(handle.instance_id, "approve", {"by": "Ann"})
    assert await handle.result(timeout_s=RESULT_WITHIN_S) == {"by": "Ann", "at": "/ship"}
    assert stage.once("/ask", "/ship")
    subtypes = [event.subtype async for event in handle.events() if event.subtype]
    assert subtypes.count("external_input_requested") == 1
