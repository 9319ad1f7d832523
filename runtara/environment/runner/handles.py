"""The handles of launched attempts on disk: how the next process of the server finds what this one started.

One small JSON file per attempt, replaced in one step, so that a reader sees a whole one or none. They outlive the
server, not the machine: a handle of a former boot names no process any more and is removed when it is read.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from runtara.core.model import ResourceUsage
from runtara.environment.runner.base import Exit, ExitKind, Launched
from runtara.ids import InstanceNo

__all__ = (
    "Ended",
    "Handle",
    "HandleFiles",
)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An ``Exit`` as it is written."""

    kind: ExitKind
    code: int | None
    memory_peak_bytes: int | None
    cpu_us: int | None
    stderr_tail: str


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that must be known to look after an attempt that somebody else started."""

    instance_no: int
    epoch: int
    pid: int
    started_ticks: int
    boot: str
    directory: str
    stderr_from_bytes: int
    """Where this attempt's part of the file begins: it holds the former attempts' too."""
    output_bytes_max: int
    ended: Ended | None = None

    @property
    def launched(self) -> Launched:
        """The handle as the rest of the world knows it."""
        return Launched(
            instance_no=InstanceNo(self.instance_no),
            epoch=self.epoch,
            pid=self.pid,
            started_ticks=self.started_ticks,
        )

    def with_exit(self, end: Exit) -> Handle:
        """The same handle, with the answer that ``wait`` gives from now on."""
        ended = Ended(
            kind=end.kind,
            code=end.code,
            memory_peak_bytes=end.usage.memory_peak_bytes,
            cpu_us=end.usage.cpu_us,
            stderr_tail=end.stderr_tail,
        )
        return msgspec.structs.replace(self, ended=ended)

    @property
    def exit(self) -> Exit | None:
        """How it ended, if that is known."""
        if (ended := self.ended) is None:
            return None
        usage = ResourceUsage(memory_peak_bytes=ended.memory_peak_bytes, cpu_us=ended.cpu_us)
        return Exit(kind=ended.kind, code=ended.code, usage=usage, stderr_tail=ended.stderr_tail)


_DECODER = msgspec.json.Decoder(Handle)


class HandleFiles:
    """The handles in one directory, which is made when it is missing."""

    def __init__(self, directory: Path, *, boot: str) -> None:
        self._directory = directory
        self._boot = boot
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in directory.glob("*.new"):
            draft.unlink()  # A former server died while it wrote.

    def write(self, handle: Handle) -> None:
        """Store it, replacing a former one of the same attempt. It survives the death of this process."""
        path = self._path(handle.launched)
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(handle))
        draft.replace(path)

    def find(self, launched: Launched) -> Handle | None:
        """The handle of this attempt."""
        handle = self._read(self._path(launched))
        return handle if handle is not None and handle.launched == launched else None

    def list(self) -> list[Handle]:
        """All of this boot, oldest instance first. Those of former boots are removed."""
        handles = []
        for path in self._directory.glob("*.json"):
            handle = self._read(path)
            if handle is None or handle.boot != self._boot:
                path.unlink(missing_ok=True)
            else:
                handles.append(handle)
        return sorted(handles, key=lambda handle: (handle.instance_no, handle.epoch))

    def remove(self, launched: Launched) -> None:
        """Drop it. Safe twice."""
        self._path(launched).unlink(missing_ok=True)

    def _path(self, launched: Launched) -> Path:
        return self._directory / f"{launched.instance_no}.{launched.epoch}.json"

    def _read(self, path: Path) -> Handle | None:
        try:
            return _DECODER.decode(path.read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            # Only a power cut leaves half a file, and then nothing of that boot runs any more.
            return None
