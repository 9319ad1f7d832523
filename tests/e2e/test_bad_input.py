"""What nobody should send, through the command and the client: its code, one line of message, and nothing half done."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtara.client import Client
from runtara.errors import ImageDigestMismatch, InvalidRequest
from tests.support.command import Command, Done
from tests.support.server import ServerProcess, serve
from tests.support.steps import chain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

PORTS = {"RUNTARA_QUIC_PORT": "0", "RUNTARA_ENV_QUIC_PORT": "0", "RUNTARA_ADMIN_PORT": "0"}
MIB = 1024 * 1024
LONG = "x" * 10_000

OF_AN_INSTANCE = [
    ("status", "{}"),
    ("pause", "{}"),
    ("resume", "{}"),
    ("cancel", "{}"),
    ("stop", "{}", "--grace", "0"),
    ("signal", "{}", "go"),
    ("checkpoints", "{}"),
    ("checkpoints", "{}", "--key", "k"),
    ("events", "{}"),
    ("logs", "{}"),
]
OF_AN_IMAGE = [("image", "show", "{}"), ("image", "delete", "{}"), ("start", "{}")]
THAT_MAKE_ONE = [("start", "chain", "--id", "{}")]
OF_A_TENANT = [("list", "--tenant", "{}"), ("image", "list", "--tenant", "{}"), ("start", "chain", "--tenant", "{}")]


@dataclass
class Stage:
    """A server with the image ``chain`` and the finished instance ``done``."""

    server: ServerProcess
    command: Command
    directory: Path

    async def refused(self, *arguments: object, code: str, expect: int = 1, **env: str) -> Done:
        """The command ends so, says why in one short line, and nothing has changed."""
        before = await self.everything()
        done = await self.command(*arguments, expect=expect, **env)
        check(done, code)
        assert await self.everything() == before
        return done

    async def everything(self) -> Any:
        """What is stored, and what lies around."""
        async with Client.local(self.server.data_dir) as client:
            return (
                [instance async for instance in client.list_instances()],
                [image async for image in client.list_images()],
                [event async for event in client.events("done")],
                list((self.server.data_dir / "uploads").iterdir()),
            )


def check(done: Done, code: str) -> None:
    """Nothing on stdout; on stderr an error of one line with its code, and at most a hint."""
    assert done.out == ""
    first, *rest = [line for line in done.err.splitlines() if not line.startswith("20")]  # 2026-…: log lines.
    assert first.startswith("error: ")
    assert first.endswith(f" [{code}]")
    assert len(first) < 500
    assert [line[:6] for line in rest] in ([], ["hint: "])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    directory = tmp_path_factory.mktemp("bad")
    async with serve(directory / "data") as server:
        command = Command(directory, directory / "data")
        # Nobody answers there: it fails at once, which is an end like any other.
        (directory / "chain.json").write_text(json.dumps(chain("http://127.0.0.1:9", 1, maxRetries=0)))
        await command("compile", directory / "chain.json", "-o", directory / "chain.pyz")
        await command("image", "push", directory / "chain.pyz", "--name", "chain")
        await command("start", "chain", "--id", "done", "--wait", expect=1)
        yield Stage(server, command, directory)


def named(value: object) -> str:
    return " ".join(value)[:40] if isinstance(value, tuple) else ""


# ---- names


@pytest.mark.parametrize("words", [*OF_AN_INSTANCE, *OF_AN_IMAGE], ids=named)
async def test_what_does_not_exist_is_not_found(stage: Stage, words: tuple[str, ...]) -> None:
    await stage.refused(*(word.format("nobody") for word in words), code="request.not_found")


async def test_a_checkpoint_that_does_not_exist_is_not_found(stage: Stage) -> None:
    await stage.refused("checkpoints", "done", "--key", "nothing", code="request.not_found")


@pytest.mark.parametrize("words", OF_A_TENANT, ids=named)
async def test_another_tenant_is_as_unknown_as_one_that_does_not_exist(stage: Stage, words: tuple[str, ...]) -> None:
    token = (await stage.command("token", "create", "--tenant", "acme", "--json")).json["token"]
    for tenant in ("default", "nobody"):
        arguments = [word.format(tenant) for word in words]
        await stage.refused(*arguments, code="request.not_found", RUNTARA_TOKEN=token)


@pytest.mark.parametrize("words", [*OF_AN_INSTANCE, *OF_AN_IMAGE, *THAT_MAKE_ONE, *OF_A_TENANT], ids=named)
@pytest.mark.parametrize(
    ("name", "code"), [("a/b", "request.invalid"), (LONG, "request.limit_exceeded")], ids=["slash", "10 kB"]
)
async def test_what_is_no_name_is_refused(stage: Stage, words: tuple[str, ...], name: str, code: str) -> None:
    await stage.refused(*(word.format(name) for word in words), code=code)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a\nb", "\x1b[2J", "a b", "ü", "\udcff"], ids=ascii)
async def test_whatever_is_no_name_the_answer_is_one_line(stage: Stage, name: str) -> None:
    await stage.refused("start", "chain", "--id", name, code="request.invalid")


async def test_a_name_with_a_nul_is_refused(stage: Stage) -> None:
    """No command line can hold one, but a product can send it."""
    before = await stage.everything()
    async with Client.local(stage.server.data_dir) as client:
        calls: list[Callable[[], Awaitable[object]]] = [
            partial(client.start_instance, "a\0b"),
            partial(client.start_instance, "chain", instance_id="a\0b"),
            partial(client.start_instance, "chain", tenant_id="a\0b"),
            partial(client.start_instance, "chain", env={"A\0B": "1"}),
            partial(client.get_instance, "a\0b"),
            partial(client.pause, "a\0b"),
            partial(client.resume, "a\0b"),
            partial(client.cancel, "a\0b"),
            partial(client.cancel, "done", reason="a\0b"),
            partial(client.stop, "a\0b"),
            partial(client.send_custom_signal, "a\0b", "go"),
            partial(client.send_custom_signal, "done", "a\0b"),
            partial(client.get_checkpoint, "a\0b", "k"),
            partial(client.get_checkpoint, "done", "a\0b"),
            partial(client.read_logs, "a\0b"),
            partial(client.get_image, "a\0b"),
            partial(client.delete_image, "a\0b"),
            partial(client.register_image, b"print(1)\n", name="a\0b"),
        ]
        for call in calls:
            with pytest.raises(InvalidRequest):
                await call()
    assert await stage.everything() == before


# ---- contents


async def test_an_input_larger_than_a_frame_starts_nothing(stage: Stage) -> None:
    path = stage.directory / "large.json"
    path.write_text(json.dumps("x" * (65 * MIB)))
    for more in ((), ("--id", "large"), ("--wait",)):
        await stage.refused("start", "chain", "--input", f"@{path}", *more, code="request.limit_exceeded")
    path.unlink()


async def test_bytes_that_are_not_those_of_their_digest_are_no_image(stage: Stage) -> None:
    """The command computes the digest itself; a product may be wrong about it, or its network."""
    artifact = (stage.directory / "chain.pyz").read_bytes()

    async def damaged() -> AsyncIterator[bytes]:
        yield artifact[:-1] + b"?"

    before = await stage.everything()
    async with Client.local(stage.server.data_dir) as client:
        digest = (await client.get_image("chain")).digest
        with pytest.raises(ImageDigestMismatch):
            await client.register_image_stream(damaged(), name="new", size_bytes=len(artifact), digest=digest)
    assert await stage.everything() == before


def of(value_type: str, value: Any) -> dict[str, Any]:
    return {"valueType": value_type, "value": value}


def call(step_id: str, agent: str, capability: str, **inputs: Any) -> dict[str, Any]:
    asked = {"agentId": agent, "capabilityId": capability, "inputMapping": inputs}
    return {"stepType": "Agent", "id": step_id, **asked}


TEN_STEPS = {
    "a": call("a", "htpp", "request"),
    "b": call("b", "utils", "return-inptu", value=of("immediate", 1)),
    "c": call("c", "http", "request"),
    "d": call("d", "utils", "return-input", value=of("reference", "variables.rate")),
    "e": call("e", "utils", "return-input", value=of("reference", "steps.nothing.outputs")),
    "f": call("f", "utils", "return-input", value=of("reference", "data.items[")),
    "g": call("other", "utils", "return-input", value=of("immediate", 1)),
    "h": {"stepType": "Agnet", "id": "h"},
    "end": {"stepType": "Finish", "id": "end"},
}
TEN_MISTAKES = {
    "entryPoint": "aa",
    "steps": TEN_STEPS,
    "executionPlan": [{"fromStep": one, "toStep": other} for one, other in [*pairwise(TEN_STEPS), ("nowhere", "end")]],
}
FOUND = {
    ("E001", "$.entryPoint"),
    ("E005", "$.steps.g.id"),
    ("E010", "$.steps.e.inputMapping.value.value"),
    ("E011", "$.steps.f.inputMapping.value.value"),
    ("E013", "$.steps.d.inputMapping.value.value"),
    ("E014", "$.executionPlan[8].fromStep"),
    ("E020", "$.steps.a.agentId"),
    ("E021", "$.steps.b.capabilityId"),
    ("E022", "$.steps.c.inputMapping"),
    ("E084", "$.steps.h.stepType"),
}


async def test_ten_mistakes_of_a_scenario_are_all_listed(stage: Stage) -> None:
    path, out = stage.directory / "broken.json", stage.directory / "broken.pyz"
    path.write_text(json.dumps(TEN_MISTAKES))
    before = await stage.everything()
    for words in (("compile", path, "-o", out), ("run", path, "--input", "{}")):
        done = await stage.command(*words, expect=1)
        rows = {tuple(line.split()[:2]) for line in done.err.splitlines()}
        assert rows >= FOUND
        (told,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert told.endswith(", and 9 more [scenario.invalid]")
        document = (await stage.command(*words, "--json", expect=1)).json
        assert {(each["code"], each["path"]) for each in document["diagnostics"]} == FOUND
    assert not out.exists()
    assert await stage.everything() == before


# ---- a machine that cannot


@contextmanager
def files_of_at_most(pid: int, size_bytes: int) -> Iterator[None]:
    """The kernel lets no file of that process grow further, which it is told as of a full disk."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size_bytes", [3 * MIB, 32 * MIB], ids=["in one request", "in pieces"])
