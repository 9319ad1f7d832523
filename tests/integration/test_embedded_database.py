"""The private database: it starts, it heals, it is found again, and it needs no directory opened to strangers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psycopg
import pytest

from runtara.errors import Unavailable
from runtara.server import postgres_programs, run_as
from runtara.server.embedded_database import EmbeddedDatabase
from runtara.server.postgres_programs import find_programs
from tests.support.tasks import background_group

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("postgres_server")]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories that others cannot enter")


@pytest.fixture
def directory() -> Iterator[Path]:
    # Short, because it holds a socket; and what a killed server leaves behind must not outlive the test.
    path = Path(tempfile.mkdtemp(prefix="runtara-"))
    yield path / "postgres"
    for pid in processes_of(path):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(path)


def processes_of(directory: Path) -> list[int]:
    """Everything that runs on data below this directory, except what a postmaster forked."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"-D\0{directory}".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@asynccontextmanager
async def running(database: EmbeddedDatabase) -> AsyncIterator[str]:
    """Started, kept running, and stopped at the end."""
    url = await database.start()
    async with background_group() as group:
        group.start_soon(database.run)
        yield url
        group.cancel_scope.cancel()
    await database.stop()


async def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """On a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def eventually(url: str, statement: str) -> list[tuple[object, ...]]:
    """What it gives as soon as the database answers again."""
    while True:
        try:
            return await execute(url, statement)
        except psycopg.OperationalError:
            await anyio.sleep(0.01)


async def test_it_starts_serves_and_stops(directory: Path) -> None:
    database = EmbeddedDatabase(directory)
    url = await database.start()
    assert await database.start() == url
    assert await execute(url, "show fsync") == [("on",)]
    assert await execute(url, "show server_encoding") == [("UTF8",)]
    assert (directory.stat().st_mode & 0o777, (directory / "data").stat().st_mode & 0o777) == (0o700, 0o700)
    await database.stop()
    await database.stop()
    assert processes_of(directory) == []
    with pytest.raises(psycopg.OperationalError):
        await execute(url, "select 1")


async def test_what_was_stored_is_there_after_a_restart(directory: Path) -> None:
    for statement, expected in (("create table t as select 1 as a", []), ("select * from t", [(1,)])):
        database = EmbeddedDatabase(directory)
        assert await execute(await database.start(), statement) == expected
        await database.stop()


async def test_a_killed_database_is_back_within_two_seconds(directory: Path) -> None:
    database = EmbeddedDatabase(directory)
    async with running(database) as url:
        await execute(url, "create table t as select 1 as a")
        for _ in range(3):
            killed = database.pid
            os.kill(killed, signal.SIGKILL)
            with anyio.fail_after(2):
                assert await eventually(url, "select * from t") == [(1,)]
            assert database.pid != killed


async def test_a_killed_backend_is_the_databases_own_business(directory: Path) -> None:
    database = EmbeddedDatabase(directory)
    async with running(database) as url:
        before = database.pid
        async with await psycopg.AsyncConnection.connect(url) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        with anyio.fail_after(5):
            assert await eventually(url, "select 1") == [(1,)]
        assert database.pid == before


async def test_a_database_that_outlived_its_server_is_used_again(directory: Path) -> None:
    orphan = EmbeddedDatabase(directory)
    await orphan.start()
    database = EmbeddedDatabase(directory)
    async with running(database) as url:
        assert database.pid == orphan.pid
        # And it is watched like one's own child.
        os.kill(database.pid, signal.SIGKILL)
        await orphan.stop()
        with anyio.fail_after(2):
            assert await eventually(url, "select 1") == [(1,)]


async def test_a_database_with_other_settings_is_started_anew(directory: Path) -> None:
    former = EmbeddedDatabase(directory, durable=False)
    await former.start()
    database = EmbeddedDatabase(directory)
    async with running(database) as url:
        assert database.pid != former.pid
        assert await execute(url, "show fsync") == [("on",)]
    await former.stop()


async def test_server_and_database_killed_together(directory: Path) -> None:
    former = EmbeddedDatabase(directory)
    await execute(await former.start(), "create table t as select 1 as a")
    os.kill(former.pid, signal.SIGKILL)
    await former.stop()
    database = EmbeddedDatabase(directory)
    with anyio.fail_after(2):
        url = await database.start()
        assert await execute(url, "select * from t") == [(1,)]
    await database.stop()


async def test_a_lock_file_with_a_strangers_number_means_nothing(directory: Path) -> None:
    database = EmbeddedDatabase(directory)
    await database.start()
    await database.stop()
    for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
        (directory / name).write_text(f"{os.getpid()}\n{directory / 'data'}\n1\n5432\n{directory}\n\n0\nready\n")
    assert await execute(await database.start(), "select 1") == [(1,)]
    await database.stop()


async def test_an_unfinished_beginning_is_begun_again(directory: Path) -> None:
    unfinished = directory / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("99")
    database = EmbeddedDatabase(directory)
    assert await execute(await database.start(), "select 1") == [(1,)]
    assert not unfinished.exists()
    await database.stop()


async def test_a_deep_directory_has_its_socket_elsewhere(directory: Path) -> None:
    deep = directory / ("x" * 60) / ("y" * 60)
    database = EmbeddedDatabase(deep)
    url = await database.start()
    assert await execute(url, "select 1") == [(1,)]
    # The next start finds the same place, so that it finds what still runs.
    again = EmbeddedDatabase(deep)
    assert await again.start() == url
    assert again.pid == database.pid
    elsewhere = Path((deep / "socket-directory").read_text())
    assert elsewhere.stat().st_mode & 0o777 == 0o700
    await database.stop()
    shutil.rmtree(elsewhere)


async def test_a_broken_database_says_why(directory: Path) -> None:
    database = EmbeddedDatabase(directory)
    await database.start()
    await database.stop()
    (directory / "data" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(Unavailable, match="pg_control"):
        await database.start()
    assert database.pid == 0


async def test_a_data_directory_of_an_unknown_version_is_left_alone(directory: Path) -> None:
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(Unavailable, match="PostgreSQL 13"):
        await EmbeddedDatabase(directory).start()


def test_without_postgresql_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "_candidates", lambda: iter([Path("/nowhere")]))
    with pytest.raises(Unavailable) as refusal:
        find_programs()
    assert "runtara[embedded]" in (refusal.value.hint or "")


# ---- users


@as_root
async def test_root_needs_no_directory_opened(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    database = EmbeddedDatabase(directory / "postgres")
    async with running(database) as url:
        assert await execute(url, "select 1") == [(1,)]
        status = Path(f"/proc/{database.pid}/status").read_text()
        assert "Uid:\t0" not in status
    assert (directory.stat().st_uid, directory.stat().st_mode & 0o777) == (0, 0o700)
    assert directory.parent.stat().st_mode & 0o777 == 0o700


@as_root
async def test_a_database_that_can_go_its_way_keeps_no_capability() -> None:
    # Programs of the system, data below a directory that everybody may enter.
    programs = Path("/usr/bin/env")
    directory = Path(tempfile.mkdtemp(prefix="runtara-"))
    directory.chmod(0o777)

    def capabilities(where: Path) -> str:
        words = [sys.executable, "-I", "-S", run_as.__file__, "65534", "65534", str(where), str(programs)]
        command = [*words, "sh", "-c", "grep CapEff /proc/self/status; id -u"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert capabilities(directory).split() == ["CapEff:", "0" * 16, "65534"]
    directory.chmod(0o700)
    assert capabilities(directory).split() == ["CapEff:", "0" * 15 + "2", "65534"]
    directory.rmdir()


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_what_a_container_lets_root_do_is_enough(directory: Path) -> None:
    allowed = "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod"
    limit = ",".join(["-all", *[f"+{name}" for name in allowed.split()]])
    program = (
        "import anyio, os, pathlib, sys\n"
        "from runtara.server.embedded_database import EmbeddedDatabase\n"
        "async def main():\n"
        "    database = EmbeddedDatabase(pathlib.Path(sys.argv[1]))\n"
        "    print(await database.start())\n"
        "    killed = os.pidfd_open(database.pid)\n"
        "    os.kill(database.pid, 9)\n"
        "    await anyio.wait_readable(killed)\n"
        "    print(await database.start())\n"
        "    await database.stop()\n"
        "anyio.run(main)\n"
    )
    command = ["setpriv", f"--bounding-set={limit}", "--inh-caps=-all", sys.executable, "-c", program, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    assert processes_of(directory) == []
