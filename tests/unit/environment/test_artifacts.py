"""What may be registered as an image of the process runner, and what is refused, with the reason."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from runtara.artifact import MANIFEST_NAME, ArtifactMalformed, Manifest, encode_manifest, runtime_identity
from runtara.environment.artifacts import check_artifact
from runtara.errors import UnsupportedVersion
from runtara.limits import SCRIPT_BYTES_MAX


def _zip(path: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _manifest(runtime: str) -> bytes:
    return encode_manifest(
        Manifest(
            dsl_version="1", scenario_id="s", version=1, name=None, runtime=runtime, capabilities=(), source_digest="0"
        )
    )


@pytest.mark.parametrize("source", ["print(1)\n", "#!/usr/bin/env python3\n", "# é\n", "x"])
def test_a_python_file_runs(tmp_path: Path, source: str) -> None:
    path = tmp_path / "artifact"
    path.write_text(source)
    check_artifact(path)


def test_a_zipapp_runs(tmp_path: Path) -> None:
    check_artifact(_zip(tmp_path / "artifact", **{"__main__.py": "print(1)"}))


def test_a_zipapp_with_an_interpreter_line_runs(tmp_path: Path) -> None:
    path = _zip(tmp_path / "zip", **{"__main__.py": "print(1)"})
    executable = tmp_path / "artifact"
    executable.write_bytes(b"#!/usr/bin/env python3\n" + path.read_bytes())
    check_artifact(executable)


def test_a_scenario_of_this_runtime_runs(tmp_path: Path) -> None:
    check_artifact(_zip(tmp_path / "artifact", **{"__main__.py": "", MANIFEST_NAME: _manifest(runtime_identity())}))


def test_a_scenario_of_another_runtime_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "artifact", **{"__main__.py": "", MANIFEST_NAME: _manifest("another")})
    with pytest.raises(UnsupportedVersion, match="runtime"):
        check_artifact(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF\x02\x01\x01\x00", "native executable"),
        (b"", "neither"),
        (b" \n", "neither"),
        (b"print(1)\0", "neither"),
        (b"\xff\xfe\x00", "neither"),
        (b"#" * (SCRIPT_BYTES_MAX + 1), "over"),
    ],
    ids=["elf", "empty", "blank", "nul", "not utf-8", "one past the limit"],
)
def test_what_python_cannot_run_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(content)
    with pytest.raises(ArtifactMalformed, match=reason) as refused:
        check_artifact(path)
    assert refused.value.hint


def test_a_script_at_the_limit_runs(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(b"#" * SCRIPT_BYTES_MAX)
    check_artifact(path)


def test_a_zip_that_does_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMalformed, match="__main__"):
        check_artifact(_zip(tmp_path / "artifact", **{"module.py": ""}))


def test_a_zip_whose_directory_is_broken_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "artifact", **{"__main__.py": "print(1)" * 100})
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\x01\x02")
    data[start : start + 4] = b"XXXX"
    path.write_bytes(data)
    with pytest.raises(ArtifactMalformed):
        check_artifact(path)
