"""Stands at a gate if there is one, then sleeps if it is told to: {"gate": url or null, "nap_s": seconds or null}."""

import asyncio
from typing import Any
from urllib.request import urlopen

from runtara import sdk


async def main(data: dict[str, Any]) -> int:
    if data.get("gate"):
        await passed(data["gate"])
        await sdk.check_interrupt()
    if data.get("nap_s"):
        await sdk.sleep(data["nap_s"])
    return sdk.current_instance().attempt


@sdk.durable(key="gate")
async def passed(gate: str) -> bool:
    await asyncio.to_thread(stand_at, gate)
    return True


def stand_at(gate: str) -> None:
    with urlopen(gate) as answer:
        answer.read()


sdk.run(main)
