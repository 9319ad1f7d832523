"""A compiled artifact runs as the program of an instance."""

from __future__ import annotations

import asyncio
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtara import artifact
from runtara.artifact import MANIFEST_NAME, ArtifactMalformed, decode_manifest, encode_manifest, read_manifest
from runtara.compiler import CompilationInput, CompilationResult, compile_scenario
from runtara.compiler.backend.local import LocalBackend
from runtara.errors import UnsupportedVersion
from runtara.sdk import program
from runtara.sdk.memory import MemoryDurable
from runtara.sdk.memory_store import MemoryInstanceStore
from tests.support.scenarios import example


@pytest.fixture
def hello(tmp_path: Path) -> CompilationResult:
    compilation = CompilationInput(tenant_id="t", scenario_id="hello", execution_graph=example("hello"))
    return compile_scenario(compilation, data_dir=tmp_path)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, MemoryInstanceStore], None]:
    """Starts an artifact as the boot does, on an instance in memory."""

    def start(path: Path, store: MemoryInstanceStore) -> None:
        def run_program(entry: program.Entry) -> None:
            asyncio.run(program.attend(MemoryDurable(store), entry))

        monkeypatch.setattr(program, "run_program", run_program)
        monkeypatch.delitem(sys.modules, "runtara_scenario", raising=False)
        runpy.run_path(str(path), run_name="__main__")

    return start


def test_an_artifact_runs_on_the_instance_of_its_process(hello: CompilationResult, launch: Any) -> None:
    store = MemoryInstanceStore(input=b'{"name": "Ann"}')
    launch(hello.binary_path, store)
    assert store.status == "completed"
    assert store.output is not None
    assert json.loads(store.output)["greeting"] == "Hello"


def test_an_artifact_of_another_runtime_fails_its_instance_before_it_runs(
    hello: CompilationResult, launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "STDLIB_ABI", artifact.STDLIB_ABI + 1)
    store = MemoryInstanceStore(input=b'{"name": "Ann"}')
    launch(hello.binary_path, store)
    assert store.status == "failed"
    assert json.loads(store.error or b"")["code"] == UnsupportedVersion.code
    assert store.checkpoints == {}


def test_a_manifest_survives_its_encoding_and_newer_fields_are_passed_over(hello: CompilationResult) -> None:
    written = encode_manifest(hello.manifest)
    assert decode_manifest(written) == hello.manifest
    assert decode_manifest(written.replace(b"{", b'{"aNewField": 1,', 1)) == hello.manifest
    with pytest.raises(UnsupportedVersion, match="format 2"):
        decode_manifest(written.replace(b'"format": 1', b'"format": 2'))


def test_a_plain_program_has_no_manifest(tmp_path: Path) -> None:
    plain = tmp_path / "program.py"
    plain.write_text("print()")
    assert read_manifest(plain) is None


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b"x" * 300_000])
def test_a_broken_manifest_is_refused(tmp_path: Path, manifest: bytes) -> None:
    import zipfile

    path = tmp_path / "artifact"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST_NAME, manifest)
    with pytest.raises(ArtifactMalformed):
        read_manifest(path)


def test_the_layer_of_an_artifact_can_be_read_back(hello: CompilationResult) -> None:
    layer = LocalBackend().unpack(hello.binary_path.read_bytes())
    assert layer.manifest == hello.manifest
    assert json.loads(layer.scenario) == json.loads(example("hello"))


def test_a_guest_without_http_steps_never_loads_what_only_they_need() -> None:
    """An instance must start fast; these cost more than everything else together."""
    code = "import runtara.stdlib, runtara.agents.builtin.utils, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"runtara.stdlib"} <= set(loaded)
    heavy = (
        "httpx",
        "runtara.dsl.validation",
        "runtara.compiler",
        "runtara.core",
        "runtara.environment",
        "runtara.agents.builtin.http",
    )
    assert not [name for name in loaded if name.startswith(heavy)]
