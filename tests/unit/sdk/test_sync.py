"""The blocking names, with the instance on a thread of its own."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from runtara.sdk import sync
from runtara.sdk.memory import MemoryDurable, MemoryInstanceStore


def attempt(store: MemoryInstanceStore, main: Any, **options: Any) -> None:
    with start_blocking_portal("asyncio") as portal:

        async def begin() -> MemoryDurable:
            return MemoryDurable(store, **options)

        sync.attend(portal.call(begin), portal, main)


def test_a_plain_program_has_the_same_names() -> None:
    threads: set[int] = set()
    tries: list[int] = []

    @sync.durable(max_retries=1, retry_delay_s=0.001)
    def flaky(n: int) -> int:
        threads.add(threading.get_ident())
        tries.append(n)
        if len(tries) == 1:
            raise ConnectionError("not yet")
        return n + 1

    def main(data: dict[str, int]) -> list[Any]:
        sync.events.emit("began", {"n": data["n"]})
        kept = sync.checkpoint("kept", data["n"])
        sync.sleep(0.001)
        sync.check_interrupt()
        return [kept, flaky(data["n"]), sync.wait_signal("go"), sync.current_instance().attempt]

    store = MemoryInstanceStore(input=b'{"n": 1}')
    store.send_signal("go", b'"payload"')
    attempt(store, main)
    assert msgspec.json.decode(store.output or b"") == [1, 2, "payload", 1]
    assert store.events == [("began", b'{"n":1}')]
    assert threads == {threading.get_ident()}, "the program's code runs in the program's thread"


def test_a_failure_fails_the_instance() -> None:
    def main(data: Any) -> None:
        raise ValueError("no such order")

    store = MemoryInstanceStore()
    attempt(store, main)
    assert store.status == "failed"
    assert msgspec.json.decode(store.error or b"")["message"] == "no such order"


def test_an_interruption_is_raised_in_the_programs_thread_and_passes_its_excepts() -> None:
    cleaned: list[bool] = []

    def main(data: Any) -> None:
        try:
            sync.wait_signal("never")
        except Exception:
            pytest.fail("an interruption is no Exception")
        finally:
            cleaned.append(True)

    store = MemoryInstanceStore()
    with pytest.raises(sync.Interruption):
        attempt(store, main, sleep_threshold_s=0.0)
    assert cleaned == [True]
    assert store.status == "suspended"
