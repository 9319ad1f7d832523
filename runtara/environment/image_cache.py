"""The images that this host has launched: files that are verified before each use, fetched when missing or wrong.

The database holds the truth; this directory may be deleted at any time. A file is hashed when this process sees it
for the first time and whenever its inode, size or time has changed since, so a launch costs a ``stat``.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from runtara.environment.store.base import EnvironmentStore
from runtara.environment.uploads import disk_full_is_typed
from runtara.errors import InternalError

__all__ = ("ImageCache",)

_Seen: TypeAlias = tuple[int, int, int]
"""Inode, size and modification time of a file when it was right."""

_ARTIFACT_NAME: Final = "artifact"


class ImageCache:
    """Files by digest: ``<directory>/<sha256>/artifact``."""

    def __init__(self, store: EnvironmentStore, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._verified: dict[bytes, _Seen] = {}
        # One fetch per digest at a time; whoever waited finds the file there.
        self._locks: WeakValueDictionary[bytes, anyio.Lock] = WeakValueDictionary()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in directory.glob("*/*.new"):
            draft.unlink()  # A former server died while it fetched.

    async def fetch(self, digest: bytes) -> Path:
        """The file with these bytes; verified.

        Raises:
            NotFound: the store does not have them.
            DiskFull: there is no room here.
            InternalError: the store has other bytes under this digest.
        """
        path = self._path(digest)
        if self._is_verified(digest, path):
            return path
        lock = self._locks.setdefault(digest, anyio.Lock())
        async with lock:
            if not self._is_verified(digest, path) and not await self._verify(digest, path):
                await self._load(digest, path)
        return path

    def adopt(self, upload: Path, digest: bytes) -> None:
        """Move a file that was verified already into the cache. Best effort: what fails here is fetched later."""
        path = self._path(digest)
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            upload.chmod(0o400)
            upload.replace(path)
        except OSError:
            return
        self._remember(digest, path)

    async def _verify(self, digest: bytes, path: Path) -> bool:
        """Whether the file that is there has the right bytes."""
        seen = _look(path)
        if seen is None or await anyio.to_thread.run_sync(_hash_file, path) != digest:
            return False
        self._verified[digest] = seen
        return True

    async def _load(self, digest: bytes, path: Path) -> None:
        draft = path.with_name(f"{uuid.uuid4().hex}.new")
        path.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            with disk_full_is_typed("an image"):
                arrived = await self._copy(digest, draft)
                if arrived != digest:
                    raise InternalError("the stored bytes of an image are not those of its digest", digest=digest.hex())
                draft.chmod(0o400)
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        self._remember(digest, path)

    async def _copy(self, digest: bytes, draft: Path) -> bytes:
        """Write what the store has, and tell what digest it really has."""
        running = hashlib.sha256()
        async with await anyio.open_file(draft, "xb") as file:
            async for chunk in self._store.read_blob(digest):
                await file.write(chunk)
                await anyio.to_thread.run_sync(running.update, chunk)
            await file.flush()
            await anyio.to_thread.run_sync(os.fsync, file.wrapped.fileno())
        return running.digest()

    def _is_verified(self, digest: bytes, path: Path) -> bool:
        seen = self._verified.get(digest)
        return seen is not None and seen == _look(path)

    def _remember(self, digest: bytes, path: Path) -> None:
        seen = _look(path)
        if seen is not None:
            self._verified[digest] = seen

    def _path(self, digest: bytes) -> Path:
        return self._directory / digest.hex() / _ARTIFACT_NAME


def _look(path: Path) -> _Seen | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _hash_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
