"""What only the process runner promises: handles before programs, adoption by strangers, no process mistaken."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from runtara.environment.runner import linux, process
from runtara.environment.runner.base import ExitKind, Launched, LaunchFailed, LaunchRequest, ResourceLimits
from runtara.environment.runner.handles import HandleFiles
from runtara.environment.runner.output import cut_output, open_output, read_output, read_tail
from runtara.environment.runner.process import ProcessRunner
from runtara.environment.runner.spawn import spawn
from runtara.ids import InstanceNo
from runtara.protocol.launch import LaunchRecord, Psk, encode_launch_record

MINI_BOOT = Path(__file__).parents[2] / "support" / "mini_boot.py"
PATIENCE_S = 20.0

# Since then the kernel tells anybody who holds a pidfd how a process ended.
TELLS_STRANGERS = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[ProcessRunner]:
    runner = ProcessRunner(tmp_path / "launches", command=(sys.executable, "-I", "-S", str(MINI_BOOT)))
    yield runner
    for launched in await runner.list_launched():
        await runner.stop(launched, grace_s=0)
    await runner.aclose()


def _request(tmp_path: Path, source: str, *, input_: bytes = b"{}") -> LaunchRequest:
    directory = tmp_path / "instance"
    directory.mkdir(exist_ok=True)
    artifact = tmp_path / "program.py"
    artifact.write_text(source)
    record = LaunchRecord(
        instance_id="i", tenant_id="t", epoch=1, server_address="", psk=Psk(b"", b"", 0.0), input=input_
    )
    return LaunchRequest(
        instance_no=InstanceNo(1), artifact=artifact, directory=directory, record=record, limits=ResourceLimits()
    )


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, os.WNOHANG)[1])


async def test_the_handle_is_on_disk_before_the_program_begins(runner: ProcessRunner, tmp_path: Path) -> None:
    source = f"import os, sys\nsys.exit(0 if os.path.exists({str(tmp_path / 'launches' / '1.1.json')!r}) else 9)\n"
    launched = await runner.launch(_request(tmp_path, source))
    assert (await runner.wait(launched)).code == 0


async def test_a_record_larger_than_any_pipe_arrives_whole(tmp_path: Path) -> None:
    keep = tmp_path / "keep.py"
    keep.write_text(
        "import os\nfd = int(os.environ['RUNTARA_LAUNCH_FD'])\n"
        "with open('record', 'wb') as file:\n    while chunk := os.read(fd, 1 << 20): file.write(chunk)\n"
    )
    runner = ProcessRunner(tmp_path / "launches", command=(sys.executable, "-I", "-S", str(keep)))
    request = _request(tmp_path, "", input_=os.urandom(9 * 1024 * 1024))
    await runner.wait(await runner.launch(request))
    assert (tmp_path / "instance" / "record").read_bytes() == encode_launch_record(request.record)
    await runner.aclose()


async def test_a_program_that_dies_before_its_record_is_told_by_its_exit(tmp_path: Path) -> None:
    runner = ProcessRunner(tmp_path / "launches", command=("/bin/sh", "-c", "exit 3"))
    launched = await runner.launch(_request(tmp_path, "", input_=bytes(4 * 1024 * 1024)))
    end = await runner.wait(launched)
    assert (end.kind, end.code) == (ExitKind.EXITED, 3)
    await runner.aclose()


async def test_a_child_whose_server_died_before_the_record_ends_by_itself(tmp_path: Path) -> None:
    request = _request(tmp_path, "open('ran', 'w')")
    command = [sys.executable, "-I", "-S", str(MINI_BOOT), str(request.artifact)]
    child = spawn(command, directory=request.directory, limits=request.limits)
    os.close(child.record_fd)  # What the death of the server does.
    with anyio.fail_after(PATIENCE_S):
        await anyio.wait_readable(child.pidfd)
    os.close(child.pidfd)
    assert _reap(child.pid) == 1
    assert not (request.directory / "ran").exists()


@pytest.fixture
def deaf_runner(tmp_path: Path) -> ProcessRunner:
    """Its children never read their records."""
    return ProcessRunner(tmp_path / "launches", command=("/bin/sh", "-c", "exec sleep 1000"))


async def test_a_cancelled_launch_leaves_no_process(deaf_runner: ProcessRunner, tmp_path: Path) -> None:
    before = _children()
    with anyio.move_on_after(0.05) as scope:
        await deaf_runner.launch(_request(tmp_path, "", input_=bytes(4 * 1024 * 1024)))
    assert scope.cancelled_caught
    assert await deaf_runner.list_launched() == []
    assert _children() <= before


async def test_a_child_that_never_reads_its_record_is_a_failed_launch(
    deaf_runner: ProcessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_RECORD_TIMEOUT_S", 0.05)
    with pytest.raises(LaunchFailed) as failed:
        await deaf_runner.launch(_request(tmp_path, "", input_=bytes(4 * 1024 * 1024)))
    assert not failed.value.permanent
    assert await deaf_runner.list_launched() == []


async def test_the_memory_peak_is_the_programs_own(runner: ProcessRunner, tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(1)) * (64 * 1024 * 1024)  # This process is larger than the one it starts.
    source = "import time\nx = b'x' * (32 * 1024 * 1024)\ntime.sleep(0.4)\n"
    end = await runner.wait(await runner.launch(_request(tmp_path, source)))
    assert len(ballast) > 0
    assert end.usage.memory_peak_bytes is not None
    assert 32 * 1024 * 1024 < end.usage.memory_peak_bytes < 64 * 1024 * 1024


# ---- adoption

SERVER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.environment.test_process_runner import ProcessRunner, _request, MINI_BOOT

async def main():
    base = Path({base!r})
    runner = ProcessRunner(base / "launches", command=(sys.executable, "-I", "-S", str(MINI_BOOT)))
    launched = await runner.launch(_request(base, {source!r}))
    print("launched", flush=True)
    await runner.wait(launched)

asyncio.run(main())
"""


