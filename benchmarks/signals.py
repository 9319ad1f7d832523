"""How long a signal takes from the caller's request to the code of the program that it is for.

    python -m benchmarks.signals [--signals N] [--interruptions N]

The real path: ``runtara serve`` on a PostgreSQL with fsync, a program in a process of its own, and a client here. A
custom signal is a management request, a commit that stores it, a push, and the commit of the checkpoint that consumes
it; only then does the program go on. A pause or cancel is acknowledged by such a commit, too. So the floors beside it:
a bare round trip on the client's connection, and one checkpoint of the program. Both processes read the same clock.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from benchmarks.figures import expect_at_most, percentile, spread
from benchmarks.loops import run
from benchmarks.machine import Watch
from benchmarks.serving import serving
from runtara.client import Client, Instance
from runtara.client.handle import InstanceHandle
from runtara.protocol import messages as m

PROMISED_MS = 50.0
_PATIENCE_S = 10.0
_STAMP = Struct("d")

PROGRAM = """
import os, struct, time
from runtara import sdk

async def main(data: dict) -> None:
    pipe = os.open(data["stamps"], os.O_WRONLY)

    def stamp(value=None):
        os.write(pipe, struct.pack("d", time.perf_counter() if value is None else value))

    stamp()
    for n in range(data["checkpoints"]):
        begun = time.perf_counter()
        await sdk.checkpoint(f"checkpoint/{n}", n)
        stamp(time.perf_counter() - begun)
    for n in range(data["signals"]):
        await sdk.wait_signal("ping", key=f"ping/{n}")
        stamp()
    if data["signals"]:
        return
    try:
        await sdk.wait_signal("never")
    except BaseException:
        stamp()
        raise

sdk.run(main)
"""


class Stamps:
    """Numbers that programs write into a named pipe, one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = asyncio.StreamReader()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Stamps]:
        """An empty pipe."""
        with tempfile.TemporaryDirectory(prefix="runtara-bench-") as directory:
            stamps = cls(Path(directory) / "stamps")
            os.mkfifo(stamps.path)
            # Also for writing, so that it does not end between two programs.
            with open(os.open(stamps.path, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0) as pipe:  # noqa: ASYNC230, PTH123
                transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                    lambda: asyncio.StreamReaderProtocol(stamps._reader), pipe
                )
                yield stamps
                transport.close()

    async def next(self) -> float:
        """The next number. Raises ``TimeoutError``."""
        async with asyncio.timeout(_PATIENCE_S):
            (value,) = _STAMP.unpack(await self._reader.readexactly(_STAMP.size))
        return float(value)


class PingingClient(Client):
    """A client that can ask for nothing at all."""

    async def ping(self) -> None:
        """A bare round trip on a connection of this client."""
        await self._call(m.Ping(), m.Ok)


@dataclass(frozen=True)
class Bench:
    """What every measurement needs."""

    client: PingingClient
    stamps: Stamps
    image_id: str

    async def start(self, *, checkpoints: int = 0, signals: int = 0) -> InstanceHandle:
        """An instance whose code runs."""
        handle = await self.client.start_instance(
            self.image_id, input={"stamps": str(self.stamps.path), "checkpoints": checkpoints, "signals": signals}
        )
        await self.stamps.next()
        return handle

    async def round_trips(self, count: int) -> list[float]:
        """Seconds that each took."""
        return [await timed(self.client.ping()) for _ in range(count)]

    async def custom_signals(self, count: int) -> CustomSignals:
        """One at a time, to one instance."""
        handle = await self.start(checkpoints=count, signals=count)
        checkpoints = [await self.stamps.next() for _ in range(count)]
        answered, seen = [], []
        for _ in range(count):
            begun = time.perf_counter()
            answered.append(await timed(handle.send_custom_signal("ping")))
            seen.append(await self.stamps.next() - begun)
        await handle.wait(timeout_s=_PATIENCE_S)
        return CustomSignals(checkpoints, answered, seen)

    async def interruptions(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds from a pause, and from a cancel, to the code that meets it; each in an attempt of its own."""
        pauses, cancels = [], []
        for _ in range(count):
            handle = await self.start()
            pauses.append(await self._until_met(handle.pause))
            await paused(handle)
            await handle.resume()
            await self.stamps.next()
            cancels.append(await self._until_met(handle.cancel))
        return pauses, cancels

    async def _until_met(self, ask: Callable[[], Awaitable[Instance]]) -> float:
        begun = time.perf_counter()
        await ask()
        return await self.stamps.next() - begun


@dataclass(frozen=True)
class CustomSignals:
    """Seconds."""

    checkpoints: Sequence[float]
    """Of the same program, for comparison."""
    answered: Sequence[float]
    """Until the caller knew that it was stored."""
    seen: Sequence[float]
    """Until the program went on."""


async def timed(work: Awaitable[object]) -> float:
    """Seconds that it took."""
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def paused(handle: InstanceHandle) -> None:
    """Returns when it has been acknowledged."""
    async with asyncio.timeout(_PATIENCE_S), aclosing(handle.changes()) as changes:
        async for instance in changes:
            if instance.status == "suspended":
                return


async def register(client: Client, directory: Path) -> str:
    """The id of the image."""
    program = directory / "signalled.py"
    program.write_text(PROGRAM)
    return (await client.register_image(program, name="signalled")).image_id


async def measure(arguments: argparse.Namespace) -> None:
    """Print one line per way."""
    async with serving() as served, Stamps.open() as stamps, PingingClient.local(served.data.root) as client:
        bench = Bench(client, stamps, await register(client, stamps.path.parent))
        watch = Watch(os.getpid(), served.pid)
        round_trips = await bench.round_trips(arguments.signals)
        signals = await bench.custom_signals(arguments.signals)
        pauses, cancels = await bench.interruptions(arguments.interruptions)
        others = watch.others_cores()
    rows = {
        "floor: a round trip": round_trips,
        "floor: a checkpoint": signals.checkpoints,
        "custom signal, stored": signals.answered,
        "custom signal, seen": signals.seen,
        "pause, seen": pauses,
        "cancel, seen": cancels,
    }
    print(f"while others, and the database, used {others:.1f} cores")
    for name, seen in rows.items():
        print(f"{name:22} of {len(seen):3}  {spread(seen)}", flush=True)
    expect_at_most("a custom signal to running code: p99", percentile(signals.seen, 99) * 1e3, PROMISED_MS, "ms")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--signals", type=int, default=500)
    parser.add_argument("--interruptions", type=int, default=20, help="pauses, and as many cancels")
    return parser.parse_args(words)


if __name__ == "__main__":
    run(measure(parse()))
