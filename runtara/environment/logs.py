"""What the programs of instances printed on this host, readable by offset while they run and after.

An instance's directory is named by its number, so no name from outside is ever part of a path. An instance that ran
on several hosts has a part of its logs on each.
"""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread

from runtara.environment.runner.output import STDERR_NAME, STDOUT_NAME, read_output
from runtara.errors import InvalidRequest
from runtara.ids import InstanceNo
from runtara.limits import LOG_BYTES_MAX

__all__ = ("InstanceDirectories",)

_FILES = {"stdout": STDOUT_NAME, "stderr": STDERR_NAME}


class InstanceDirectories:
    """The directories of instances under ``<data_dir>/instances``: scratch and logs."""

    def __init__(self, data_dir: Path) -> None:
        self._base = data_dir / "instances"
        self._base.mkdir(parents=True, exist_ok=True, mode=0o700)

    def make(self, instance_no: InstanceNo) -> Path:
        """The directory of an instance, made when it is missing; the same one for all its attempts."""
        path = self._base / str(instance_no)
        path.mkdir(exist_ok=True, mode=0o700)
        return path

    async def read_log(
        self, instance_no: InstanceNo, *, stream: str, offset_bytes: int, bytes_max: int
    ) -> tuple[bytes, int]:
        """What ``stdout`` or ``stderr`` holds from the offset, and the offset to go on from. Empty: no more so far.

        Raises:
            InvalidRequest: there is no such stream or offset.
        """
        if stream not in _FILES:
            raise InvalidRequest(f"{stream!r} is not a stream", hint="Use stdout or stderr.", field="stream")
        if offset_bytes < 0:
            raise InvalidRequest("an offset is not negative", field="offset_bytes")
        path = self._base / str(instance_no) / _FILES[stream]
        bytes_max = min(max(bytes_max, 0), LOG_BYTES_MAX)

        def read() -> bytes:
            return read_output(path, offset_bytes=offset_bytes, bytes_max=bytes_max)

        data = await anyio.to_thread.run_sync(read)
        return data, offset_bytes + len(data)
