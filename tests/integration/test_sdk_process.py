"""Programs as processes: booted from a launch record, connected over QUIC, ended with the code that they promise."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtara.clock import SystemClock
from runtara.protocol import messages as m
from runtara.protocol.launch import LaunchRecord, Psk, encode_launch_record
from runtara.transport.base import Address
from tests.support.certificates import certificates
from tests.support.instance_server import InstanceServer
from tests.support.quic_network import QuicNetwork

HANGS_S = 30.0


@dataclass
class Program:
    """A running process."""

    process: asyncio.subprocess.Process
    stdout: str = ""
    stderr: str = ""

    async def exit_code(self) -> int:
        async with asyncio.timeout(HANGS_S):
            out, err = await self.process.communicate()
        self.stdout, self.stderr = out.decode(), err.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@dataclass
class Host:
    """Launches programs against the fake server."""

    server: InstanceServer
    library: str
    directory: Path

    async def launch(self, text: str, *, psk: Psk | None = None, **changes: Any) -> Program:
        options = self.server.launch()
        assert options.dialer.psk is not None
        record = LaunchRecord(
            instance_id=options.instance_id,
            tenant_id=options.tenant_id,
            epoch=self.server.store.attempt,
            server_address=str(self.server.address),
            psk=psk or options.dialer.psk,
            quic=self.library,
            checkpoints=options.checkpoints,
            checkpoints_complete=True,
            **({"input": self.server.store.input, "sleep_threshold_s": 5.0} | changes),
        )
        return await self.boot(text, encode_launch_record(record))

    async def boot(self, text: str, record: bytes) -> Program:
        artifact = self.directory / "program.py"
        artifact.write_text(text)
        read, write = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "runtara.sdk.boot", str(artifact)),
            env={"PATH": "/usr/bin:/bin", "RUNTARA_LAUNCH_FD": str(read)},
            pass_fds=(read,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(read)
        os.write(write, record)
        os.close(write)
        return Program(process)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGS_S):
            while not condition():  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.01)

    def served(self, kind: type[m.Message]) -> int:
        return sum(isinstance(message, kind) for message in self.server.requests)


@pytest.fixture(params=["qh3", pytest.param("aioquic", marks=pytest.mark.slow)])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    made = certificates()
    server = InstanceServer(
        network=QuicNetwork(request.param),
        clock=SystemClock(),
        address=Address("127.0.0.1", 0),
        certificate_pem=made.leaf,
        private_key_pem=made.leaf_key,
    )
    server.store.input = b'{"n":20}'
    await server.start()
    yield Host(server, request.param, tmp_path)
    await server.stop()


ASYNC = """
import os, sys
from runtara import sdk

@sdk.durable
async def double(n: int) -> int:
    return 2 * n

async def main(data: dict[str, int]) -> dict[str, object]:
    print("hello")
    print("world", file=sys.stderr)
    names = ("RUNTARA_INSTANCE_ID", "RUNTARA_TENANT_ID", "RUNTARA_LAUNCH_FD", "COLOUR")
    return {"double": await double(data["n"]), "environ": [os.environ.get(name) for name in names], "argv": sys.argv}

sdk.run(main)
"""


async def test_a_program_knows_who_it_is_and_completes(host: Host) -> None:
    program = await host.launch(ASYNC, env={"COLOUR": "red"})
    assert await program.exit_code() == 0, program.stderr
    store = host.server.store
    assert store.status == "completed"
    assert json.loads(store.output or b"") == {
        "double": 40,
        "environ": [store.instance_id, store.tenant_id, None, "red"],
        "argv": [str(host.directory / "program.py")],
    }
    assert (program.stdout, program.stderr) == ("hello\n", "world\n")


async def test_a_large_input_is_asked_for(host: Host) -> None:
    program = await host.launch(ASYNC, input=None)
    assert await program.exit_code() == 0, program.stderr
    assert json.loads(host.server.store.output or b"")["double"] == 40


async def test_a_program_that_raises_fails_its_instance(host: Host) -> None:
    program = await host.launch(
        "from runtara import sdk\nasync def main():\n    raise ValueError('no such order')\nsdk.run(main)"
    )
    assert await program.exit_code() == 0, program.stderr
    assert host.server.store.status == "failed"
    error = json.loads(host.server.store.error or b"")
    assert (error["type"], error["message"]) == ("ValueError", "no such order")
    assert "program.py" in error["traceback"]


BOTH = [
    """
from runtara import sdk
async def main():
    await sdk.checkpoint("began", True)
    {call}
sdk.run(main)
""",
    """
from runtara.sdk import sync as sdk
def main():
    sdk.checkpoint("began", True)
    {call}
