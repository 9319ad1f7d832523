"""One module reads the environment; everything else is handed what it needs."""

from __future__ import annotations

import ast
from pathlib import Path

import runtara

PACKAGE = Path(runtara.__file__).parent


def touches_environment(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv", "os.putenv")
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_only_config_touches_the_environment() -> None:
    touching = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if touches_environment(path)}
    assert touching == {"config.py"}
