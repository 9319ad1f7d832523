"""The memory tier bounds what a run may take, and nothing that the runtime has already."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtara.limits import MIB
from runtara.stdlib.memory import TIER_BYTES

PROGRAM = """
import sys
from runtara.stdlib.memory import limit_memory
limit_memory(sys.argv[1] or None)
try:
    taken = bytearray(int(sys.argv[2]))
    print("taken", len(taken))
except MemoryError:
    print("refused")
"""


def ask_for(tier: str, size_bytes: int) -> str:
    """What a process of that tier says when it takes so much."""
    command = [sys.executable, "-c", PROGRAM, tier, str(size_bytes)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("tier", ["S", "M", "L"])
def test_a_run_gets_what_its_tier_gives_and_not_more(tier: str) -> None:
    size_bytes = TIER_BYTES[tier]
    assert size_bytes is not None
    assert ask_for(tier, size_bytes // 2) == f"taken {size_bytes // 2}"
    assert ask_for(tier, size_bytes + MIB) == "refused"


@pytest.mark.parametrize("tier", ["XL", ""])
def test_the_largest_tier_is_what_the_server_gives(tier: str) -> None:
    assert ask_for(tier, 300 * MIB) == f"taken {300 * MIB}"
