"""Every runner passes the same contract."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from runtara.environment.runner.base import LaunchFailed, Runner
from runtara.environment.runner.memory import MemoryHost, MemoryProcess, MemoryRunner, Signalled
from runtara.environment.runner.process import ProcessRunner
from runtara.testing.contracts.runner import PROGRAMS, Behaviour, ProcessContract, RunnerContract
from tests.support.tasks import background_group

MINI_BOOT = Path(__file__).parents[1] / "support" / "mini_boot.py"


class World:
    def __init__(self, base: Path) -> None:
        self.base = base

    def directory(self, instance_no: int) -> Path:
        path = self.base / "instances" / str(instance_no)
        path.mkdir(parents=True, exist_ok=True)
        return path


# ---- real processes


class ProcessWorld(World):
    runners: list[ProcessRunner]

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.runners = []

    def new_runner(self) -> Runner:
        return self._runner(sys.executable)

    def broken_runner(self) -> Runner:
        return self._runner("/there/is/no/such/interpreter")

    def artifact(self, behaviour: str) -> Path:
        path = self.base / f"{behaviour}.py"
        path.write_text(PROGRAMS[behaviour])
        return path

    def _runner(self, interpreter: str) -> ProcessRunner:
        runner = ProcessRunner(self.base / "launches", command=(interpreter, "-I", "-S", str(MINI_BOOT)))
        self.runners.append(runner)
        return runner


class TestProcessRunner(ProcessContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[ProcessWorld]:
        world = ProcessWorld(tmp_path)
        yield world
        for runner in world.runners:
            for launched in await runner.list_launched():
                await runner.stop(launched, grace_s=0)
            await runner.aclose()


# ---- pretended ones


async def _print(process: MemoryProcess) -> int:
    process.print("out\n")
    process.print("err\n", error=True)
    return 0


async def _end_badly(process: MemoryProcess) -> int:
    process.print("boom", error=True)
    return 7


async def _scream(process: MemoryProcess) -> int:
    process.print("é" * 100_000, error=True)
    return 1


async def _die(process: MemoryProcess) -> int:
    raise Signalled(signal.SIGKILL)


async def _stay(process: MemoryProcess) -> int:
    descriptor = os.open(process.request.directory / "ready", os.O_WRONLY | os.O_NONBLOCK)
    os.write(descriptor, b".")
    os.close(descriptor)
    await anyio.sleep_forever()
    return 0


async def _resist(process: MemoryProcess) -> int:
    process.catches_sigterm = True
    return await _stay(process)


async def _end_well(process: MemoryProcess) -> int:
    return 0


BEHAVIOURS: dict[str, Callable[[MemoryProcess], Awaitable[int]]] = {
    Behaviour.ENDS_WELL: _end_well,
    Behaviour.ENDS_BADLY: _end_badly,
    Behaviour.DIES: _die,
    Behaviour.PRINTS: _print,
    Behaviour.SCREAMS: _scream,
    Behaviour.RUNS: _stay,
    Behaviour.RESISTS: _resist,
}


class MemoryWorld(World):
    def __init__(self, base: Path, host: MemoryHost) -> None:
        super().__init__(base)
        self.host = host

    def new_runner(self) -> Runner:
        return MemoryRunner(self.host)

    def broken_runner(self) -> Runner:
        self.host.refusals.append(LaunchFailed("no", permanent=False))
        return MemoryRunner(self.host)

    def artifact(self, behaviour: str) -> Path:
        return self.base / behaviour


class TestMemoryRunner(RunnerContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[MemoryWorld]:
        async with background_group() as group:
            yield MemoryWorld(tmp_path, MemoryHost(group, lambda p: BEHAVIOURS[p.request.artifact.name](p)))
