"""Every module says what it offers, and offers what it says."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import runtara

PACKAGE = Path(runtara.__file__).parent
NOT_IMPORTED = {
    "runtara._native._build": "describes the extension to the installer",
    "runtara._native._cffi": "needs the extension; its contract imports it",
}

# What products import, and may rely on (design, §5).
PROMISED = {
    "runtara.server": ("RuntaraServer", "ServerConfig"),
    "runtara.client": ("Client",),
    "runtara.compiler": ("CompilationInput", "compile_scenario"),
    "runtara.dsl": ("parse_scenario", "validate"),
    "runtara.sdk": ("checkpoint", "current_instance", "durable", "sleep", "wait_signal"),
    "runtara.agents": ("AgentError", "agent", "capability"),
    "runtara.testing": ("ManualClock", "call_capability", "run_scenario"),
}


def module_names() -> list[str]:
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    names = (".".join(("runtara", *path.parts)).removesuffix(".__init__") for path in paths)
    return [name for name in names if not name.endswith(".__main__") and name not in NOT_IMPORTED]


@pytest.mark.parametrize("name", module_names())
def test_all_names_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert isinstance(module.__all__, tuple), "a tuple, so that nobody adds to it"
    assert len(set(module.__all__)) == len(module.__all__)
    assert not [missing for missing in module.__all__ if not hasattr(module, missing)]


# click finds commands by their decorators, and takes their names from those of the functions.
@pytest.mark.parametrize("name", [name for name in module_names() if not name.startswith("runtara.cli.")])
def test_what_is_not_offered_has_an_underscore(name: str) -> None:
    module = importlib.import_module(name)
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    defined = {node.name for node in ast.parse(inspect.getsource(module)).body if isinstance(node, definitions)}
    assert {definition for definition in defined if not definition.startswith("_")} <= set(module.__all__)


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_are_there(name: str) -> None:
    assert set(PROMISED[name]) <= set(importlib.import_module(name).__all__)
