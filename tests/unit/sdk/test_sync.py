"""The blocking names, with the instance on a thread of its own."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from runtara import sdk
from runtara.sdk import sync
from runtara.sdk.bridge import Bridge
from runtara.sdk.memory import MemoryDurable, MemoryInstanceStore


def attempt(store: MemoryInstanceStore, main: Any, **options: Any) -> None:
    async def begin() -> MemoryDurable:
        return MemoryDurable(store, **options)

    with Bridge() as bridge:
        sync.attend(bridge.call(begin), bridge, main)


def test_the_names_are_the_same() -> None:
    assert {*sdk.__all__} <= {*sync.__all__}


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
            with pytest.raises(sync.InstanceSuspended):
                sync.checkpoint("too late", 1)
            cleaned.append(True)

    store = MemoryInstanceStore()
    with pytest.raises(sync.Interruption):
        attempt(store, main, sleep_threshold_s=0.0)
    assert cleaned == [True]
    assert store.status == "suspended"


def test_a_durable_result_is_not_computed_again() -> None:
    ran: list[int] = []

    @sync.durable
    def double(n: int) -> int:
        ran.append(n)
        return 2 * n

    def main(data: list[int]) -> int:
        total = sum(double(n) for n in data)
        sync.sleep(3600)
        return total

    store = MemoryInstanceStore(input=b"[1,2,2]")
    with pytest.raises(sync.InstanceSuspended):
        attempt(store, main)
    with pytest.raises(sync.InstanceSuspended):
        attempt(store, main)
    assert ran == [1, 2, 2]


def test_threads_of_a_program_share_its_surroundings() -> None:
    @sync.durable
    def double(n: int) -> int:
        return 2 * n

    def main() -> list[int]:
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(contextvars.copy_context().run, double, n) for n in range(20)]
            return [call.result() for call in calls]

    store = MemoryInstanceStore()
    attempt(store, main)
    assert msgspec.json.decode(store.output or b"") == [2 * n for n in range(20)]
    assert len(store.checkpoints) == 20


def test_a_bridge_can_be_left_after_an_error() -> None:
    async def fail() -> float:
        return 1 / 0

    with Bridge() as bridge:
        with pytest.raises(ZeroDivisionError):
            bridge.call(fail)
        thread = bridge._thread
    assert not thread.is_alive()
