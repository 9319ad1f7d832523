"""``docs/testing.md``: each block of Python in it is run, in order, and so is every test that it defines."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def module() -> dict[str, Any]:
    """The names that all blocks define, one after the other."""
    names: dict[str, Any] = {"__name__": "docs_testing"}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


MODULE = module()
TESTS = sorted(name for name in MODULE if name.startswith("test_"))


@pytest.mark.parametrize("name", TESTS)
async def test_an_example_holds(name: str) -> None:
    function = MODULE[name]
    assert inspect.iscoroutinefunction(function), "an example that is not awaited shows nothing"
    await function()


def test_the_page_shows_everything_that_products_test_with() -> None:
    text = "\n".join(BLOCKS)
    for name in ("run_scenario", "call_capability", "try_crashes", "ScriptedSignal", "crash_after"):
        assert name in text
    assert len(TESTS) == sum(len(re.findall(r"^async def test_", block, re.MULTILINE)) for block in BLOCKS)
