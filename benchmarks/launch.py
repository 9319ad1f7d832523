"""From the request that starts an instance to its first durable checkpoint, through the real server.

    python -m benchmarks.launch [--launches N] [--at-once N]

The real path: ``runtara serve`` on a PostgreSQL with fsync, and programs in processes of their own: the request is
stored, claimed and launched, the interpreter starts and imports, the program registers over QUIC and saves. All
processes read the same clock. The floor beside it: the start and end of an interpreter that imports the packages that
no program can do without, alone and as many at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import spread
from benchmarks.loops import run
from benchmarks.machine import Watch
from benchmarks.serving import serving
from runtara.client import Client

_PATIENCE_S: Final = 60.0

FLOOR: Final = "import asyncio, msgspec, qh3"

PROGRAM: Final = """
import time
first_line = time.perf_counter()
from runtara import sdk

async def main() -> list[float]:
    registered = time.perf_counter()
    await sdk.checkpoint("first", 1)
    return [first_line, registered, time.perf_counter()]

sdk.run(main)
"""


@dataclass(frozen=True)
class Launch:
    """Seconds since the request."""

    accepted: float
    first_line: float
    """The interpreter runs, the base runtime is imported."""
    registered: float
    saved: float


Once = Callable[[], Awaitable[Any]]


async def repeat(once: Once, count: int, *, at_once: int) -> list[Any]:
    """What ``once`` returned, that often, so many at a time."""
    seen: list[Any] = []
    while len(seen) < count:
        seen += await asyncio.gather(*(once() for _ in range(at_once)))
    return seen


async def start_interpreter() -> float:
    """Seconds to its end."""
    begun = time.perf_counter()
    # In a session of its own, as attempts are: the kernel shares its processors between sessions.
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", FLOOR, start_new_session=True)
    assert await process.wait() == 0, f"{FLOOR} failed"
    return time.perf_counter() - begun


async def launch(client: Client, image_id: str) -> Launch:
    """One instance."""
    begun = time.perf_counter()
    handle = await client.start_instance(image_id)
    accepted = time.perf_counter() - begun
    first_line, registered, saved = (at - begun for at in await handle.result(timeout_s=_PATIENCE_S))
    return Launch(accepted, first_line, registered, saved)


def show(what: str, floor: Sequence[float], launches: Sequence[Launch]) -> None:
    """One block: the stages, each since the request, and the whole beside its floor."""
    print(f"\n{what}, {len(launches)} launches")
    print(f"{'floor: ' + FLOOR:38} {spread(floor)}")
    for name in ("accepted", "first_line", "registered", "saved"):
        stage = [getattr(each, name) for each in launches]
        print(f"{name.replace('_', ' '):38} {spread(stage)}", flush=True)


async def measure(arguments: argparse.Namespace) -> None:
    """Print a block for one at a time, and for many at once."""
    with tempfile.TemporaryDirectory(prefix="runtara-bench-") as directory:
        program = Path(directory) / "first.py"
        program.write_text(PROGRAM)
        async with serving() as served, Client.local(served.data.root) as client:
            image = await client.register_image(program, name="first")

            async def once() -> Launch:
                return await launch(client, image.image_id)

            await once()
            for at_once in (1, arguments.at_once):
                floor = await repeat(start_interpreter, arguments.launches, at_once=at_once)
                cpu_s, watch = served.cpu_s, Watch(os.getpid(), served.pid)
                launches = await repeat(once, arguments.launches, at_once=at_once)
                others, server_ms = watch.others_cores(), (served.cpu_s - cpu_s) / len(launches) * 1e3
                show("one at a time" if at_once == 1 else f"{at_once} at once", floor, launches)
                print(f"server {server_ms:.1f} ms of processor time each; the rest used {others:.1f} cores", flush=True)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--launches", type=int, default=48)
    parser.add_argument("--at-once", type=int, default=8)
    return parser.parse_args(words)


if __name__ == "__main__":
    run(measure(parse()))
