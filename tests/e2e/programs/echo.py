"""Notes when each custom signal `ping` arrived, {"count": n} of them, by this machine's clock."""

import time
from typing import Any

from runtara import sdk


async def main(data: dict[str, Any]) -> list[float]:
    arrivals = []
    for n in range(data["count"]):
        await sdk.wait_signal("ping", key=f"ping/{n}")
        arrivals.append(time.time())
    return arrivals


sdk.run(main)
