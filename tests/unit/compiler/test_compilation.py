"""From a scenario to an artifact on disk: determinism, the cache, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtara import artifact
from runtara.agents.registry import Registry
from runtara.artifact import check_runtime, read_manifest, runtime_identity
from runtara.compiler import CompilationInput, compile_scenario, translate_scenario
from runtara.compiler.cache import ArtifactCache
from runtara.dsl import parse_scenario
from runtara.errors import InvalidRequest, ScenarioInvalid, Unavailable, UnsupportedVersion

EXAMPLES = Path(__file__).parents[3] / "examples" / "scenarios"
ORDER = (EXAMPLES / "order-processing.json").read_bytes()


def order(**changes: Any) -> CompilationInput:
    return CompilationInput(**{"tenant_id": "t", "scenario_id": "orders", "execution_graph": ORDER} | changes)


def test_the_result_describes_the_file(tmp_path: Path) -> None:
    result = compile_scenario(order(version=7), data_dir=tmp_path)
    data = result.binary_path.read_bytes()
    assert (result.binary_size, result.binary_checksum) == (len(data), hashlib.sha256(data).hexdigest())
    assert os.access(result.binary_path, os.X_OK)
    assert read_manifest(result.binary_path) == result.manifest
    assert (result.manifest.scenario_id, result.manifest.version) == ("orders", 7)
    assert result.manifest.capabilities == ("http/request",)
    assert result.manifest.agents == ("http",)
    assert result.metadata["name"] == "Order Processing"
    assert (result.has_side_effects, result.child_dependencies, result.default_variables) == (True, (), {})


def test_the_same_scenario_gives_the_same_bytes_in_any_form(tmp_path: Path) -> None:
    decoded = json.loads(ORDER)
    reordered = dict(reversed(decoded.items()))
    forms = [ORDER, ORDER.decode(), decoded, reordered]
    results = [compile_scenario(order(execution_graph=form), data_dir=tmp_path) for form in forms]
    assert len({result.binary_checksum for result in results}) == 1
    elsewhere = compile_scenario(order(), data_dir=tmp_path / "elsewhere")
    assert elsewhere.binary_checksum == results[0].binary_checksum


def test_a_parsed_scenario_can_be_compiled(tmp_path: Path) -> None:
    scenario = parse_scenario(ORDER)
    for form in (scenario, scenario.execution_graph):
        assert compile_scenario(order(execution_graph=form), data_dir=tmp_path).manifest.name == "Order Processing"


def test_the_artifact_is_also_written_where_it_is_wanted(tmp_path: Path) -> None:
    wanted = tmp_path / "new" / "orders"
    result = compile_scenario(order(output=wanted), data_dir=tmp_path)
    assert result.binary_path == wanted
    assert stat.S_IMODE(wanted.stat().st_mode) == 0o755
    assert hashlib.sha256(wanted.read_bytes()).hexdigest() == result.binary_checksum


def test_compiling_again_takes_the_artifact_from_the_cache(tmp_path: Path) -> None:
    first = compile_scenario(order(), data_dir=tmp_path).binary_path
    written = first.stat().st_mtime_ns
    assert compile_scenario(order(), data_dir=tmp_path).binary_path == first
    assert first.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", [b"", b"something else"])
def test_a_damaged_cache_is_repaired(tmp_path: Path, damage: bytes) -> None:
    good = compile_scenario(order(), data_dir=tmp_path)
    good.binary_path.write_bytes(damage)
    again = compile_scenario(order(), data_dir=tmp_path)
    assert hashlib.sha256(again.binary_path.read_bytes()).hexdigest() == good.binary_checksum
    for pointer in (tmp_path / "cache" / "layers").iterdir():
        pointer.write_text("../../x")
    assert compile_scenario(order(), data_dir=tmp_path).binary_path == good.binary_path


def test_many_compilers_can_share_a_cache(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: compile_scenario(order(), data_dir=tmp_path), range(16)))
    assert len({result.binary_checksum for result in results}) == 1
    assert [path.name for path in (tmp_path / "cache" / "artifacts").iterdir()] == [results[0].binary_checksum]


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    with pytest.raises(Unavailable, match="cannot write"):
        compile_scenario(order(), data_dir=tmp_path)


def test_a_key_that_was_never_saved_is_not_found(tmp_path: Path) -> None:
    assert ArtifactCache(tmp_path).find("local-x") is None


def test_an_invalid_scenario_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ScenarioInvalid) as caught:
        compile_scenario(order(execution_graph={"steps": {}, "entryPoint": "x"}), data_dir=tmp_path)
    assert [diagnostic["code"] for diagnostic in caught.value.attributes["diagnostics"]] == ["E004"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 0}, "0 is not a version"),
        ({"version": True}, "True is not a version"),
        ({"tenant_id": "a/b"}, "tenant_id"),
        ({"scenario_id": ""}, "scenario_id"),
        ({"connection_service_url": "ftp://x"}, "not the URL of a service"),
        ({"connection_service_url": "http://[::1"}, "not the URL of a service"),
    ],
)
def test_a_field_that_is_not_usable_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        compile_scenario(order(**changes), data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_url_of_the_connection_service_is_recorded() -> None:
    url = "https://my-product.com/api/connections"
    assert translate_scenario(order(connection_service_url=url)).layer.manifest.connection_service_url == url


def test_the_runtime_is_the_right_one_until_what_the_scenario_relies_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = compile_scenario(order(), data_dir=tmp_path).manifest
    check_runtime(manifest)
    monkeypatch.setattr(artifact, "STDLIB_ABI", artifact.STDLIB_ABI + 1)
    with pytest.raises(UnsupportedVersion, match="was compiled for the runtime"):
        check_runtime(manifest)


def test_agents_that_a_scenario_does_not_use_may_change() -> None:
    assert runtime_identity(["utils/do-nothing"]) != runtime_identity(["http/request"])
    assert runtime_identity(["http/request", "utils/do-nothing"]) == runtime_identity(
        ["utils/do-nothing", "http/request", "http/request"]
    )
    with pytest.raises(UnsupportedVersion, match="no capability 'http/request'"):
        runtime_identity(["http/request"], catalog=Registry({}))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="recorded with Python 3.11")
def test_the_identity_does_not_depend_on_the_process() -> None:
    """When it changes, every compiled scenario has to be compiled again. Was that meant?"""
    assert runtime_identity(["http/request", "utils/random-double"])[:16] == "14d5bea4dbcd3b8e"
