"""The command, against a server of its own: what a person types, and what comes back."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara.client import Client
from tests.support.command import Command
from tests.support.server import ServerProcess, serve
from tests.support.steps import World, chain, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

STATUS_FIELDS = {
    "instance_id", "tenant_id", "image_id", "status", "attempt", "created_at", "started_at", "finished_at", "output",
    "error", "termination_reason",
}  # fmt: skip


@dataclass
class Stage:
    """A server, the world that its scenarios act upon, and a command that knows where it is."""

    server: ServerProcess
    outside: World
    command: Command
    directory: Path

    def write(self, name: str, document: Any) -> Path:
        path = self.directory / name
        path.write_text(json.dumps(document))
        return path

    async def until(self, instance_id: str, status: str) -> dict[str, Any]:
        """The instance when it has that status."""
        async with Client.local(self.server.data_dir) as client, aclosing(client.watch(instance_id)) as changes:
            async for instance in changes:
                if instance.status == status:
                    break
        return (await self.command("status", instance_id, "--json")).json


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    directory = tmp_path_factory.mktemp("cli")
    async with world() as outside, serve(directory / "data") as server:
        command = Command(directory, directory / "data")
        stage = Stage(server, outside, command, directory)
        scenario = stage.write("chain.json", chain(outside.url, 2))
        await command("compile", scenario, "-o", directory / "chain.pyz")
        await command("image", "push", directory / "chain.pyz", "--name", "chain")
        yield stage


async def held(stage: Stage, instance_id: str, *arguments: str) -> None:
    """An instance that stands in its first request."""
    stage.outside.hold("/1")
    await stage.command("start", "chain", "--id", instance_id, *arguments)
    await stage.outside.arrived("/1")


# ---- the way of a scenario


async def test_a_scenario_is_compiled_pushed_started_followed_and_its_result_printed(stage):
    scenario = stage.write("run.json", chain(stage.outside.url, 2))
    done = await stage.command("run", scenario, "--input", "{}", "--id", "run-1")
    assert set(done.json) == {"last"}
    assert done.err.splitlines()[0] == "instance run-1"
    assert done.err.splitlines()[-1] == "completed"


async def test_a_run_for_programs_is_one_document_with_all_that_is_known(stage):
    scenario = stage.write("run.json", chain(stage.outside.url, 2))
    document = (await stage.command("run", scenario, "--input", '{"a": 1}', "--json")).json
    assert set(document) >= STATUS_FIELDS
    assert (document["status"], document["tenant_id"], document["attempt"]) == ("completed", "default", 1)


async def test_the_same_goes_step_by_step(stage):
    out = stage.directory / "step.pyz"
    compiled = (await stage.command("compile", stage.directory / "chain.json", "-o", out, "--json")).json
    assert compiled["binary_path"] == str(out)
    image = (await stage.command("image", "push", out, "--name", "step", "--json")).json
    assert (image["digest"], image["name"]) == (compiled["binary_checksum"], "step")
    assert image["metadata"]["artifact"]["scenarioId"] == "chain"
    started = (await stage.command("start", "step", "--input", "{}", "--id", "step-1", "--json")).json
    assert started == {"instance_id": "step-1", "tenant_id": "default", "image_id": image["image_id"], "created": True}
    again = (await stage.command("start", "step", "--input", "{}", "--id", "step-1", "--json")).json
    assert again == started | {"created": False}
    assert set(await stage.until("step-1", "completed")) >= STATUS_FIELDS


async def test_a_start_that_waits_ends_as_its_instance_does(stage):
    done = await stage.command("start", "chain", "--wait", "--json")
    assert done.json["status"] == "completed"
    failing = stage.write("failing.json", chain("http://127.0.0.1:9", 1, maxRetries=0))
    done = await stage.command("run", failing, "--json", expect=1)
    assert (done.json["status"], done.json["termination_reason"]) == ("failed", "application_error")
    assert done.json["error"]["message"]


async def test_input_comes_from_the_command_line_a_file_or_stdin(stage):
    file = stage.write("input.json", {"from": "file"})
    for number, (argument, stdin) in enumerate(
        [('{"from": "line"}', b""), (f"@{file}", b""), ("@-", b'{"from": "in"}')]
    ):
        await stage.command("start", "chain", "--id", f"input-{number}", "--input", argument, stdin=stdin)
    shown = [(await stage.command("status", f"input-{number}", "--input", "--json")).json for number in range(3)]
    assert [each["input"]["from"] for each in shown] == ["line", "file", "in"]


async def test_what_is_left_behind_can_be_read(stage):
    await stage.command("start", "chain", "--id", "left-1", "--wait")
    checkpoints = (await stage.command("checkpoints", "left-1", "--json")).json
    assert [each["key"] for each in checkpoints] == ["step1", "step2"]
    saved = (await stage.command("checkpoints", "left-1", "--key", "step1")).json
    assert saved
    events = (await stage.command("events", "left-1", "--json")).json
    assert (events[0]["type"], events[-1]["type"]) == ("instance.created", "instance.completed")
    assert (await stage.command("logs", "left-1", "--json")).json == {"stdout": "", "stderr": ""}


async def test_what_is_followed_is_one_document_per_line_and_ends_with_the_instance(stage):
    await held(stage, "follow-1")
    following = [
        asyncio.create_task(stage.command(what, "follow-1", "--follow", "--json"))
        for what in ("events", "checkpoints", "logs")
    ]
    stage.outside.release("/1")
    events, checkpoints, logs = await asyncio.gather(*following)
    assert [each["type"] for each in events.lines][-1] == "instance.completed"
    assert [each["key"] for each in checkpoints.lines] == ["step1", "step2"]
    assert logs.lines == []


# ---- steering


async def test_a_running_instance_is_paused_and_resumed(stage):
    await held(stage, "pause-1")
    assert (await stage.command("pause", "pause-1", "--json")).json["status"] == "running"
    stage.outside.release("/1")
    parked = await stage.until("pause-1", "suspended")
    assert parked["termination_reason"] == "paused"
    await stage.command("resume", "pause-1")
    assert (await stage.until("pause-1", "completed"))["attempt"] == 2


async def test_a_running_instance_is_cancelled_and_can_be_resumed_from_there(stage):
    await held(stage, "cancel-1")
    await stage.command("cancel", "cancel-1", "--reason", "tired")
    stage.outside.release("/1")
    await stage.until("cancel-1", "cancelled")
    refused = await stage.command("resume", "cancel-1", expect=1)
    assert "[state.illegal_transition]" in refused.err
    await stage.command("resume", "cancel-1", "--from", "failed")
    await stage.until("cancel-1", "completed")


async def test_a_stopped_instance_has_ended_when_the_command_returns(stage):
    await held(stage, "stop-1")
    document = (await stage.command("stop", "stop-1", "--grace", "0", "--json")).json
    assert document["status"] == "cancelled"
    stage.outside.release("/1")


async def test_a_signal_is_accepted_and_numbered(stage):
    await held(stage, "signal-1")
    sent = (await stage.command("signal", "signal-1", "go", "--payload", '{"x": 1}', "--json")).json
    assert sent["signal_no"] > 0
    stage.outside.release("/1")
    await stage.until("signal-1", "completed")
    assert "[state.illegal_transition]" in (await stage.command("signal", "signal-1", "go", expect=1)).err


# ---- looking


async def test_a_list_is_filtered(stage):
    await stage.command("start", "chain", "--id", "list-1", "--wait")
    rows = (await stage.command("list", "--status", "completed", "--prefix", "list-", "--json")).json
    assert [row["instance_id"] for row in rows] == ["list-1"]
    shown = (await stage.command("list", "--prefix", "list-")).out.splitlines()
    assert shown[0].split()[:3] == ["INSTANCE_ID", "TENANT_ID", "STATUS"]
    assert shown[1].split()[:3] == ["list-1", "default", "completed"]


async def test_images_are_listed_shown_and_deleted_unless_needed(stage):
    await stage.command("image", "push", stage.directory / "chain.pyz", "--name", "gone")
    assert "gone" in [image["name"] for image in (await stage.command("image", "list", "--json")).json]
    assert (await stage.command("image", "show", "gone", "--json")).json["name"] == "gone"
    stage.outside.hold("/1")
    await stage.command("start", "gone", "--id", "needs-it")
    await stage.outside.arrived("/1")
    assert "[image.in_use]" in (await stage.command("image", "delete", "gone", expect=1)).err
    stage.outside.release("/1")
    await stage.until("needs-it", "completed")
    await stage.command("image", "delete", "gone")
    assert "[request.not_found]" in (await stage.command("image", "show", "gone", expect=1)).err


async def test_a_tenant_with_its_token_sees_itself_only(stage):
    token = (await stage.command("token", "create", "--tenant", "acme", "--note", "a test", "--json")).json
    acme = {"RUNTARA_TOKEN": token["token"]}
    assert (await stage.command("list", "--json", **acme)).json == []
    assert "[request.not_found]" in (await stage.command("image", "show", "chain", expect=1, **acme)).err
    assert "[request.permission_denied]" in (await stage.command("token", "list", expect=1, **acme)).err
    await stage.command("image", "push", stage.directory / "chain.pyz", "--name", "chain", **acme)
    started = (await stage.command("start", "chain", "--json", **acme)).json
    assert started["tenant_id"] == "acme"
    assert token["token"] not in (await stage.command("token", "list", "--json")).out
    await stage.command("token", "revoke", token["token_id"])
    assert "[request.bad_credential]" in (await stage.command("list", expect=1, **acme)).err


async def test_from_elsewhere_address_authority_and_token_are_told(stage):
    elsewhere = Command(stage.directory, stage.directory / "nothing here")
    told = {
        "RUNTARA_ENVIRONMENT_ADDR": stage.server.ready["management"],
        "RUNTARA_CA_FILE": str(stage.server.data_dir / "tls" / "ca.pem"),
        "RUNTARA_TOKEN": (stage.server.data_dir / "admin-token").read_text().strip(),
    }
    assert (await elsewhere("health", "--json", **told)).json["healthy"]
    unpinned = {name: value for name, value in told.items() if name != "RUNTARA_CA_FILE"}
    assert "[request.bad_credential]" in (await elsewhere("health", expect=1, **unpinned)).err
    skipping = unpinned | {"RUNTARA_SKIP_CERT_VERIFICATION": "true"}
    assert (await elsewhere("health", "--json", **skipping)).json["healthy"]


async def test_the_doctor_finds_a_healthy_server(stage):
    findings = {each["what"]: each for each in (await stage.command("doctor", "--json")).json}
    assert findings["server"]["state"] == "ok"
    assert not [each for each in findings.values() if each["state"] == "problem"]


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status", "nobody"], "request.not_found"),
        (["status", "a/b"], "request.invalid"),
        (["status", "x" * 10_000], "request.limit_exceeded"),
        (["checkpoints", "nobody"], "request.not_found"),
        (["start", "nothing"], "request.not_found"),
        (["start", "chain", "--env", "LD_PRELOAD=x"], "request.invalid"),
        (["start", "chain", "--timeout", "0"], "request.invalid"),
        (["list", "--status", "sleeping"], "request.invalid"),
        (["list", "--tenant", "../x"], "request.invalid"),
        (["token", "revoke", "nothing"], "request.not_found"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else value,
)
async def test_bad_input_is_exit_code_1_with_its_stable_code(stage, arguments, code):
    done = await stage.command(*arguments, expect=1)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert f"[{code}]" in done.err.splitlines()[0]


async def test_all_mistakes_of_a_scenario_are_listed_at_once(stage):
    broken = chain(stage.outside.url, 1)
    broken["steps"]["step1"]["agentId"] = "htpp"
    broken["executionPlan"].append({"fromStep": "nowhere", "toStep": "finish"})
    path = stage.write("broken.json", broken)
    done = await stage.command("compile", path, "-o", stage.directory / "broken.pyz", expect=1)
    assert done.out == ""
    assert {"E014", "E020"} <= set(done.err.split())
    document = (await stage.command("compile", path, "-o", stage.directory / "broken.pyz", "--json", expect=1)).json
    assert {"E014", "E020"} <= {each["code"] for each in document["diagnostics"]}
    assert all(each["path"].startswith("$") for each in document["diagnostics"])
    assert not (stage.directory / "broken.pyz").exists()
    assert "E014" in (await stage.command("run", path, expect=1)).err


async def test_a_file_that_is_no_image_is_refused_and_nothing_is_left(stage):
    path = stage.directory / "rubbish"
    path.write_bytes(b"\x7fELF rubbish")
    assert "[image.malformed]" in (await stage.command("image", "push", path, "--name", "rubbish", expect=1)).err
    await stage.command("image", "show", "rubbish", expect=1)
    assert list((stage.server.data_dir / "uploads").iterdir()) == []


async def test_an_input_beyond_the_limit_is_refused(stage):
    path = stage.directory / "large.json"
    path.write_text(json.dumps("x" * (16 * 1024 * 1024)))
    done = await stage.command("start", "chain", "--input", f"@{path}", expect=1)
    assert "[request.limit_exceeded]" in done.err
    path.write_text(json.dumps("x" * (65 * 1024 * 1024)))
    done = await stage.command("start", "chain", "--input", f"@{path}", expect=1)
    assert "[request.limit_exceeded]" in done.err


async def test_an_interrupted_wait_is_exit_code_130_and_the_instance_goes_on(stage):
    stage.outside.hold("/1")
    waiting = await stage.command.start("start", "chain", "--id", "waited-1", "--wait")
    await stage.outside.arrived("/1")
    waiting.send_signal(signal.SIGINT)
    _, err = await waiting.communicate()
    assert waiting.returncode == 130
    assert b"runtara status waited-1" in err
    stage.outside.release("/1")
    await stage.until("waited-1", "completed")
