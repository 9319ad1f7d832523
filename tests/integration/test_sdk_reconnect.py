"""Whatever is lost on the way to the server, an instance comes to the same end, and no step is stored twice.

A program that does everything once runs against the fake server; at each request in turn the connection is cut, or the
server refuses. Attempts that end in between are launched again, as an environment does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import pytest

from runtara.errors import BadCredential, InternalError, OutcomeUnknown, Overloaded, Unavailable
from runtara.protocol import messages as m
from runtara.sdk.base import InstanceCancelled, Interruption, ServerLost
from runtara.sdk.program import attend
from runtara.sdk.remote import open_remote
from runtara.testing.clock import ManualClock
from runtara.transport.memory import MemoryNetwork, Weather
from tests.support.every_verb import KEYS, OUTPUT, every_verb
from tests.support.hasty_clock import hasty_clock
from tests.support.instance_server import Cut, InstanceServer

REQUESTS_OF_A_RUN = 17


@dataclass
class World:
    """A server, a product around it, and what the program did to the world."""

    server: InstanceServer
    effects: list[str] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Launch until the instance has ended."""
        store = self.server.store
        for _ in range(20):
            self.become_due()
            try:
                async with open_remote(self.server.launch(), clock=self.server.clock) as durable:
                    await attend(durable, partial(every_verb, effects=self.effects))
            except (Interruption, BadCredential) as ending:
                self.endings.append(type(ending).__name__)
            if store.is_ended:
                return
            if store.status == "running":
                store.change("pending", "crashed")  # as the environment says of a process that is gone
        raise AssertionError(f"it does not end: {self.endings}")

    def become_due(self) -> None:
        store, clock = self.server.store, self.server.clock
        assert isinstance(clock, ManualClock)
        if store.status == "suspended":
            if store.termination_reason == "waiting_signal" and store.wake_at is None:
                store.send_signal("go", b'"now"')
            elif store.termination_reason == "paused":
                store.resume()
            elif store.wake_at is not None:
                clock.jump(max(store.wake_at - clock.now(), timedelta(0)))

    @property
    def crashes(self) -> int:
        return len(self.endings) - self.endings.count("InstanceSuspended")


@pytest.fixture
async def network() -> AsyncIterator[MemoryNetwork]:
    async with hasty_clock() as clock, MemoryNetwork(clock=clock) as network:
        yield network


@pytest.fixture
async def world(network: MemoryNetwork) -> AsyncIterator[World]:
    server = InstanceServer(network=network, clock=network.clock)
    await server.start()
    yield World(server)
    await server.stop()


def check_the_end(world: World) -> None:
    store = world.server.store
    assert store.status == "completed", (store.status, store.error)
    assert store.output == OUTPUT
    assert store.checkpoints.keys() == KEYS
    assert not store.signals
    assert len(store.events) <= store.attempt, "each attempt emits one"
    # A step runs again only when its attempt died before the result was stored.
    repeats = len(world.effects) - len({*world.effects})
    assert repeats <= world.crashes
    assert {*world.effects} == {"charge", "ship", "mail"}


async def test_without_faults_everything_happens_once(world: World) -> None:
    await world.run()
    check_the_end(world)
    assert world.effects == ["charge", "ship", "mail"]
    assert world.endings == ["InstanceSuspended", "InstanceSuspended"]
    assert world.server.count == REQUESTS_OF_A_RUN
    assert len(world.server.store.events) == 3, "once for each attempt: events are no checkpoints"


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("number", range(1, REQUESTS_OF_A_RUN + 1))
async def test_a_connection_is_lost_at_any_request(world: World, number: int, cut: Cut) -> None:
    world.server.faults.cuts[number] = cut
    await world.run()
    check_the_end(world)
    (lost,) = world.server.cut_at
    if cut is Cut.AFTER and isinstance(lost, m.Register):
        # The credential for the next connection was lost with the answer: so is this attempt.
        assert world.crashes == 1
    else:
        assert world.crashes == 0
        assert len(world.effects) == 3


@pytest.mark.parametrize("number", range(1, REQUESTS_OF_A_RUN + 1))
async def test_connections_are_lost_at_every_request_from_one_on(world: World, number: int) -> None:
    for at in range(number, number + 12, 3):
        world.server.faults.cuts[at] = Cut.AFTER
    await world.run()
    check_the_end(world)


@pytest.mark.parametrize("error", [Unavailable, Overloaded, OutcomeUnknown])
@pytest.mark.parametrize("number", range(1, REQUESTS_OF_A_RUN + 1))
async def test_a_server_that_cannot_do_it_now_is_asked_again(
    world: World, number: int, error: type[Unavailable]
) -> None:
    for at in range(number, number + 5):
        world.server.faults.refusals[at] = error("the database is away", retry_after_ms=200)
    await world.run()
    check_the_end(world)
    assert world.crashes == 0
    assert len(world.effects) == 3


