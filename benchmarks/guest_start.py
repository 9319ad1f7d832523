"""What it costs to start a program: from the start of its process to its first request, its first checkpoint, its exit.

    python -m benchmarks.guest_start [--launches N] [--library aioquic|qh3 ...]

The server is a fake in this process that stores nothing, so this is the guest's side alone. Floors beside it: the bare
interpreter, and the interpreter with asyncio.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtara.clock import SystemClock
from runtara.protocol import messages as m
from runtara.protocol.launch import LaunchRecord, encode_launch_record
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.transport.base import Address
from tests.support.certificates import certificates
from tests.support.instance_server import InstanceServer
from tests.support.quic_network import QuicNetwork

PROGRAM = """
from runtara import sdk

@sdk.durable
async def step(n: int) -> int:
    return n

async def main() -> int:
    return await step(1)

sdk.run(main)
"""
SYNC_PROGRAM = PROGRAM.replace("import sdk", "import sdk\nfrom runtara.sdk import sync as sdk").replace("async ", "")
SYNC_PROGRAM = SYNC_PROGRAM.replace("await ", "")


@dataclass
class Stamps(list[m.Message]):
    """The requests of the server, each with the time at which it came."""

    at: dict[type[m.Message], float] = field(default_factory=dict)

    def append(self, message: m.Message) -> None:
        """One came."""
        self.at[type(message)] = time.perf_counter()


async def launch(server: InstanceServer, program: Path, library: str) -> Sequence[float]:
    """Milliseconds to Register, to the first checkpoint, to the exit."""
    server.store = MemoryInstanceStore()
    server.restart_credentials()
    stamps = Stamps()
    server.requests = stamps
    options = server.launch()
    assert options.dialer.psk is not None
    record = LaunchRecord(
        instance_id=options.instance_id,
        tenant_id=options.tenant_id,
        epoch=1,
        server_address=str(server.address),
        psk=options.dialer.psk,
        quic=library,
        input=b"{}",
        checkpoints_complete=True,
    )
    read, write = os.pipe()
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "runtara.sdk.boot", str(program)),
        env={"RUNTARA_LAUNCH_FD": str(read)},
        pass_fds=(read,),
    )
    os.close(read)
    os.write(write, encode_launch_record(record))
    os.close(write)
    assert await process.wait() == 0
    ended = time.perf_counter()
    assert server.store.output == b"1"
    return [(at - begun) * 1e3 for at in (stamps.at[m.Register], stamps.at[m.SaveCheckpoint], ended)]


async def floor(code: str) -> float:
    """Milliseconds of the interpreter that runs this."""
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", code)
    await process.wait()
    return (time.perf_counter() - begun) * 1e3


async def measure(library: str, launches: int, program: str) -> None:
    """Print one line."""
    made = certificates()
    server = InstanceServer(
        network=QuicNetwork(library),
        clock=SystemClock(),
        address=Address("127.0.0.1", 0),
        certificate_pem=made.leaf,
        private_key_pem=made.leaf_key,
    )
    await server.start()
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        rows = [await launch(server, Path(file.name), library) for _ in range(launches)]
    if server.listener is not None:
        await server.listener.aclose()
    columns = (statistics.median(column) for column in zip(*rows, strict=True))
    least = (min(column) for column in zip(*rows, strict=True))
    kind = "async" if program is PROGRAM else "sync"
    line = "  ".join(
        f"{what} {ms:6.1f} (best {best:6.1f})" for what, ms, best in zip(NAMES, columns, least, strict=True)
    )
    print(f"{library:8} {kind:5}  {line}  ms", flush=True)


NAMES = ("registered", "first checkpoint", "exit")


async def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=15)
    parser.add_argument("--library", nargs="*", default=["qh3", "aioquic"])
    arguments = parser.parse_args()
    for code in ("pass", "import asyncio"):
        seen = [await floor(code) for _ in range(arguments.launches)]
        print(f"floor    {code:15} exit {statistics.median(seen):6.1f} (best {min(seen):6.1f})  ms", flush=True)
    for library in arguments.library:
        for program in (PROGRAM, SYNC_PROGRAM):
            await measure(library, arguments.launches, program)


if __name__ == "__main__":
    asyncio.run(main())
