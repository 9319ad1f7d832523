"""Appends its attempt to a file and saves that it did, once per step, and asks a gate before it ends.

{"file": path, "steps": n, "gate": url, "gate_at": k}: between the steps k - 1 and k it stands at the gate until that
answers, and blocks, so that no word of the server is heard before the next step is on its way to it. The output is
who did which step.
"""

from pathlib import Path
from typing import Any
from urllib.request import urlopen

from runtara import sdk


async def main(data: dict[str, Any]) -> list[int]:
    done_by = []
    for n in range(data["steps"]):
        if n == data["gate_at"]:
            stand_at(data["gate"])
        done_by.append(await effect(data["file"], n))
    return done_by


@sdk.durable(key=lambda file, n: f"effect/{n}")
async def effect(file: str, n: int) -> int:
    attempt = sdk.current_instance().attempt
    note(Path(file), f"{attempt} {n}\n")
    return attempt


def note(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(line)


def stand_at(gate: str) -> None:
    with urlopen(gate) as answer:
        answer.read()


sdk.run(main)
