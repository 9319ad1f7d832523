"""The commands for whoever writes scenarios, against a server of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara.client import Client
from tests.support.command import Command
from tests.support.scenarios import agent, echo, finish, immediate, reference, scenario
from tests.support.server import ServerProcess, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

DELAY = {"stepType": "Delay", "id": "rest", "durationMs": immediate(3_600_000)}


@dataclass
class Stage:
    """A server, and a command that knows where it is."""

    server: ServerProcess
    command: Command
    directory: Path

    def write(self, name: str, document: Any) -> Path:
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    async def push(self, path: Path) -> None:
        """Compile and push it, under the name of its file."""
        artifact = path.with_suffix(".pyz")
        await self.command("compile", path, "-o", artifact)
        await self.command("image", "push", artifact, "--name", path.stem)

    async def until(self, instance_id: str, status: str) -> None:
        """Returns when the instance has that status."""
        async with Client.local(self.server.data_dir) as client, aclosing(client.watch(instance_id)) as changes:
            async for instance in changes:
                if instance.status == status:
                    return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    directory = tmp_path_factory.mktemp("scenarios")
    async with serve(directory / "data") as server:
        yield Stage(server, Command(directory, directory / "data"), directory)


# ---- diff --live


async def test_a_deploy_is_judged_for_each_instance_that_is_parked_on_the_old_version(stage):
    begin, second = echo("begin", immediate(1)), echo("second", immediate(2))
    old = stage.write("deployed", scenario(begin, DELAY, finish()))
    fee = agent("fee", "http/request", {"url": immediate("http://nowhere/")})
    unsafe = stage.write("unsafe", scenario(begin, fee, DELAY, finish()))
    safe = stage.write("safe", scenario(begin, second, DELAY, finish()))
    await stage.push(old)
    for name in ("parked-1", "parked-2"):
        await stage.command("start", "deployed", "--id", name)
        await stage.until(name, "suspended")
    document = (await stage.command("diff", old, unsafe, "--live", "--json", expect=1)).json
    assert document["counts"] == {"safe": 0, "needs a mapping": 0, "unsafe": 2}
    assert {each["instance_id"]: each["step"] for each in document["instances"]} == {
        "parked-1": "rest", "parked-2": "rest",
    }  # fmt: skip
    told = await stage.command("diff", old, safe, "--live")
    assert sorted(line.split()[:3] for line in told.out.splitlines()[1:]) == [
        ["parked-1", "rest", "safe"], ["parked-2", "rest", "safe"],
    ]  # fmt: skip
    assert told.err.splitlines()[-1] == "instances: 2 safe, 0 needs a mapping, 0 unsafe"


async def test_a_file_that_no_image_was_made_of_is_told_about(stage):
    stranger = stage.write("stranger", scenario(echo("never-pushed", immediate(1)), finish()))
    done = await stage.command("diff", stranger, stranger, "--live")
    assert done.err.splitlines()[0] == "The server has no image of OLD as it is written in the file."


# ---- steps


async def test_the_steps_of_an_instance_are_listed_as_a_tree_with_what_failed(stage):
    inner = scenario(echo("b", reference("item")), finish("f"))
    split = {"stepType": "Split", "id": "loop", "subgraph": inner, "config": {"value": immediate([1, 2])}}
    broken = agent("broken", "http/request", {"url": immediate("http://127.0.0.1:9/")}, maxRetries=0)
    graph = scenario(echo("a", immediate(1)), split, broken, finish())
    await stage.push(stage.write("traced", {"executionGraph": graph, "debugMode": True}))
    await stage.command("start", "traced", "--id", "steps-1", "--wait", expect=1)
    shown = (await stage.command("steps", "steps-1")).out.splitlines()
    assert shown[0].split() == ["STEP", "TYPE", "SCOPE", "STATUS", "DURATION", "ERROR"]
    assert [line.split()[:5] for line in shown[1:-1]] == [
        ["a", "Agent", "-", "completed", shown[1].split()[4]],
        ["loop", "Split", "-", "completed", shown[2].split()[4]],
        ["└", "b", "Agent", "sc_loop_0", "completed"], ["└", "f", "Finish", "sc_loop_0", "completed"],
        ["└", "b", "Agent", "sc_loop_1", "completed"], ["└", "f", "Finish", "sc_loop_1", "completed"],
    ]  # fmt: skip
    assert "NETWORK_ERROR: " in shown[-1]
    steps = (await stage.command("steps", "steps-1", "--json", "--scope", "sc_loop_1", "--type", "Agent")).json
    (step,) = steps
    assert (step["step_id"], step["status"], step["inputs"], step["outputs"]) == ("b", "completed", {"value": 2}, 2)
    assert isinstance(step["duration_ms"], int)
    (failed,) = (await stage.command("steps", "steps-1", "--json", "--status", "failed")).json
    assert (failed["step_id"], failed["error"]["code"]) == ("broken", "NETWORK_ERROR")


async def test_an_instance_without_debug_mode_has_no_steps_and_is_told_why(stage):
    await stage.push(stage.write("untraced", scenario(echo("a", immediate(1)), finish())))
    await stage.command("start", "untraced", "--id", "steps-2", "--wait")
    done = await stage.command("steps", "steps-2")
    assert done.err.startswith("No such steps were recorded.")
    assert (await stage.command("steps", "steps-2", "--json")).json == []
    assert "[request.not_found]" in (await stage.command("steps", "nobody", expect=1)).err


# ---- run


async def test_a_run_shows_each_step_begin_and_end_in_lines_that_stay(stage):
    document = stage.write("shown", scenario(echo("a", immediate(1)), echo("b", immediate(2)), finish()))
    done = await stage.command("run", document, "--id", "shown-1")
    lines = done.err.splitlines()
    assert (lines[0], lines[-1]) == ("instance shown-1", "completed")
    steps = [line.split(" (")[0] for line in lines if line.split()[0] in ("a", "b", "finish")]
    assert steps == ["a begins", "a completed", "b begins", "b completed", "finish begins", "finish completed"]
    assert done.json == {}


async def test_a_run_shows_no_steps_with_json_or_when_told(stage):
    document = stage.write("quiet", scenario(echo("a", immediate(1)), finish()))
    for option in ("--json", "--no-steps"):
        done = await stage.command("run", document, option)
        assert "a begins" not in done.err
        assert done.json is not None


async def test_a_run_that_fails_shows_in_which_step_and_why(stage):
    broken = agent("broken", "http/request", {"url": immediate("http://127.0.0.1:9/")}, maxRetries=0)
    done = await stage.command("run", stage.write("failing", scenario(broken, finish())), expect=1)
    assert any(line.startswith("broken failed (") and "NETWORK_ERROR: " in line for line in done.err.splitlines())
    assert done.err.splitlines()[-1] == "failed (application_error)"


async def test_a_run_that_stops_at_a_breakpoint_says_how_to_go_on(stage):
    document = stage.write("broken-in", scenario(echo("a", immediate(1), breakpoint=True), finish()))
    process = await stage.command.start("run", document, "--id", "stop-1")
    said = b""
    while not said.endswith(b"lets it go on\n"):
        said = await process.stderr.readline()
    assert said.decode() == "stopped before a; `runtara signal ID '%breakpoint/a'` lets it go on\n"
    await stage.command("signal", "stop-1", "%breakpoint/a")
    out, err = await process.communicate()
    assert (process.returncode, json.loads(out)) == (0, {})
    assert err.decode().splitlines()[-1] == "completed"
