"""Every limit is enforced somewhere, and a test goes one past it: ``ONE_PAST`` in ``tests/unit/test_limits.py``."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from runtara import limits
from tests.unit.test_limits import ONE_PAST

ROOT = Path(__file__).parents[2]
PRODUCT = "\n".join(path.read_text() for path in sorted((ROOT / "runtara").rglob("*.py")) if path.name != "limits.py")

SMALLER = {"PENDING_INSTANCES_MAX": "PENDING_MAX"}
"""What stands for a limit in a contract that makes it smaller."""


@cache
def functions_of(path: str) -> dict[str, ast.AST]:
    """The functions and methods of a file, by name."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@cache
def tables_of(path: str) -> dict[str, ast.AST]:
    """What a file assigns at its top, by name."""
    found: dict[str, ast.AST] = {}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.Assign):
            found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def names_of(test_id: str) -> set[str]:
    """The names that a test and its parameters use, and those in the tables among them. Raises KeyError: no test."""
    path, _, function = test_id.partition("::")
    names = names_in(functions_of(path)[function])
    for table in names & tables_of(path).keys():
        names |= names_in(tables_of(path)[table])
    return names


def names_in(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def test_the_table_names_every_limit_and_no_other() -> None:
    missing, unknown = set(limits.__all__) - set(ONE_PAST), set(ONE_PAST) - set(limits.__all__)
    assert not missing, "write a test of what happens one past it, and its row in tests/unit/test_limits.py"
    assert not unknown, "there are no such limits"


@pytest.mark.parametrize("name", limits.__all__)
def test_a_limit_is_enforced(name: str) -> None:
    assert re.search(rf"\b{name}\b", PRODUCT), "enforced nowhere"


@pytest.mark.parametrize(("name", "test_id"), [(name, test_id) for name, ids in ONE_PAST.items() for test_id in ids])
def test_the_test_that_goes_one_past_it_exists_and_knows_the_limit(name: str, test_id: str) -> None:
    assert test_id.rpartition("::")[2].startswith("test_")
    assert names_of(test_id) & {name, SMALLER.get(name)}


@pytest.mark.parametrize("name", limits.__all__)
def test_a_limit_is_a_positive_number_with_its_unit_in_its_name(name: str) -> None:
    assert getattr(limits, name) > 0
    assert name.endswith(("_MAX", "_DEFAULT"))


def test_what_is_sent_in_one_frame_fits_into_it() -> None:
    for payload in (limits.CHECKPOINT_BYTES_MAX, limits.INPUT_BYTES_MAX, limits.OUTPUT_BYTES_MAX):
        assert payload + limits.PREFETCH_BYTES_MAX < limits.FRAME_BYTES_MAX
    assert limits.UPLOAD_CHUNK_BYTES_MAX < limits.FRAME_BYTES_MAX
