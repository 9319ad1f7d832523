"""What a type checker sees of the SDK: a decorator keeps the signature, and a wrong call is an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from collections.abc import Coroutine
from typing import Any, assert_type
from runtara import sdk
from runtara.sdk import sync

@sdk.durable
async def pay(order: int, *, note: str = "") -> bytes:
    raise NotImplementedError

@sdk.durable(key=lambda order: f"ship/{order}", max_retries=5, timeout_s=3.0)
async def ship(order: int) -> list[str]:
    raise NotImplementedError

@sync.durable
def add(a: int, b: int = 1) -> float:
    raise NotImplementedError

@sync.durable(key="constant")
def total() -> dict[str, int]:
    raise NotImplementedError

async def main(data: dict[str, int]) -> None:
    assert_type(await pay(1, note="n"), bytes)
    running: Coroutine[Any, Any, bytes] = pay(1)
    assert_type(await running, bytes)
    assert_type(await ship(2), list[str])
    assert_type(await sdk.checkpoint("key", 3), int)
    assert_type(add(1), float)
    assert_type(total(), dict[str, int])
    assert_type(sync.checkpoint("key", "x"), str)
    await sdk.sleep(1.5, key="nap")
    sdk.events.emit("name", {"n": 1})

sdk.run(main)
"""

BAD = {
    'await pay("1")': 'incompatible type "str"; expected "int"',
    "await pay(1, 2)": "Too many positional arguments",
    "await pay()": "Missing positional argument",
    "await ship(order=None)": 'incompatible type "None"; expected "int"',
    'add("1")': 'incompatible type "str"; expected "int"',
    "sdk.durable(retries=3)": 'did you mean "max_retries"?',
    "sdk.durable(lambda: 3)": 'expected "Callable[[], Awaitable',
    'await sdk.sleep("1 s")': 'incompatible type "str"',
}


def check(tmp_path: Path, text: str) -> str:
    program = tmp_path / "program.py"
    program.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)]
    # The cache of the repository: without it each run checks the whole package anew.
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_signatures_are_kept(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == ""


@pytest.mark.slow
def test_wrong_calls_are_errors(tmp_path: Path) -> None:
    start = GOOD.index("    assert_type(await pay")
    lines = "".join(f"    {call}\n" for call in BAD)
    first = GOOD[:start].count("\n") + 1
    found = check(tmp_path, GOOD[:start] + lines)
    for number, (call, error) in enumerate(BAD.items(), first):
        assert any(f":{number}: error" in line and error in line for line in found.splitlines()), f"{call}:\n{found}"
