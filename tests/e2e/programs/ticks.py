"""Saves a checkpoint, sleeps, and again: {"ticks": n, "pause_s": s}."""

from typing import Any

from runtara import sdk


async def main(data: dict[str, Any]) -> dict[str, Any]:
    for n in range(data["ticks"]):
        await sdk.checkpoint(f"tick/{n}", n)
        await sdk.sleep(data["pause_s"], key=f"pause/{n}")
    return {"ticks": data["ticks"]}


sdk.run(main)
