"""`runtara serve` from outside: how it begins, how it ends, and what it says when it cannot begin."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtara.client import Client
from tests.support.command import Command
from tests.support.server import refuses_new_work, serve
from tests.support.steps import chain, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PORTS = {"RUNTARA_QUIC_PORT": "0", "RUNTARA_ENV_QUIC_PORT": "0", "RUNTARA_ADMIN_PORT": "0"}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path, tmp_path / "data")


@asynccontextmanager
async def running(command: Command, *arguments: str, **env: str):
    """A server as a child process, and its ready line."""
    process = await command.start("serve", *arguments, **(PORTS | env))
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield process, line.decode()
    finally:
        # Not by force: the database of a server that was killed lives on, and waits for the next one.
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_it_says_one_line_when_it_is_ready_and_nothing_else_on_stdout(command):
    async with running(command) as (process, line):
        assert line.startswith("ready instance=127.0.0.1:")
        facts = dict(fact.split("=") for fact in line.split()[1:])
        assert facts["database"] == "embedded"
        assert json.loads((command.data_dir / "server.json").read_bytes())["management"] == facts["management"]
        assert (await command("health", "--json")).json["healthy"]
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert out == b""
    assert process.returncode == 0
    assert b"Traceback" not in err
    assert not (command.data_dir / "server.json").exists()


async def test_for_programs_the_line_is_a_document(command):
    async with running(command, "--json") as (process, line):
        document = json.loads(line)
        assert set(document) == {"ready", "instance", "management", "database"}
        assert document["ready"] is True
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0


async def test_what_lies_in_its_directory_is_for_its_user_only(command):
    async with running(command):
        assert command.data_dir.stat().st_mode & 0o777 == 0o700
        for name in ("admin-token", "tls/ca.key", "tls/server.key"):
            assert (command.data_dir / name).stat().st_mode & 0o777 == 0o600


async def test_a_start_that_is_interrupted_leaves_nothing_that_runs(command):
    process = await command.start("serve", **PORTS)
    async with asyncio.timeout(30):
        while b"starting a private PostgreSQL" not in (line := await process.stderr.readline()):
            assert line
    process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    async with running(command) as (_, line):
        assert line.startswith("ready ")


async def test_a_second_one_on_the_directory_is_refused_and_the_first_goes_on(command):
    async with running(command):
        done = await command("serve", expect=1, **PORTS)
        assert "[data_dir.in_use]" in done.err
        assert (await command("health", "--json")).json["healthy"]


async def test_a_port_in_use_leaves_nothing_behind(command):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        for variable in ("RUNTARA_QUIC_PORT", "RUNTARA_ENV_QUIC_PORT"):
            done = await command("serve", expect=3, **(PORTS | {variable: port}))
            assert port in done.err.splitlines()[-2] + done.err.splitlines()[-1]
    async with running(command) as (_, line):
        assert line.startswith("ready ")


async def test_a_database_that_does_not_answer_is_told_within_seconds_and_without_its_password(command):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        for address in (f"127.0.0.1:{port}", "127.0.0.1:1"):
            async with asyncio.timeout(20):
                url = f"postgresql://me:s3cret@{address}/d"
                known = PORTS | {"RUNTARA_DATABASE_URL": url, "RUNTARA_DB_CONNECT_TIMEOUT_SECS": "1"}
                done = await command("serve", expect=3, **known)
            assert "s3cret" not in done.out + done.err
            assert done.err.splitlines()[-1].startswith(("error: ", "hint: "))
    assert not (command.data_dir / "postgres").exists()


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        ([], {"RUNTARA_QUIC_PORT": "many"}, "RUNTARA_QUIC_PORT is 'many'"),
        ([], {"RUNTARA_MAX_CONCURRENT_INSTANCES": "0"}, "from 1 to"),
        ([], {"RUNTARA_DATABASE_URL": "mysql://h/d"}, "connection string of PostgreSQL"),
        ([], {"BUNDLES_DIR": "/x"}, "BUNDLES_DIR is refused"),
        ([], {"USE_SYSTEMD_CGROUP": "true"}, "USE_SYSTEMD_CGROUP is refused"),
        ([], {"RUNTARA_SIGNAL_POLL_INTERVAL_MS": "1000"}, "signals are pushed"),
        ([], {"RUNTARA_STDLIB_NAME": "x"}, "RUNTARA_STDLIB_NAME is refused"),
        (["--insecure-dev"], {"RUNTARA_BIND_HOST": "0.0.0.0"}, "--insecure-dev is refused"),
        (["--nonsense"], {}, "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list | dict) else "",
)
async def test_what_cannot_be_used_is_wrong_usage_before_anything_is_made(command, arguments, env, says):
    done = await command("serve", *arguments, expect=2, **(PORTS | env))
    assert says in done.err
    assert not command.data_dir.exists()


async def test_a_directory_that_is_none_is_told(command):
    command.data_dir.touch()
    done = await command("serve", expect=3, **PORTS)
    assert "[data_dir.unusable]" in done.err


async def test_an_unknown_variable_is_warned_of(command):
    async with running(command, RUNTARA_QUICK_PORT="1") as (process, _):
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert b"RUNTARA_QUICK_PORT means nothing; is it RUNTARA_QUIC_PORT?" in err


async def test_a_core_only_server_answers_on_the_admin_port(command):
    async with running(command, "--core-only", "--json") as (_, line):
        assert (await command("list", "--json", RUNTARA_ENVIRONMENT_ADDR=json.loads(line)["management"])).json == []
        done = await command("image", "list", expect=1)
        assert "does not answer ListImages" in done.err


async def test_without_tokens_everybody_on_this_host_is_an_administrator_and_is_told_so(command):
    async with running(command, "--insecure-dev") as (process, _):
        data = command.data_dir
        (data / "admin-token").unlink()
        assert (await command("list", "--json")).json == []
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert b"--insecure-dev: everybody on this host is an administrator" in err


async def test_a_killed_server_starts_again_on_its_directory(command):
    async with running(command) as (process, _):
        token = (command.data_dir / "admin-token").read_text()
        process.kill()
        await process.wait()
    async with running(command) as (_, line):
        assert line.startswith("ready ")
        assert (await command("health", "--json")).json["detail"]["server_no"] == 1
        assert (command.data_dir / "admin-token").read_text() == token


async def test_a_stop_suspends_what_runs_and_the_next_start_goes_on(tmp_path):
    async with world() as outside, serve(tmp_path / "data") as server:
        scenario = tmp_path / "chain.json"
        scenario.write_text(json.dumps(chain(outside.url, 3)))
        command = Command(tmp_path, tmp_path / "data")
        await command("compile", scenario, "-o", tmp_path / "chain.pyz")
        await command("image", "push", tmp_path / "chain.pyz", "--name", "chain")
        outside.hold("/2")
        await command("start", "chain", "--id", "i-1")
        await outside.arrived("/2")
        stopping = asyncio.create_task(server.stop())
        await refuses_new_work(server.data_dir)
        outside.release("/2")
        assert await stopping == 0
        await server.start()
        async with asyncio.timeout(60), Client.local(server.data_dir) as client:
            changes = [instance async for instance in client.watch("i-1")]
    assert (changes[-1].status, changes[-1].attempt) == ("completed", 2)
    assert outside.counts == {"/1": 1, "/2": 1, "/3": 1}


async def test_a_second_signal_ends_the_waiting(tmp_path):
    async with world() as outside, serve(tmp_path / "data", env={"RUNTARA_DRAIN_SECS": "3600"}) as server:
        scenario = tmp_path / "chain.json"
        scenario.write_text(json.dumps(chain(outside.url, 1)))
        command = Command(tmp_path, tmp_path / "data")
        outside.hold("/1")
        waiting = await command.start("run", scenario, "--id", "i-1")
        await outside.arrived("/1")
        stopping = asyncio.create_task(server.stop())
        await refuses_new_work(server.data_dir)
        assert not stopping.done()
        async with asyncio.timeout(30):
            assert await server.stop() == 0
            assert await stopping == 0
        waiting.kill()
        await waiting.communicate()
        outside.release("/1")


async def test_the_demo_ends_with_the_result_of_a_finished_scenario(command):
    done = await command("demo")
    assert done.json["result"]["result"]["body"]["orders"][0]["id"] == "A-1"
    assert "completed" in done.err
