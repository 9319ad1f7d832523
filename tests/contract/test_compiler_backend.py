"""Both compiler backends keep the contract; and what only a local artifact can do."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
import zipimport
from pathlib import Path

import pytest

from runtara.artifact import read_manifest
from runtara.compiler.backend.base import MODULE_NAME, CompilerBackend, Layer
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
            names = ["runtara.json", "__main__.py", "runtara_scenario.py", "runtara_scenario.pyc", "scenario.json"]
            assert archive.namelist() == names
            ast.parse(archive.read("__main__.py"))
            assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_code_in_the_file_is_what_python_loads_and_the_same_in_every_process(tmp_path: Path) -> None:
    layer = compiler_backend._layer()
    artifact = LocalBackend().package(layer)
    program = (
        "import sys; from runtara.compiler.backend.local import LocalBackend;"
        "from runtara.testing.contracts import compiler_backend;"
        "sys.stdout.buffer.write(LocalBackend().package(compiler_backend._layer()))"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert again == artifact
    (tmp_path / "artifact").write_bytes(artifact)
    importer = zipimport.zipimporter(str(tmp_path / "artifact"))
    spec = importer.find_spec(MODULE_NAME)
    assert spec is not None
    assert importer.get_filename(MODULE_NAME).endswith(".pyc")
    code = importer.get_code(MODULE_NAME)
    assert code is not None
    assert "main" in code.co_names


class TestMemory(CompilerBackendContract):
    @pytest.fixture
    def backend(self) -> CompilerBackend:
        return MemoryBackend()


def test_a_module_is_loaded_without_becoming_importable() -> None:
    layer: Layer = compiler_backend._layer()
    module = load_module(layer)
    assert module.SCENARIO == "ä"
    assert sys.modules.get(module.__name__) is not module
