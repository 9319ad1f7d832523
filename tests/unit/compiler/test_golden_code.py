"""The emitted code of some examples, word for word. ``REWRITE_GOLDEN=1 pytest …`` writes it anew; read the diff."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from runtara.compiler import CompilationInput, translate_scenario
from runtara.dsl.paths import child_path

ROOT = Path(__file__).parents[3]
EXAMPLES = (
    "canary-rollout",
    "contract-signing",
    "data-processing",
    "fraud-screening",
    "hello",
    "invoice-approval",
    "order-fulfilment",
    "order-intake",
    "order-processing",
    "overdue-report",
    "travel-booking",
)
"""Together they have most of what the language has."""
SCENARIOS = sorted(
    [
        *(ROOT / "examples" / "scenarios" / f"{name}.json" for name in EXAMPLES),
        *(ROOT / "tests/golden/scenarios").glob("*.json"),
    ]
)


def emitted(path: Path) -> str:
    compilation = CompilationInput(tenant_id="t", scenario_id=path.stem, execution_graph=path.read_bytes())
    return translate_scenario(compilation).layer.source


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_emitted_code_is_the_recorded_code(path: Path) -> None:
    golden = ROOT / "tests" / "golden" / "scenarios" / f"{path.stem}.py.txt"
    source = emitted(path)
    if os.environ.get("REWRITE_GOLDEN"):  # noqa: TID251 - a switch of this test, not of the product
        golden.write_text(source)
    assert source == golden.read_text()


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_line_of_the_source_map_is_code(path: Path) -> None:
    source = emitted(path)
    lines = source.splitlines()
    source_map = ast.literal_eval(source.partition("\nSOURCE_MAP = ")[2])
    for line, (step_id, place) in source_map.items():
        assert not lines[line - 1].lstrip().startswith("#")
        assert child_path(".steps", step_id) in place or place.startswith("$.executionPlan[")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_no_line_is_wider_than_a_screen(path: Path) -> None:
    assert max(map(len, emitted(path).splitlines())) <= 120
