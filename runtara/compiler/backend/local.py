"""Artifacts as executable zip files for the server's own interpreter and packages. See ``base``.

The file holds the scenario's layer only, a few kilobytes. It runs wherever the base runtime that its manifest names is
installed. Members are stored, not compressed: the output of a compressor depends on its version.
"""

from __future__ import annotations

import io
import marshal
import zipfile
from importlib.util import MAGIC_NUMBER, source_hash
from typing import Final

from runtara.artifact import MANIFEST_NAME, ArtifactMalformed, decode_manifest, encode_manifest
from runtara.compiler.backend.base import MODULE_NAME, Layer

__all__ = ("LocalBackend",)

_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)
_SOURCE_NAME: Final = f"{MODULE_NAME}.py"
_CODE_NAME: Final = f"{MODULE_NAME}.pyc"
_SCENARIO_NAME: Final = "scenario.json"
_MAIN: Final = f'''\
# Runs the scenario in the base runtime that runtara.json names.
from runtara.stdlib import main

main("{MODULE_NAME}")
'''


class LocalBackend:
    """See the module."""

    name = "local"
    is_executable = True

    def package(self, layer: Layer) -> bytes:
        """See ``CompilerBackend.package``."""
        members = {
            MANIFEST_NAME: encode_manifest(layer.manifest),
            "__main__.py": _MAIN.encode(),
            _SOURCE_NAME: layer.source.encode(),
            _CODE_NAME: _code_of(layer.source),
            _SCENARIO_NAME: layer.scenario,
        }
        buffer = io.BytesIO()
        buffer.write(_SHEBANG)
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(_entry(name), data)
        return buffer.getvalue()

    def unpack(self, artifact: bytes) -> Layer:
        """See ``CompilerBackend.unpack``."""
        try:
            with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
                return Layer(
                    manifest=decode_manifest(archive.read(MANIFEST_NAME)),
                    source=archive.read(_SOURCE_NAME).decode(),
                    scenario=archive.read(_SCENARIO_NAME),
                )
        except (zipfile.BadZipFile, KeyError, UnicodeError, NotImplementedError, RuntimeError, EOFError) as error:
            raise ArtifactMalformed(f"this is no artifact of the local compiler: {error}") from error


def _code_of(source: str) -> bytes:
    """The module as Python's import takes it: of a long scenario, compiling it would be most of its start.

    Another version of Python passes over it and takes the source. Version 2 of marshal has no references, whose
    places would depend on what else the process has seen: the same source gives the same bytes.
    """
    data = source.encode()
    code = compile(data, f"<{_SOURCE_NAME}>", "exec", dont_inherit=True, optimize=0)
    unchecked = (1).to_bytes(4, "little")
    return MAGIC_NUMBER + unchecked + source_hash(data) + marshal.dumps(code, 2)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIMESTAMP)
    entry.create_system = 3  # Unix, wherever this runs
    entry.external_attr = 0o644 << 16
    return entry
