"""What programs print: two plain files in the instance's directory, appended to by every attempt.

A file, not a pipe, because a pipe dies with the server that reads it. What is beyond the limit is cut off from time
to time while the program runs (``cut_output``): the beginning stays, so offsets of readers stay good, and the disk
holds at most the limit and what one program can print between two looks.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

__all__ = ("STDERR_NAME", "STDOUT_NAME", "cut_output", "open_output", "read_output", "read_tail")

STDOUT_NAME: Final = "stdout.log"
STDERR_NAME: Final = "stderr.log"

_CUT_NOTE: Final = b"\n[runtara: the output limit is reached; what follows is not kept]\n"

# The program owns the directory and may put anything in the place of the file: a link, or a pipe that would block us.
_CAREFULLY: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_output(path: Path, *, bytes_max: int) -> tuple[int, int]:
    """A descriptor to append with, and where that begins. Raises ``OSError``."""
    cut_output(path, bytes_max=bytes_max)
    descriptor = _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return descriptor, os.fstat(descriptor).st_size


def cut_output(path: Path, *, bytes_max: int) -> bool:
    """Cut the file to its limit and a note, if it is beyond; whether it was. A missing file is fine."""
    try:
        descriptor = _open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        kept_bytes = bytes_max + len(_CUT_NOTE)
        if os.fstat(descriptor).st_size <= kept_bytes:
            return False
        os.pwrite(descriptor, _CUT_NOTE, bytes_max)
        os.truncate(descriptor, kept_bytes)
        return True
    finally:
        os.close(descriptor)


def read_output(path: Path, *, offset_bytes: int, bytes_max: int) -> bytes:
    """At most ``bytes_max`` bytes from the offset; nothing when the file is missing, shorter or unreadable."""
    try:
        descriptor = _open(path, os.O_RDONLY)
        try:
            return os.pread(descriptor, bytes_max, offset_bytes)
        finally:
            os.close(descriptor)
    except OSError:
        return b""


def read_tail(path: Path, *, from_bytes: int, characters_max: int) -> str:
    """The last characters of what was written after ``from_bytes``, for an error message."""
    # A character takes at most four bytes.
    reach_bytes = 4 * characters_max
    try:
        size = path.lstat().st_size
    except OSError:
        return ""
    data = read_output(path, offset_bytes=max(from_bytes, size - reach_bytes), bytes_max=reach_bytes)
    # NUL is legal in text and in JSON, and not in every database's idea of them.
    return data.decode(errors="replace").replace("\0", "\ufffd")[-characters_max:]


def _open(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | _CAREFULLY, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"{path} is not a plain file any more")
    return descriptor
