"""What every runner must do. A new one joins with a ``RunnerWorld`` and an empty subclass of the suite.

``RunnerContract`` is for all; ``ProcessContract`` adds what is promised of real processes: a clean environment,
limits, descriptors, the end of everything that an attempt started.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import pytest

from runtara.environment.runner.base import (
    Exit,
    ExitKind,
    Launched,
    LaunchFailed,
    LaunchRequest,
    ResourceLimits,
    Runner,
)
from runtara.environment.runner.linux import read_stat
from runtara.ids import InstanceNo
from runtara.protocol.launch import LaunchRecord, Psk

__all__ = (
    "PROGRAMS",
    "Behaviour",
    "ProcessBehaviour",
    "ProcessContract",
    "RunnerContract",
    "RunnerWorld",
    "request_of",
)

# Everything here takes milliseconds; a runner that needs longer than this hangs.
PATIENCE_S: Final = 20.0


class Behaviour(StrEnum):
    """The programs that the contract needs. Ready means: it writes a byte into the fifo ``ready`` of its directory."""

    ENDS_WELL = "ends_well"
    """Exits with code 0."""
    ENDS_BADLY = "ends_badly"
    """Writes ``boom`` to stderr and exits with code 7."""
    DIES = "dies"
    """Is killed by SIGKILL."""
    PRINTS = "prints"
    """Writes ``out`` and a line feed to stdout, ``err`` and a line feed to stderr, exits with code 0."""
    SCREAMS = "screams"
    """Writes 100,000 times ``é`` to stderr, exits with code 1."""
    RUNS = "runs"
    """Is ready, and then never ends by itself."""
    RESISTS = "resists"
    """Ignores SIGTERM, is ready, and then never ends by itself."""


class ProcessBehaviour(StrEnum):
    """The further programs of ``ProcessContract``."""

    REPORTS = "reports"
    """Prints as JSON what it finds: env, cwd, descriptors, session, group, pid, limits, stdin."""
    ALLOCATES = "allocates"
    """Allocates 1 GiB, exits with code 0; with 3 when it got none."""
    WRITES = "writes"
    """Writes a file of 2 MiB, exits with code 0; with 3 when it was refused."""
    LEAVES_A_CHILD = "leaves_a_child"
    """Starts a process that never ends, writes its pid into the file ``child``, and exits with code 0."""
    KEEPS_A_CHILD = "keeps_a_child"
    """The same, but is ready and stays."""


_CHILD: Final = """
import pathlib, subprocess, sys
child = subprocess.Popen(["sleep", "1000"])
pathlib.Path("child").write_text(str(child.pid))
child.returncode = 0
"""
_READY: Final = "open('ready', 'w').write('.')\n"
_STAY: Final = "import signal\nwhile True: signal.pause()\n"

PROGRAMS: Final[Mapping[str, str]] = {
    Behaviour.ENDS_WELL: "",
    Behaviour.ENDS_BADLY: "import sys\nsys.stderr.write('boom')\nsys.exit(7)\n",
    Behaviour.DIES: "import os\nos.kill(os.getpid(), 9)\n",
    Behaviour.PRINTS: "import sys\nprint('out')\nprint('err', file=sys.stderr)\n",
    Behaviour.SCREAMS: "import sys\nsys.stderr.write('é' * 100_000)\nsys.exit(1)\n",
    Behaviour.RUNS: _READY + _STAY,
    Behaviour.RESISTS: "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + _READY + _STAY,
    ProcessBehaviour.REPORTS: """
