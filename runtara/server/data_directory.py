"""The data directory of a running server: private, locked, and with a name that outlives every restart."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from runtara.datadir import DataDir
from runtara.errors import Conflict, Unavailable

__all__ = (
    "DataDirInUse",
    "DataDirUnusable",
    "hold",
    "publish_endpoints",
    "read_or_create",
    "server_name",
    "write_private",
)


class DataDirInUse(Conflict):
    """Another server runs on this data directory; ``data_dir`` is an attribute."""

    code = "data_dir.in_use"


class DataDirUnusable(Unavailable):
    """The data directory cannot be read or written; ``data_dir`` is an attribute."""

    code = "data_dir.unusable"


@contextmanager
def hold(root: Path) -> Iterator[DataDir]:
    """The directory, made if it was absent, absolute, private (0700), and ours alone until the end.

    Raises:
        DataDirInUse: another server holds it.
        DataDirUnusable: it cannot be made or written.
    """
    data = DataDir(Path(os.path.abspath(root)))  # noqa: PTH100 (resolve() would follow links that a person may move)
    try:
        data.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        data.root.chmod(0o700)
        descriptor = os.open(data.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(data, error) from error
    try:
        _lock(descriptor, data)
        yield data
    finally:
        # Closing the descriptor gives the lock back; the file stays, or two servers could lock two different ones.
        os.close(descriptor)


def _lock(descriptor: int, data: DataDir) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        raise DataDirInUse(
            f"another server{f' (pid {holder})' if holder else ''} runs on {str(data.root)!r}",
            hint="Stop it, or give this one a directory of its own (--data-dir).",
            data_dir=str(data.root),
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)


def _unusable(data: DataDir, error: OSError) -> DataDirUnusable:
    return DataDirUnusable(
        f"the data directory {str(data.root)!r} cannot be used: {error.strerror}",
        hint="Choose a directory that this user may write (--data-dir).",
        data_dir=str(data.root),
    )


def server_name(data: DataDir) -> str:
    """The name of the server that lives in this directory, made at the first call."""
    return read_or_create(data.identity, lambda: f"server-{secrets.token_hex(8)}\n".encode()).decode().strip()


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """The bytes of a private file; ``make()`` gives them when it is absent."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        content = make()
        write_private(path, content)
        return content


def write_private(path: Path, content: bytes) -> None:
    """The whole content is on disk under that name, readable by the owner only; or, if we die, nothing changed."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor has no path)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def publish_endpoints(data: DataDir, endpoints: dict[str, Any]) -> Iterator[None]:
    """Tell clients on this host where we listen, until the end. After a kill -9 the file stays, and may be wrong."""
    write_private(data.endpoints, msgspec.json.encode(endpoints) + b"\n")
    try:
        yield
    finally:
        with suppress(OSError):
            data.endpoints.unlink(missing_ok=True)
