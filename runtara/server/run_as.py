"""A program of its own: become an unprivileged user, then run another program in this process.

    python -I -S run_as.py UID GID DIRECTORY PROGRAM ARGUMENT...

PostgreSQL refuses to run as root, while a root server keeps its data, and often its Python too, in directories that
only root may enter. Opening those directories to everybody is no answer. So the program runs as a user without rights;
and where that user cannot reach the program or the directory by itself, it keeps one capability of root's, to pass file
permissions (CAP_DAC_OVERRIDE, which a container of root has by default). As user 0 was the alternative, that is less.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = (
    "become",
    "keep_capability",
    "main",
)

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_SETPCAP = 8
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 4

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(uid: int, gid: int) -> None:
    """Be this user and nobody else; what root could do is still permitted, but not in effect."""
    _call(_libc.prctl, _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def keep_capability(number: int) -> None:
    """Keep one capability, over an ``exec`` too, and give up all others."""
    with contextlib.suppress(OSError):
        # access(2), by which initdb looks for its programs, ignores the capabilities of a user who is not root, unless
        # this is set. Where it may not be set, only directories that anybody may enter will do.
        _have_only(number, _CAP_SETPCAP)
        _call(_libc.prctl, _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    _have_only(number)
    _call(_libc.prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def _have_only(*numbers: int) -> None:
    bits = sum(1 << number for number in numbers)
    sets = (_Sets * 2)(_Sets(bits, bits, bits), _Sets(0, 0, 0))
    _call(_libc.capset, ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), sets)


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main(arguments: list[str]) -> None:
    """See the module."""
    uid, gid, directory, program = int(arguments[0]), int(arguments[1]), Path(arguments[2]), arguments[3]
    become(uid, gid)
    if not (os.access(program, os.X_OK) and os.access(directory, os.R_OK | os.W_OK | os.X_OK)):
        keep_capability(_CAP_DAC_OVERRIDE)
    os.execv(program, arguments[3:])


if __name__ == "__main__":
    main(sys.argv[1:])