import json, os, resource, sys
names = ("RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_CPU")
print(json.dumps({
    "env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgid(0),
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in names}, "stdin": sys.stdin.read(),
}))
""",
    ProcessBehaviour.ALLOCATES: "import mmap, sys\ntry: mmap.mmap(-1, 2**30)\nexcept OSError: sys.exit(3)\n",
    ProcessBehaviour.WRITES: "import sys\ntry: open('big', 'wb').write(bytes(2**21))\nexcept OSError: sys.exit(3)\n",
    ProcessBehaviour.LEAVES_A_CHILD: _CHILD,
    ProcessBehaviour.KEEPS_A_CHILD: _CHILD + _READY + _STAY,
}
"""Each behaviour as a Python program, for runners of such."""


class RunnerWorld(Protocol):
    """One host, with runners that come and go on it."""

    def new_runner(self) -> Runner:
        """Another runner on the same host and directory, as after a restart of the server."""

    def broken_runner(self) -> Runner:
        """A runner that cannot launch anything."""

    def artifact(self, behaviour: str) -> Path:
        """An artifact that behaves like this."""

    def directory(self, instance_no: int) -> Path:
        """The directory of an instance, made when it is missing."""


def request_of(
    world: RunnerWorld,
    behaviour: str,
    *,
    instance_no: int = 1,
    epoch: int = 1,
    limits: ResourceLimits | None = None,
    input_: bytes = b"{}",
) -> LaunchRequest:
    """A launch of a program."""
    record = LaunchRecord(
        instance_id=f"instance-{instance_no}",
        tenant_id="tenant",
        epoch=epoch,
        server_address="127.0.0.1:1",
        psk=Psk(label=b"label", secret=bytes(48), not_after_s=0.0),
        input=input_,
    )
    return LaunchRequest(
        instance_no=InstanceNo(instance_no),
        artifact=world.artifact(behaviour),
        directory=world.directory(instance_no),
        record=record,
        limits=limits or ResourceLimits(),
    )


@contextmanager
def _fifo(directory: Path) -> Iterator[int]:
    """The reading end of the fifo ``ready``: programs must be launched inside, so that they find a reader."""
    path = directory / "ready"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        path.unlink()


async def _launch_ready(runner: Runner, request: LaunchRequest) -> Launched:
    with _fifo(request.directory) as ready, anyio.fail_after(PATIENCE_S):
        launched = await runner.launch(request)
        await anyio.wait_readable(ready)
    return launched


async def _run(runner: Runner, request: LaunchRequest) -> Exit:
    with anyio.fail_after(PATIENCE_S):
        return await runner.wait(await runner.launch(request))


class RunnerContract:
    """For every runner. Needs the fixture ``world``."""

    @pytest.fixture
    def runner(self, world: RunnerWorld) -> Runner:
        return world.new_runner()

    async def test_a_program_that_ends_well_exits_with_code_0(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, Behaviour.ENDS_WELL))
        assert (end.kind, end.code) == (ExitKind.EXITED, 0)

    async def test_the_exit_code_and_the_last_words_are_told(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, Behaviour.ENDS_BADLY))
        assert (end.kind, end.code, end.stderr_tail) == (ExitKind.EXITED, 7, "boom")

    async def test_death_by_a_signal_is_told_with_its_number(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, Behaviour.DIES))
        assert (end.kind, end.code) == (ExitKind.SIGNALLED, signal.SIGKILL)

    async def test_the_handle_names_the_attempt(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await runner.launch(request_of(world, Behaviour.ENDS_WELL, instance_no=5, epoch=3))
        assert (launched.instance_no, launched.epoch) == (5, 3)
        await runner.wait(launched)

    async def test_waiting_again_gives_the_same_answer(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await runner.launch(request_of(world, Behaviour.ENDS_BADLY))
        assert await runner.wait(launched) == await runner.wait(launched)

    async def test_a_cancelled_wait_loses_nothing(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await _launch_ready(runner, request_of(world, Behaviour.RUNS))
        with anyio.move_on_after(0.01) as scope:
            await runner.wait(launched)
        assert scope.cancelled_caught
        await runner.stop(launched, grace_s=0)
        assert (await runner.wait(launched)).kind is ExitKind.SIGNALLED

    async def test_stop_asks_first(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await _launch_ready(runner, request_of(world, Behaviour.RUNS))
        await runner.stop(launched, grace_s=PATIENCE_S)
        end = await runner.wait(launched)
        assert (end.kind, end.code) == (ExitKind.SIGNALLED, signal.SIGTERM)

    async def test_stop_kills_what_does_not_listen(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await _launch_ready(runner, request_of(world, Behaviour.RESISTS))
        await runner.stop(launched, grace_s=0.05)
        end = await runner.wait(launched)
        assert (end.kind, end.code) == (ExitKind.SIGNALLED, signal.SIGKILL)

    async def test_stop_without_grace_kills_at_once(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await _launch_ready(runner, request_of(world, Behaviour.RUNS))
        await runner.stop(launched, grace_s=0)
        assert (await runner.wait(launched)).code == signal.SIGKILL

    async def test_stop_is_safe_twice_and_when_it_is_gone(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await runner.launch(request_of(world, Behaviour.ENDS_BADLY))
        end = await runner.wait(launched)
        await runner.stop(launched, grace_s=1)
        await runner.stop(launched, grace_s=0)
        assert await runner.wait(launched) == end
        await runner.forget(launched)
        await runner.stop(launched, grace_s=0)

    async def test_a_launch_that_fails_leaves_nothing(self, world: RunnerWorld) -> None:
        runner = world.broken_runner()
        with pytest.raises(LaunchFailed):
            await runner.launch(request_of(world, Behaviour.ENDS_WELL))
        assert await runner.list_launched() == []

    async def test_attempts_run_beside_each_other(self, world: RunnerWorld, runner: Runner) -> None:
        first = await _launch_ready(runner, request_of(world, Behaviour.RUNS, instance_no=1))
        end = await _run(runner, request_of(world, Behaviour.ENDS_BADLY, instance_no=2))
        assert end.code == 7
        await runner.stop(first, grace_s=0)

    async def test_the_next_server_finds_what_runs_and_what_ended(self, world: RunnerWorld, runner: Runner) -> None:
        running = await _launch_ready(runner, request_of(world, Behaviour.RUNS, instance_no=1))
        ended = await runner.launch(request_of(world, Behaviour.ENDS_BADLY, instance_no=2))
        end = await runner.wait(ended)
        await runner.aclose()
        successor = world.new_runner()
        assert sorted(await successor.list_launched(), key=lambda it: it.instance_no) == [running, ended]
        assert await successor.wait(ended) == end
        await successor.stop(running, grace_s=PATIENCE_S)
        assert (await successor.wait(running)).code == signal.SIGTERM

    async def test_closing_is_safe_twice(self, world: RunnerWorld, runner: Runner) -> None:
        await _run(runner, request_of(world, Behaviour.ENDS_WELL))
        await runner.aclose()
        await runner.aclose()

    async def test_what_is_forgotten_is_not_listed(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await runner.launch(request_of(world, Behaviour.ENDS_WELL))
        await runner.wait(launched)
        assert await runner.list_launched() == [launched]
        await runner.forget(launched)
        await runner.forget(launched)
        assert await runner.list_launched() == []

    async def test_what_was_forgotten_is_lost(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await runner.launch(request_of(world, Behaviour.ENDS_WELL))
        await runner.wait(launched)
        await runner.forget(launched)
        assert (await runner.wait(launched)).kind is ExitKind.LOST

    async def test_attempts_append_to_the_same_two_files(self, world: RunnerWorld, runner: Runner) -> None:
        for epoch in (1, 2):
            await _run(runner, request_of(world, Behaviour.PRINTS, epoch=epoch))
        directory = world.directory(1)
        assert (directory / "stdout.log").read_text() == "out\n" * 2
        assert (directory / "stderr.log").read_text() == "err\n" * 2

    async def test_the_last_words_are_those_of_the_attempt(self, world: RunnerWorld, runner: Runner) -> None:
        await _run(runner, request_of(world, Behaviour.ENDS_BADLY, epoch=1))
        end = await _run(runner, request_of(world, Behaviour.PRINTS, epoch=2))
        assert end.stderr_tail == "err\n"

    async def test_the_last_words_are_few(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, Behaviour.SCREAMS))
        assert end.stderr_tail == "é" * 2000

    async def test_output_beyond_the_limit_is_cut_off_with_a_note(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, Behaviour.SCREAMS, limits=ResourceLimits(output_bytes_max=1000)))
        kept = (world.directory(1) / "stderr.log").read_text()
        assert end.code == 1
        assert kept.startswith("é" * 500 + "\n[runtara")
        assert len(kept.encode()) < 1100


class ProcessContract(RunnerContract):
    """For runners of real processes."""

    async def _report(
        self, world: RunnerWorld, runner: Runner, *, limits: ResourceLimits | None = None
    ) -> dict[str, Any]:
        end = await _run(runner, request_of(world, ProcessBehaviour.REPORTS, limits=limits))
        assert end.code == 0, end.stderr_tail
        report: dict[str, Any] = json.loads((world.directory(1) / "stdout.log").read_text())
        return report

    async def test_nothing_of_the_servers_environment_gets_in(
        self, world: RunnerWorld, runner: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("RUNTARA_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "LD_PRELOAD"):
            monkeypatch.setenv(name, "the server's")
        env = (await self._report(world, runner))["env"]
        assert "the server's" not in env.values()
        assert {name for name in env if not name.startswith("RUNTARA_")} == {"PATH", "LANG", "HOME", "TMPDIR"}

    async def test_it_lives_in_its_own_directory_session_and_group(self, world: RunnerWorld, runner: Runner) -> None:
        report = await self._report(world, runner)
        directory = str(world.directory(1))
        assert (report["cwd"], report["env"]["HOME"], report["env"]["TMPDIR"]) == (directory, directory, directory)
        assert report["session"] == report["group"] == report["pid"]

    async def test_it_has_no_descriptors_but_the_standard_ones(self, world: RunnerWorld, runner: Runner) -> None:
        with (world.directory(1) / "secret").open("w") as secret:
            os.set_inheritable(secret.fileno(), True)
            report = await self._report(world, runner)
        assert report["descriptors"] == [0, 1, 2]
        assert report["stdin"] == ""

    async def test_the_limits_are_set(self, world: RunnerWorld, runner: Runner) -> None:
        limits = ResourceLimits(
            memory_bytes_max=2**31, open_files_max=100, file_bytes_max=2**20, core_bytes_max=0, cpu_s_max=30
        )
        report = await self._report(world, runner, limits=limits)
        assert report["limits"] == {
            "RLIMIT_AS": [2**31, 2**31],
            "RLIMIT_NOFILE": [100, 100],
            "RLIMIT_FSIZE": [2**20, 2**20],
            "RLIMIT_CORE": [0, 0],
            "RLIMIT_CPU": [30, 30],
        }

    @pytest.mark.parametrize(
        ("behaviour", "limits"),
        [
            (ProcessBehaviour.ALLOCATES, ResourceLimits(memory_bytes_max=2**29)),
            (ProcessBehaviour.WRITES, ResourceLimits(file_bytes_max=2**20)),
        ],
    )
    async def test_one_past_the_limit_is_refused(
        self, world: RunnerWorld, runner: Runner, behaviour: str, limits: ResourceLimits
    ) -> None:
        refused = await _run(runner, request_of(world, behaviour, limits=limits))
        assert refused.code == 3, refused.stderr_tail
        unlimited = ResourceLimits(memory_bytes_max=None, file_bytes_max=None)
        allowed = await _run(runner, request_of(world, behaviour, limits=unlimited, epoch=2))
        assert allowed.code == 0, allowed.stderr_tail

    async def test_what_a_program_leaves_behind_ends_with_it(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, ProcessBehaviour.LEAVES_A_CHILD))
        assert end.code == 0
        await _gone(int((world.directory(1) / "child").read_text()))

    async def test_stop_ends_what_a_program_started(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await _launch_ready(runner, request_of(world, ProcessBehaviour.KEEPS_A_CHILD))
        await runner.stop(launched, grace_s=0)
        await _gone(int((world.directory(1) / "child").read_text()))

    async def test_the_cpu_time_is_told(self, world: RunnerWorld, runner: Runner) -> None:
        end = await _run(runner, request_of(world, Behaviour.ENDS_WELL))
        assert end.usage.cpu_us is not None
        assert end.usage.cpu_us > 0

    async def test_no_zombie_is_left(self, world: RunnerWorld, runner: Runner) -> None:
        launched = await runner.launch(request_of(world, Behaviour.ENDS_WELL))
        await runner.wait(launched)
        assert read_stat(launched.pid) is None

    @pytest.mark.slow
    async def test_a_hundred_launches_leave_no_descriptor_open(self, world: RunnerWorld, runner: Runner) -> None:
        async def once(instance_no: int) -> None:
            launched = await runner.launch(request_of(world, Behaviour.ENDS_WELL, instance_no=instance_no))
            await runner.wait(launched)
            await runner.forget(launched)

        await once(1)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for batch in range(10):
            async with anyio.create_task_group() as group:
                for index in range(10):
                    group.start_soon(once, 10 * batch + index + 2)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def _gone(pid: int) -> None:
    """Returns when the process has ended (a zombie that waits for init has)."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(PATIENCE_S):
            await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)