async def test_chance_cuts_connections(network: MemoryNetwork) -> None:
    network.weather = Weather(cut_share=0.05)
    crashes = reconnects = 0
    for seed in range(100):
        network.random.seed(seed)
        world = World(InstanceServer(network=network, clock=network.clock))
        await world.server.start()
        await world.run()
        check_the_end(world)
        await world.server.stop()
        crashes += world.crashes
        reconnects += sum(isinstance(message, m.Register) for message in world.server.requests) - len(world.endings) - 1
    # It got somewhere: connections broke, and some attempts with them.
    assert reconnects > 20
    assert crashes > 5


# ---- a server that is away


async def test_a_restart_of_the_server_is_not_noticed(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        await durable.save("before", b"1")
        await world.server.stop()
        durable.send("sent", b"2")
        saving = asyncio.ensure_future(durable.save("during", b"3"))
        await world.server.clock.sleep(120)
        assert not saving.done()
        await world.server.start()
        assert await saving == b"3"
        await durable.complete(b"0")
    assert world.server.store.checkpoints == {"before": b"1", "sent": b"2", "during": b"3"}
    assert world.server.store.status == "completed"


async def test_a_server_that_stays_away_ends_the_attempt(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        await world.server.stop()
        with pytest.raises(ServerLost, match="600 s"):
            await durable.save("during", b"3")
        assert durable.check()
        with pytest.raises(ServerLost):
            await durable.complete(b"0")


async def test_a_server_whose_database_stays_away_ends_the_attempt(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        for number in range(1, 5000):
            world.server.faults.refusals[number] = Unavailable("the database is away")
        with pytest.raises(ServerLost, match="600 s"):
            await durable.save("during", b"3")


async def test_trouble_that_passed_does_not_count(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        for _ in range(3):
            await world.server.stop()
            await world.server.clock.sleep(400)
            await world.server.start()
            await durable.save(f"after {world.server.clock.now()}", b"1")
    assert len(world.server.store.checkpoints) == 3


async def test_nobody_is_there_at_the_start(world: World) -> None:
    options = world.server.launch(connect_patience_s=10.0)
    await world.server.stop()
    begun = world.server.clock.monotonic()
    with pytest.raises(ServerLost, match="nobody answers"):
        async with open_remote(options, clock=world.server.clock):
            raise AssertionError
    assert 10.0 <= world.server.clock.monotonic() - begun < 20.0


async def test_an_error_of_one_request_is_the_programs(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        world.server.faults.refusals[2] = InternalError("a bug")
        with pytest.raises(InternalError):
            await durable.save("step", b"1")
        assert await durable.save("step", b"1") == b"1"


async def test_an_error_of_what_was_sent_comes_with_the_flush_once(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        world.server.faults.refusals[2] = InternalError("a bug")
        durable.send("step", b"1")
        with pytest.raises(InternalError):
            await durable.flush()
        await durable.flush()
        await durable.fail(b"{}")
    assert world.server.store.status == "failed"


async def test_a_signal_that_came_while_the_connection_was_away_is_heard(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        await world.server.stop()
        world.server.store.cancel()
        await world.server.start()
        with pytest.raises(InstanceCancelled):
            await durable.sleep_until(durable.now() + timedelta(seconds=20))


async def test_a_drain_is_over_when_another_server_answers(world: World) -> None:
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        world.server.drain()
        await world.server.clock.sleep(0.001)
        assert durable.check()
        await world.server.stop()
        await world.server.start()
        await durable.save("step", b"1")
        assert not durable.check()


async def test_a_connection_that_lives_long_renews_its_credential(world: World) -> None:
    """A credential is good for an hour; the one for the next connection must not be older than that."""
    async with open_remote(world.server.launch(), clock=world.server.clock) as durable:
        await world.server.clock.sleep(5 * 3600)
        world.server.network.cut()
        await durable.save("step", b"1")
    assert world.server.store.checkpoints == {"step": b"1"}


# ---- more checkpoints than fit


async def test_checkpoints_beyond_the_budget_are_asked_for(world: World) -> None:
    states = {f"old/{number}": b"%d" % number * 100 for number in range(20)}
    world.server.store.checkpoints.update(states)
    options = world.server.launch(known_bytes_max=1000)
    async with open_remote(options, clock=world.server.clock) as durable:
        assert {key: await durable.find(key) for key in states} == states
        assert await durable.find("unknown") is None
        durable.send("new", b"n" * 2000)
        assert await durable.find("new") == b"n" * 2000, "what was sent is stored before it is asked for"
        assert await durable.save("new", b"other") == b"n" * 2000
    asked = sum(isinstance(message, m.GetCheckpoint) for message in world.server.requests)
    assert 0 < asked < len(states) + 2


async def test_an_incomplete_launch_record_is_completed_page_by_page(world: World) -> None:
    states = {f"old/{number:03}": b"%d" % number for number in range(250)}
    world.server.store.checkpoints.update(states)
    options = world.server.launch()
    first = replace(options, checkpoints=options.checkpoints[:10], checkpoints_complete=False)
    async with open_remote(first, clock=world.server.clock) as durable:
        assert {key: await durable.find(key) for key in states} == states
    reads = [message.after for message in world.server.requests if isinstance(message, m.ReadCheckpoints)]
    assert reads == ["old/009", "old/109", "old/209"]
