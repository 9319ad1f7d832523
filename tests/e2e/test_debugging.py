"""A scenario that is looked at while it runs: debug mode, a breakpoint, and a child, on a server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.server import serve

FINISH = {"stepType": "Finish", "id": "finish", "inputMapping": {}}
CHILD = {"steps": {"finish": FINISH}, "entryPoint": "finish"}
PARENT = {
    "steps": {
        "call": {"stepType": "StartScenario", "id": "call", "childScenarioId": "kid", "childVersion": "latest"},
        "finish": {**FINISH, "breakpoint": True},
    },
    "entryPoint": "call",
    "executionPlan": [{"fromStep": "call", "toStep": "finish"}],
}


async def until_said(process: asyncio.subprocess.Process, words: str) -> None:
    """Returns when the command has said it."""
    assert process.stderr is not None
    said = ""
    while words not in said:
        line = await process.stderr.readline()
        assert line, f"it ended without saying {words!r}:\n{said}"
        said += line.decode()


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Command]:
    """A server, the two scenarios, and a command that knows where they are."""
    for name, document in {"parent": PARENT, "kid": CHILD}.items():
        (directory / f"{name}.json").write_text(json.dumps(document))
    async with serve(directory / "data"):
        yield Command(directory, directory / "data")


@pytest.mark.slow
async def test_a_run_in_debug_mode_stops_at_a_breakpoint_and_tells_of_each_step(tmp_path: Path) -> None:
    async with stage(tmp_path) as command:
        running = await command.start("run", "parent.json", "--child", "kid=kid.json", "--id", "looked-at", "--debug")
        try:
            await until_said(running, "stopped before finish")
            await command("signal", "looked-at", "%breakpoint/finish")
            out, err = await running.communicate()
        finally:
            if running.returncode is None:
                running.kill()
        assert (running.returncode, json.loads(out)) == (0, {}), err.decode()
        events = (await command("events", "looked-at", "--json")).json
        begun = {event["payload"]["step_id"] for event in events if event["subtype"] == "step_debug_start"}
        assert begun == {"call", "finish"}


@pytest.mark.slow
async def test_what_is_compiled_without_debug_mode_passes_its_breakpoints_and_tells_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as command:
        await command("compile", "parent.json", "-o", "parent.pyz", "--child", "kid=kid.json")
        await command("image", "push", "parent.pyz", "--name", "parent")
        done = await command("start", "parent", "--id", "passed", "--wait", "--json")
        assert done.json["status"] == "completed"
        events = (await command("events", "passed", "--json")).json
        assert {event["type"] for event in events} == {"instance.created", "instance.started", "instance.completed"}


@pytest.mark.slow
async def test_what_is_compiled_in_debug_mode_stops(tmp_path: Path) -> None:
    async with stage(tmp_path) as command:
        await command("compile", "parent.json", "-o", "parent.pyz", "--child", "kid=kid.json", "--debug")
        await command("image", "push", "parent.pyz", "--name", "parent")
        await command("start", "parent", "--id", "stopped")
        await command("signal", "stopped", "%breakpoint/finish")
        done = await command("start", "parent", "--id", "stopped", "--wait", "--json")
        assert done.json["status"] == "completed"
        events = (await command("events", "stopped", "--json")).json
        assert "breakpoint_hit" in {event["subtype"] for event in events}
