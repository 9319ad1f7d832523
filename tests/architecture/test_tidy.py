"""The rules of ``tools/check_tidy.py``, each with a plant that it must find."""

from __future__ import annotations

import textwrap

import pytest

from tools.check_tidy import check_module


def findings(source: str, *, name: str = "runtara/planted.py") -> list[str]:
    return list(check_module(name, textwrap.dedent(source), needed=set()))


LONG_FUNCTION = "def f():\n" + "    a = 1\n" * 60

PLANTS = {
    "more than 500": ("runtara/planted.py", "a = 1\n" * 501),
    "f has 61 lines": ("runtara/planted.py", LONG_FUNCTION),
    "swallowed": ("runtara/planted.py", "try:\n    f()\nexcept Exception:\n    pass\n"),
    "NotImplementedError": ("runtara/planted.py", "def f():\n    raise NotImplementedError('later')\n"),
    "TODO(#12)": ("tests/planted.py", "a = 1  # TO" + "DO: think\n"),
    "sleeps": ("tests/planted.py", "class TestIt:\n    async def test_it(self):\n        await asyncio.sleep(0.1)\n"),
}


@pytest.mark.parametrize("said", PLANTS)
def test_a_planted_mistake_is_found(said: str) -> None:
    name, source = PLANTS[said]
    (finding,) = findings(source, name=name)
    assert said in finding


@pytest.mark.parametrize(
    "source",
    [
        "a = 1\n" * 500,
        LONG_FUNCTION.removesuffix("    a = 1\n"),
        "try:\n    f()\nexcept ValueError:\n    pass\n",
        "a = 1  # TO" + "DO(#12): think\n",
    ],
)
def test_what_is_just_allowed_is_not(source: str) -> None:
    assert findings(source) == []


def test_giving_way_once_is_no_sleep() -> None:
    assert findings("async def test_it():\n    await asyncio.sleep(0)\n", name="tests/planted.py") == []