async def test_a_full_disk_takes_no_upload(stage: Stage, size_bytes: int) -> None:
    path = stage.directory / "large.py"
    path.write_bytes(b"#" * size_bytes)
    with files_of_at_most(stage.server.pid, MIB):
        done = await stage.refused("image", "push", path, "--name", "large", code="server.disk_full", expect=3)
    assert done.err.splitlines()[-1] == "hint: Free space under DATA_DIR, then try again."
    pushed = await stage.command("image", "push", stage.directory / "chain.pyz", "--name", "chain", "--json")
    assert pushed.json["name"] == "chain"


async def test_a_server_whose_port_is_taken_or_whose_database_is_silent_does_not_begin(tmp_path: Path) -> None:
    command = Command(tmp_path, tmp_path / "data")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.socket() as silent:
        for each in (taken, silent):
            each.bind(("127.0.0.1", 0))
        silent.listen()
        port, database = taken.getsockname()[1], f"postgresql://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/d"
        for env in ({"RUNTARA_QUIC_PORT": str(port)}, {"RUNTARA_DATABASE_URL": database}):
            done = await command("serve", expect=3, **(PORTS | env))
            check(done, "server.unavailable")
            assert not (command.data_dir / "server.json").exists()
    async with serve(command.data_dir) as server:
        assert server.ready["ready"]
