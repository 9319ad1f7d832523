"""The cache of artifacts: content-addressed, shared by any number of compilers, and never trusted.

``layers/<digest of the layer>`` names the artifact, ``artifacts/<its digest>`` is the artifact. A file appears whole,
by a rename; what is read is verified, and what does not verify counts as absent and is written again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtara.errors import Unavailable

__all__ = ("ArtifactCache", "write_atomically")


@dataclass(frozen=True, slots=True)
class ArtifactCache:
    """The cache below a directory, which need not exist yet."""

    root: Path

    def find(self, key: str) -> Path | None:
        """The artifact of a layer, verified."""
        try:
            digest = (self.root / "layers" / key).read_text()
            path = self._artifact(digest)
            return path if hashlib.sha256(path.read_bytes()).hexdigest() == digest else None
        except (OSError, ValueError):
            return None

    def save(self, key: str, artifact: bytes) -> Path:
        """The place of the artifact of a layer, now on disk.

        Raises:
            Unavailable: the disk is full or not writable.
        """
        digest = hashlib.sha256(artifact).hexdigest()
        path = self._artifact(digest)
        write_atomically(path, artifact, mode=0o755)
        write_atomically(self.root / "layers" / key, digest.encode(), mode=0o644)
        return path

    def _artifact(self, digest: str) -> Path:
        return self.root / "artifacts" / digest


def write_atomically(path: Path, data: bytes, *, mode: int) -> None:
    """The file has these bytes and nobody ever saw a part of them; its directory is made if needed.

    Raises:
        Unavailable: the disk is full or not writable; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data, mode)
    except OSError as error:
        raise Unavailable(
            f"cannot write {path}: {error.strerror or error}", hint="Make room, or choose another directory."
        ) from error


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:20]}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
