"""The import contracts of ``pyproject.toml`` hold, and a planted import breaks the one that is meant for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


PLANTS = {
    "core/planted.py": ("import runtara.server", "Layers"),
    "dsl/planted.py": ("import runtara.protocol.framing", "Layers"),
    "core/planted_guest.py": ("import runtara.agents.registry", "Hosts launch guests"),
    "sdk/planted.py": ("import runtara.core.model", "Guests never import hosts"),
    "core/planted_backend.py": ("import runtara.core.persistence.postgres.pool", "composition root"),
    "environment/planted.py": ("import psycopg", "psycopg"),
    "newcomer/__init__.py": ("", "Layers"),
}


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTS)
def test_a_planted_import_is_found(planted: str, tmp_path: Path) -> None:
    source, contract = PLANTS[planted]
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for path in (ROOT / "runtara").rglob("*.py"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    plant = tmp_path / "runtara" / planted
    plant.parent.mkdir(exist_ok=True)
    plant.write_text(source + "\n")
    done = lint_imports(tmp_path)
    broken = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert [line for line in broken if contract in line], done.stdout + done.stderr
    assert done.returncode == 1
