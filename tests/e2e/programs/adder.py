"""Adds up what it is given, says when each sum is saved, then waits for the signal `go`: {"numbers": [...]}."""

from typing import Any

from runtara import sdk


async def main(data: dict[str, Any]) -> dict[str, Any]:
    total = 0
    for number in data.get("numbers", [1, 2, 3]):
        total = await add(total, number)
        print("saved", total, flush=True)
    return {"total": total, "signal": await sdk.wait_signal("go", key="go")}


@sdk.durable
async def add(total: int, number: int) -> int:
    return total + number


sdk.run(main)
