"""What may be an image of the process runner: a compiled scenario, a zipapp, or a single Python file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from runtara.artifact import ArtifactMalformed, Manifest, check_runtime, read_manifest
from runtara.limits import SCRIPT_BYTES_MAX

__all__ = ("check_artifact",)

_WHAT_WORKS: Final = "Register a compiled scenario, a zipapp with a __main__.py, or a single Python file."


def check_artifact(path: Path) -> Manifest | None:
    """Its manifest, None when it has none; returns when this server can run it. Blocking: it reads the file.

    Raises:
        ArtifactMalformed: it is nothing that Python can run.
        UnsupportedVersion: it was compiled for another runtime.
    """
    if not zipfile.is_zipfile(path):
        _check_script(path)
        return None
    manifest = read_manifest(path)
    if manifest is not None:
        check_runtime(manifest)
    if "__main__.py" not in _names(path):
        raise ArtifactMalformed("the zip file has no __main__.py", hint=_WHAT_WORKS)
    return manifest


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ArtifactMalformed(f"the zip file cannot be read: {error}", hint=_WHAT_WORKS) from error


def _check_script(path: Path) -> None:
    with path.open("rb") as file:
        source = file.read(SCRIPT_BYTES_MAX + 1)
    if source.startswith(b"\x7fELF"):
        raise ArtifactMalformed("this server runs Python, and the file is a native executable", hint=_WHAT_WORKS)
    if len(source) > SCRIPT_BYTES_MAX:
        raise ArtifactMalformed(f"the file is no zip file and over {SCRIPT_BYTES_MAX} bytes", hint=_WHAT_WORKS)
    if not source.strip() or b"\0" in source or not _is_text(source):
        raise ArtifactMalformed("the file is neither a zip file nor Python source", hint=_WHAT_WORKS)


def _is_text(source: bytes) -> bool:
    try:
        source.decode()
    except UnicodeDecodeError:
        return False
    return True
