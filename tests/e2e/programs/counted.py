"""Counts the children of its server, itself among them, as the system knows them when it begins."""

import os
from pathlib import Path
from typing import Any

from runtara import sdk


def children_of(parent: int) -> int:
    return sum(1 for stat in Path("/proc").glob("[0-9]*/stat") if parent_in(stat) == parent)


def parent_in(stat: Path) -> int:
    try:
        # After the name, which may hold anything: the state and the parent.
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


async def main(data: dict[str, Any]) -> int:
    return children_of(os.getppid())


sdk.run(main)
