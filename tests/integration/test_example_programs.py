"""The programs under examples/ run, and do what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import runtara
from tests.integration.test_sdk_process import Host, host

__all__ = ("host",)

PROGRAMS = Path(runtara.__file__).parents[1] / "examples" / "programs"
ORDER = {"order_id": "7", "amount": 120.5}

CASES: dict[str, tuple[str, Any, Any, Any]] = {
    "hello": ("hello", {"name": "Ann"}, None, {"greeting": "Hello, Ann!"}),
    "paid": (
        "order_approval",
        ORDER,
        {"approved": True, "by": "ann"},
        {
            "status": "paid",
            "by": "ann",
            "reservation": "reservation-7",
            "payment": "payment-7",
            "amount": 120.5,
            "key": 'memory-instance:charge("7",120.5)#1',
        },
    ),
    "rejected": (
        "order_approval",
        ORDER,
        {"approved": False, "by": "bob"},
        {"status": "rejected", "by": "bob", "reservation": "reservation-7"},
    ),
    "expired": (
        "order_approval",
        ORDER | {"approval_timeout_s": 0.05},
        None,
        {"status": "expired", "reservation": "reservation-7"},
    ),
    "refused": (
        "order_approval",
        ORDER | {"order_id": "rare-1"},
        None,
        {"status": "refused", "reason": "nothing is left for order rare-1"},
    ),
    "counted": (
        "word_count",
        {"texts": ["to be or not to be", "To be"]},
        None,
        {"be": 3, "to": 3, "or": 1, "not": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_an_example_runs(host: Host, case: str) -> None:
    name, data, signal, output = CASES[case]
    host.server.store.input = json.dumps(data).encode()
    if signal is not None:
        host.server.store.send_signal("approval", json.dumps(signal).encode())
    program = await host.launch((PROGRAMS / f"{name}.py").read_text())
    assert await program.exit_code() == 0, program.stderr
    assert json.loads(host.server.store.output or b"null") == output, host.server.store.error


def test_every_example_is_tried() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == {name for name, *_ in CASES.values()}
