"""A PostgreSQL cluster on disk: where its files are, whose they are, how it is made, and what command runs it."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from runtara.errors import Unavailable
from runtara.server import run_as
from runtara.server.postgres_programs import find_programs

__all__ = ("USER", "Cluster")

USER: Final = "runtara"

ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C"}
"""All that the programs of PostgreSQL see of ours."""

_SOCKET_NAME: Final = ".s.PGSQL.5432"
# sun_path of a Unix socket, without the NUL at its end.
_SOCKET_PATH_BYTES_MAX: Final = 107
_LOG_BYTES_MAX: Final = 16 * 1024**2

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # What recovery after a crash has to replay, so it bounds how long that takes.
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "autovacuum_naptime": "15s",
    # Every statement of ours is short: neither compiling nor parallel workers would pay.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
_NOT_DURABLE: Final[Mapping[str, str]] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Cluster:
    """The files of one database in ``directory``, private to their owner. Runs nothing but ``initdb``."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self._durable = durable

    @property
    def name(self) -> str:
        """Stands in the title of every process that the database forks."""
        return f"runtara-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}"

    # ---- made

    def initialize(self) -> None:
        """The files are there, complete, and belong to whoever runs the database. Blocks; safe to repeat."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.chmod(0o700)
        _give(self.directory, self.owner)
        if not self.data.exists():
            # It becomes the database by being renamed: a start that dies in here leaves nothing that looks like one.
            unfinished = self.directory / "data.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            self._initdb(unfinished)
            unfinished.rename(self.data)

    def _initdb(self, directory: Path) -> None:
        options = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--data-checksums", "-D", str(directory)]
        options += [] if self._durable else ["--no-sync"]
        command = self.unprivileged([str(find_programs() / "initdb"), *options], directory=self.directory)
        made = subprocess.run(command, capture_output=True, text=True, errors="replace", env=ENVIRONMENT, check=False)
        if made.returncode != 0:
            raise Unavailable(f"the database cannot be made: {_tail(made.stderr)}")

    # ---- run

    def command(self) -> list[str]:
        """What runs the database. The same words again mean the same database."""
        major = int((self.data / "PG_VERSION").read_text().strip())
        settings = {
            **_SETTINGS,
            **({} if self._durable else _NOT_DURABLE),
            "cluster_name": self.name,
            "unix_socket_directories": str(self.socket_directory()),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(find_programs(major) / "postgres"), "-D", str(self.data), *options]

    def unprivileged(self, command: Sequence[str], *, directory: Path) -> list[str]:
        """The command as the owner of the files runs it, who must reach ``directory``."""
        if os.geteuid() != 0:
            return list(command)
        uid, gid = self.owner
        return [sys.executable, "-I", "-S", run_as.__file__, str(uid), str(gid), str(directory), *command]

    @property
    def owner(self) -> tuple[int, int]:
        """Who runs the database: we. If we are root, whom PostgreSQL refuses, the owner of the data, or nobody."""
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        with suppress(FileNotFoundError):
            status = self.data.stat()
            return status.st_uid, status.st_gid
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def socket_directory(self) -> Path:
        """Our directory; where its path is too long for a socket, a short one that a file in it remembers."""
        if len(os.fsencode(self.directory / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX:
            return self.directory
        note = self.directory / "socket-directory"
        with suppress(FileNotFoundError):
            remembered = Path(note.read_text())
            # In a directory where everybody may write, it is ours only if it has our owner.
            if remembered.is_dir() and not remembered.is_symlink() and remembered.stat().st_uid == self.owner[0]:
                return remembered
        made = Path(tempfile.mkdtemp(prefix="runtara-"))
        _give(made, self.owner)
        note.write_text(str(made))
        return made

    # ---- read

    def lock_file(self) -> list[str]:
        """The lines of ``postmaster.pid``: the process, its state in line 8; none when there is no such file."""
        try:
            return (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def unlock(self) -> None:
        """Remove the lock files. Only when nothing runs: PostgreSQL would trust a stale one with a recycled number."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_directory() / f"{_SOCKET_NAME}.lock").unlink(missing_ok=True)

    def open_log(self) -> IO[bytes]:
        """To append to. What the file had is put aside when it has grown large."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_MAX:
            self.log.rename(self.log.with_suffix(".old"))
        return self.log.open("ab")

    def last_words(self) -> str:
        """The end of the log, for a message."""
        try:
            return _tail(self.log.read_text(errors="replace")[-4096:])
        except FileNotFoundError:
            return "it has said nothing"


def _give(path: Path, owner: tuple[int, int]) -> None:
    if os.geteuid() == 0:
        os.chown(path, *owner)


def _tail(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-3:])