async def _killed_server(tmp_path: Path, source: str) -> None:
    """A server that launched a program and was killed."""
    root = str(Path(__file__).parents[3])
    code = SERVER.format(root=root, base=str(tmp_path), source=source)
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert await server.stdout.readline() == b"launched\n"
    server.kill()
    await server.wait()


# Ends when the test has adopted it: it reads a byte from a fifo.
WAITS = "import sys\nopen('go').read()\nprint('bye', file=sys.stderr)\nsys.exit(5)\n"


async def test_the_next_server_learns_how_a_strangers_child_ended(runner: ProcessRunner, tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    os.mkfifo(tmp_path / "instance" / "go")
    await _killed_server(tmp_path, WAITS)
    (launched,) = await runner.list_launched()
    async with anyio.create_task_group() as group:
        group.start_soon(_expect_exit_5, runner, launched)
        await anyio.wait_all_tasks_blocked()
        (tmp_path / "instance" / "go").write_text("go")


async def _expect_exit_5(runner: ProcessRunner, launched: Launched) -> None:
    with anyio.fail_after(PATIENCE_S):
        end = await runner.wait(launched)
    assert end.stderr_tail == "bye\n"
    assert (end.kind, end.code) == (ExitKind.EXITED, 5) or not TELLS_STRANGERS


async def test_what_ended_while_no_server_was_there_is_lost(runner: ProcessRunner, tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    os.mkfifo(tmp_path / "instance" / "go")
    await _killed_server(tmp_path, WAITS)
    (launched,) = await runner.list_launched()
    pidfd = os.pidfd_open(launched.pid)
    (tmp_path / "instance" / "go").write_text("go")
    with anyio.fail_after(PATIENCE_S):
        await anyio.wait_readable(pidfd)
    os.close(pidfd)
    end = await runner.wait(launched)
    # While its zombie waits for init, even that can be read.
    assert end.kind is ExitKind.LOST or end.code == 5
    assert end.stderr_tail == "bye\n"


async def test_a_pid_that_is_another_processs_by_now_is_left_alone(runner: ProcessRunner, tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    launched = await runner.launch(_request(tmp_path, ""))
    await runner.wait(launched)
    files = HandleFiles(tmp_path / "launches", boot=linux.boot_id())
    handle = files.find(launched)
    assert handle is not None
    reused = msgspec.structs.replace(handle, pid=bystander.pid, started_ticks=handle.started_ticks - 1000, ended=None)
    files.write(reused)
    successor = ProcessRunner(tmp_path / "launches")
    assert await successor.list_launched() == [reused.launched]
    await successor.stop(reused.launched, grace_s=0)
    assert (await successor.wait(reused.launched)).kind is ExitKind.LOST
    assert bystander.returncode is None
    stat = linux.read_stat(bystander.pid)
    assert stat is not None
    assert not stat.is_dead
    bystander.kill()
    await bystander.wait()


async def test_handles_of_a_former_boot_name_nothing(runner: ProcessRunner, tmp_path: Path) -> None:
    launched = await runner.launch(_request(tmp_path, ""))
    await runner.wait(launched)
    before_the_reboot = HandleFiles(tmp_path / "launches", boot="another boot")
    assert before_the_reboot.list() == []
    assert list((tmp_path / "launches").iterdir()) == []


async def test_half_a_handle_is_no_handle(runner: ProcessRunner, tmp_path: Path) -> None:
    (tmp_path / "launches" / "1.1.json").write_text('{"instance_no": 1')
    assert await runner.list_launched() == []


async def test_a_stopped_process_can_be_ended(runner: ProcessRunner, tmp_path: Path) -> None:
    launched = await runner.launch(_request(tmp_path, "import signal\nwhile True: signal.pause()\n"))
    os.kill(launched.pid, signal.SIGSTOP)
    with anyio.fail_after(PATIENCE_S):
        await runner.stop(launched, grace_s=0.05)
    assert (await runner.wait(launched)).kind is ExitKind.SIGNALLED


# ---- output files


def test_output_is_cut_where_the_limit_is_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    path.write_bytes(b"0123456789" * 20)
    assert cut_output(path, bytes_max=15)
    once = path.read_bytes()
    assert once.startswith(b"012345678901234\n[runtara: ")
    assert not cut_output(path, bytes_max=15)
    with path.open("ab") as file:
        file.write(b"more")
    assert cut_output(path, bytes_max=15)
    assert path.read_bytes() == once


def test_output_at_the_limit_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    path.write_bytes(b"0123456789")
    assert not cut_output(path, bytes_max=10)
    assert path.read_bytes() == b"0123456789"


def test_a_link_in_the_place_of_the_output_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the server's key")
    (tmp_path / "stdout.log").symlink_to(secret)
    assert read_output(tmp_path / "stdout.log", offset_bytes=0, bytes_max=100) == b""
    assert read_tail(tmp_path / "stdout.log", from_bytes=0, characters_max=100) == ""
    assert not cut_output(tmp_path / "stdout.log", bytes_max=1)
    with pytest.raises(OSError, match="symbolic"):
        open_output(tmp_path / "stdout.log", bytes_max=1)
    assert secret.read_text() == "the server's key"


def test_a_fifo_in_the_place_of_the_output_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stdout.log")
    assert read_output(tmp_path / "stdout.log", offset_bytes=0, bytes_max=100) == b""
    with pytest.raises(OSError, match="stdout"):
        open_output(tmp_path / "stdout.log", bytes_max=1)


def test_a_tail_that_is_not_text_is_shown_as_well_as_possible(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_bytes(b"before\xff\x00after")
    assert read_tail(tmp_path / "stderr.log", from_bytes=0, characters_max=100) == "before\ufffd\ufffdafter"


def _children() -> set[str]:
    """Of this process; other tests may have a database running."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}
