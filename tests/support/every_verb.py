"""A program that uses every verb of ``Durable``, with steps that no replay may repeat."""

from __future__ import annotations

from datetime import datetime, timedelta

from runtara.protocol.messages import RetryRecord
from runtara.sdk.base import Durable

KEYS = frozenset({"pure/0", "pure/1", "pure/2", "charge", "nap", "ship", "go", "never", "mail"})
OUTPUT = b'3 "now" late'
"""When the signal ``go`` is sent with this payload."""


async def every_verb(durable: Durable, *, effects: list[str]) -> bytes:
    """``effects`` is the world: what was done to it stays done."""
    total = 0
    for number in range(3):
        key = f"pure/{number}"
        if await durable.find(key) is None:
            durable.send(key, b"%d" % number)
        total += int(await durable.find(key) or b"")
    durable.emit("summed", b"%d" % total)
    await _step(durable, "charge", effects)
    if durable.retry_of("ship") is None:
        await durable.record_retry(RetryRecord("ship", 1, b"{}", durable.now()))
    wake_at = await durable.save("nap", (durable.now() + timedelta(hours=1)).isoformat().encode())
    await durable.sleep_until(datetime.fromisoformat(wake_at.decode()))
    await _step(durable, "ship", effects)
    go = await durable.wait_signal("go", key="go", deadline=None)
    late = await durable.wait_signal("never", key="never", deadline=durable.now() + timedelta(seconds=1))
    if durable.check():
        await durable.interrupt()
    await _step(durable, "mail", effects)
    return b"%d %s %s" % (total, go or b"", b"late" if late is None else late)


async def _step(durable: Durable, name: str, effects: list[str]) -> None:
    if await durable.find(name) is None:
        await durable.flush()
        effects.append(name)
        await durable.save(name, b"true")