sdk.run(main)
""",
]


@pytest.mark.parametrize("world", BOTH, ids=["async", "sync"])
async def test_a_long_sleep_ends_the_process_with_code_0(host: Host, world: str) -> None:
    is_async = "async def" in world
    program = await host.launch(world.format(call=("await " if is_async else "") + "sdk.sleep(3600)"))
    assert await program.exit_code() == 0, program.stderr
    store = host.server.store
    assert (store.status, store.termination_reason) == ("suspended", "sleeping")
    assert "began" in store.checkpoints


@pytest.mark.parametrize("world", BOTH, ids=["async", "sync"])
async def test_a_cancel_reaches_a_program_that_waits(host: Host, world: str) -> None:
    is_async = "async def" in world
    program = await host.launch(world.format(call=("await " if is_async else "") + "sdk.wait_signal('never')"))
    await host.until(lambda: "began" in host.server.store.checkpoints)
    host.server.store.cancel()
    assert await program.exit_code() == 0, program.stderr
    assert host.server.store.status == "cancelled"


@pytest.mark.parametrize("world", BOTH, ids=["async", "sync"])
async def test_a_terminated_process_suspends_its_instance(host: Host, world: str) -> None:
    is_async = "async def" in world
    program = await host.launch(world.format(call=("await " if is_async else "") + "sdk.wait_signal('never')"))
    await host.until(lambda: "began" in host.server.store.checkpoints)
    program.process.send_signal(signal.SIGTERM)
    assert await program.exit_code() == 0, program.stderr
    store = host.server.store
    assert (store.status, store.termination_reason) == ("suspended", "shutdown_requested")


@pytest.mark.parametrize("world", BOTH, ids=["async", "sync"])
async def test_a_superseded_process_ends_at_once_whatever_its_threads_do(host: Host, world: str) -> None:
    is_async = "async def" in world
    wait = ("await " if is_async else "") + "sdk.wait_signal('never')"
    busy = "import threading, time; threading.Thread(target=time.sleep, args=(3600,)).start()"
    program = await host.launch(world.format(call=f"{busy}; {wait}"))
    await host.until(lambda: "began" in host.server.store.checkpoints)
    host.server.push(m.Fenced())
    assert await program.exit_code() == 75
    assert "successor" in program.stderr


async def test_a_credential_that_is_not_known_is_told_in_one_line(host: Host) -> None:
    program = await host.launch(ASYNC, psk=Psk(b"x" * 53, b"s" * 48, 4e9))
    assert await program.exit_code() == 1
    assert program.stderr.count("\n") == 1
    assert "credential" in program.stderr
    assert "Traceback" not in program.stderr


@pytest.mark.parametrize("record", [b"", b"\xc1 nonsense"])
async def test_a_damaged_record_is_told_in_one_line(host: Host, record: bytes) -> None:
    program = await host.boot(ASYNC, record)
    assert await program.exit_code() == 64
    assert program.stderr.count("\n") == 1
    assert "launch record" in program.stderr


async def test_without_a_record_there_is_nothing_to_run() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "runtara.sdk.boot", "program.py"), env={}, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 64
    assert b"usage" in stderr


BLOCKED_S = 7.0  # Longer than the idle timeout of connections.


@pytest.mark.slow
async def test_a_synchronous_program_that_blocks_stays_connected(host: Host) -> None:
    program = await host.launch(
        f"""
import time
from runtara.sdk import sync as sdk
def main():
    sdk.checkpoint("began", True)
    time.sleep({BLOCKED_S})
    return sdk.checkpoint("done", 1)
sdk.run(main)
"""
    )
    assert await program.exit_code() == 0, program.stderr
    assert host.server.store.output == b"1"
    assert host.served(m.Register) == 1, "the connection lived on its own thread"


@pytest.mark.slow
async def test_an_asynchronous_program_that_blocks_its_loop_connects_again(host: Host) -> None:
    program = await host.launch(
        f"""
import time
from runtara import sdk
async def main():
    await sdk.checkpoint("began", True)
    time.sleep({BLOCKED_S})
    return await sdk.checkpoint("done", 1)
sdk.run(main)
"""
    )
    assert await program.exit_code() == 0, program.stderr
    assert host.server.store.output == b"1"
    assert host.served(m.Register) == 2


async def test_a_server_that_was_restarted_is_found_again(host: Host) -> None:
    program = await host.launch(BOTH[0].format(call="await sdk.wait_signal('go')"))
    await host.until(lambda: "began" in host.server.store.checkpoints)
    await host.server.stop()
    host.server.store.send_signal("go")
    await host.server.start()
    assert await program.exit_code() == 0, program.stderr
    assert host.server.store.status == "completed"
    assert host.served(m.Register) == 2
