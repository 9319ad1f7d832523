"""Every limit is enforced somewhere and named by a test of what happens one past it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtara import limits

ROOT = Path(__file__).parents[2]
PRODUCT = "\n".join(path.read_text() for path in sorted((ROOT / "runtara").rglob("*.py")) if path.name != "limits.py")
TESTS = "\n".join(
    path.read_text()
    for folder in ("tests", "runtara/testing/contracts")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "architecture" not in path.parts
)


@pytest.mark.parametrize("name", limits.__all__)
def test_a_limit_is_enforced_and_tested(name: str) -> None:
    assert re.search(rf"\b{name}\b", PRODUCT), "enforced nowhere"
    assert re.search(rf"\b{name}\b", TESTS), "tested nowhere"


@pytest.mark.parametrize("name", limits.__all__)
def test_a_limit_is_a_positive_number_with_its_unit_in_its_name(name: str) -> None:
    assert getattr(limits, name) > 0
    assert name.endswith(("_MAX", "_DEFAULT"))


def test_what_is_sent_in_one_frame_fits_into_it() -> None:
    for payload in (limits.CHECKPOINT_BYTES_MAX, limits.INPUT_BYTES_MAX, limits.OUTPUT_BYTES_MAX):
        assert payload + limits.PREFETCH_BYTES_MAX < limits.FRAME_BYTES_MAX
    assert limits.UPLOAD_CHUNK_BYTES_MAX < limits.FRAME_BYTES_MAX
