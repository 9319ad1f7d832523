"""All benchmarks, one after the other, each beside its floors in the same run: what `make bench` prints.

python -m benchmarks.run [PART ...]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from benchmarks.machine import describe

# In the order of a request's way: bytes, commits, both together; what a program pays before its first one, and
# what a scenario is made of; then what people wait for.
PARTS = (
    "native",
    "transport_floor",
    "group_commit",
    "checkpoints",
    "guest_start",
    "language",
    "launch",
    "signals",
    "wake",
)


def main(parts: Sequence[str]) -> int:
    """Run the parts; the worst exit code."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        print(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(describe(), flush=True)
    worst = 0
    for part in parts or PARTS:
        print(f"\n== {part}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
