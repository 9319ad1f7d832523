"""Appends its attempt to a file and saves that it did, once per step: {"file": path, "steps": n}."""

from pathlib import Path
from typing import Any

from runtara import sdk


async def main(data: dict[str, Any]) -> int:
    for n in range(data["steps"]):
        await effect(data["file"], n)
    return data["steps"]


@sdk.durable(key=lambda file, n: f"effect/{n}")
async def effect(file: str, n: int) -> int:
    note(Path(file), f"{sdk.current_instance().attempt} {n}\n")
    return n


def note(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(line)


sdk.run(main)
