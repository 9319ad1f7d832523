"""Both compiler backends keep the contract; and what only a local artifact can do."""

from __future__ import annotations

import ast
import sys
import zipfile
from pathlib import Path

import pytest

from runtara.artifact import read_manifest
from runtara.compiler.backend.base import CompilerBackend, Layer
from runtara.compiler.backend.local import LocalBackend
from runtara.compiler.backend.memory import MemoryBackend, load_module
from runtara.testing.contracts import compiler_backend
from runtara.testing.contracts.compiler_backend import CompilerBackendContract


class TestLocal(CompilerBackendContract):
    @pytest.fixture
    def backend(self) -> CompilerBackend:
        return LocalBackend()

    def test_the_file_is_an_executable_zip_with_a_readable_manifest(
        self, backend: CompilerBackend, tmp_path: Path
    ) -> None:
        layer = compiler_backend._layer()
        path = tmp_path / "artifact"
        path.write_bytes(backend.package(layer))
        assert path.read_bytes().startswith(b"#!/usr/bin/env python3\n")
        assert read_manifest(path) == layer.manifest
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["runtara.json", "__main__.py", "runtara_scenario.py", "scenario.json"]
            ast.parse(archive.read("__main__.py"))
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


class TestMemory(CompilerBackendContract):
    @pytest.fixture
    def backend(self) -> CompilerBackend:
        return MemoryBackend()


def test_a_module_is_loaded_without_becoming_importable() -> None:
    layer: Layer = compiler_backend._layer()
    module = load_module(layer)
    assert module.SCENARIO == "ä"
    assert sys.modules.get(module.__name__) is not module
