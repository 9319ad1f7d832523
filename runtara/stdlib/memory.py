"""The memory tier: how much a run may take on top of the runtime. Source: dsl.md §1.1."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtara.limits import MIB

__all__ = ("TIER_BYTES", "limit_memory")

TIER_BYTES: Final[Mapping[str, int | None]] = {"S": 64 * MIB, "M": 256 * MIB, "L": 1024 * MIB, "XL": None}
"""Address space beyond what the runtime itself has mapped when the scenario begins; None: what the server gives."""


def limit_memory(tier: str | None) -> None:
    """Bound the address space of this process. A run that wants more gets ``MemoryError``, and fails.

    It never raises what the server allows.
    """
    tier_bytes = TIER_BYTES.get(tier or "XL")
    if tier_bytes is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _mapped_bytes() + tier_bytes
    if soft in (-1, resource.RLIM_INFINITY) or wanted < soft:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
