"""How figures are made, shown and judged: percentiles, lines that hold what was promised beside what was seen."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ("KEPT", "MISSED", "Load", "expect_at_least", "expect_at_most", "percentile", "spread")

KEPT = "  kept   "
MISSED = "  MISSED "
"""How a line begins that judges a figure; ``benchmarks.run`` repeats those lines at its end."""


@dataclass(frozen=True)
class Load:
    """What a closed loop of requests saw."""

    seconds: float
    latencies_s: Sequence[float]
    server_cpu_s: float = 0.0
    client_cpu_s: float = 0.0
    others_cores: float = 0.0
    """What else ran on the machine meanwhile."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies_s) / self.seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that ``percent`` of the values do not exceed. There must be one at least."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def spread(values: Sequence[float], *, scale: float = 1e3, unit: str = "ms") -> str:
    """Median and tail in words."""
    p50, p99, most = statistics.median(values), percentile(values, 99), max(values)
    return f"p50 {p50 * scale:7.1f} {unit}  p99 {p99 * scale:7.1f} {unit}  max {most * scale:7.1f} {unit}"


def expect_at_most(what: str, seen: float, promised: float, unit: str) -> None:
    """Print whether the promise was kept."""
    _judge(seen <= promised, f"{what}: {_short(seen)} {unit}, at most {_short(promised)} was promised")


def expect_at_least(what: str, seen: float, promised: float, unit: str) -> None:
    """Print whether the promise was kept."""
    _judge(seen >= promised, f"{what}: {_short(seen)} {unit}, at least {_short(promised)} was promised")


def _judge(is_kept: bool, line: str) -> None:
    print(f"{KEPT if is_kept else MISSED}{line}", flush=True)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
