"""The C code alone, without Python around it: strictly compiled, and run under the sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import missing

HERE = Path(__file__).parent
SOURCE_FOLDER = HERE.parents[1] / "runtara" / "_native" / "src"
SOURCES = sorted(SOURCE_FOLDER.glob("*.c"))
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wpedantic", f"-I{SOURCE_FOLDER}"]
SANITIZERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return found or missing("a C compiler (apt-get install gcc libc6-dev)")


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def fuzz(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("native") / "fuzz"
    run(compiler, *STRICT, *SANITIZERS, "-DRT_FUZZ_MAIN", HERE / "fuzz.c", *SOURCES, "-o", program)
    return program


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize("optimization", ["-O0", "-O3"])
def test_it_compiles_without_a_warning(compiler: str, source: Path, optimization: str, tmp_path: Path) -> None:
    run(compiler, *STRICT, optimization, "-c", source, "-o", tmp_path / "object.o")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_sanitizers_find_nothing(fuzz: Path, seed: int) -> None:
    assert "sound" in run(fuzz, seed, 50_000)


@pytest.mark.slow
def test_the_sanitizers_are_awake(compiler: str, tmp_path: Path) -> None:
    """A planted read of one byte too many must be found by the same flags."""
    planted = (SOURCE_FOLDER / "crc32c.c").read_text().replace("i < size; i++", "i <= size; i++")
    (tmp_path / "crc32c.c").write_text(planted)
    sources = [tmp_path / "crc32c.c", *(source for source in SOURCES if source.name != "crc32c.c")]
    program = tmp_path / "fuzz"
    run(compiler, *STRICT, *SANITIZERS, "-DRT_FUZZ_MAIN", HERE / "fuzz.c", *sources, "-o", program)
    done = subprocess.run([program, "1", "100"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


def test_no_function_allocates_or_keeps_state(compiler: str, tmp_path: Path) -> None:
    """Nothing but memcpy and the question for the processor comes from outside, and nothing can be written to."""
    nm = shutil.which("nm") or missing("nm (apt-get install binutils)")
    for source in SOURCES:
        run(compiler, *STRICT, "-O2", "-c", source, "-o", tmp_path / "object.o")
        symbols = [line.split()[-2:] for line in run(nm, tmp_path / "object.o").splitlines()]
        outside = {name for kind, name in symbols if kind == "U" and not name.startswith("rt_")}
        assert outside <= {"memcpy", "getauxval", "__cpu_model", "_GLOBAL_OFFSET_TABLE_"}
        assert not [name for kind, name in symbols if kind in "bBdD"], "writable data"
