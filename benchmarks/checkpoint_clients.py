"""The other end of ``benchmarks.checkpoints``: a process of programs that save one checkpoint after the other.

Each program has a connection and a socket of its own, as launched ones have, and asks again in the callback of its
answer. What the SDK adds above ``Peer`` is not in here: it is spent in the instances, not in the server.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

from benchmarks.figures import Load
from benchmarks.loops import run
from runtara._native import api as native
from runtara.errors import RuntaraError
from runtara.protocol import messages as m
from runtara.protocol.launch import Psk
from runtara.transport.base import Address, ClientOptions
from runtara.transport.peer import Peer, Reply, connect_peer
from runtara.transport.quic import quic_transport

__all__ = ("ClientProcess", "Identity", "Order")

STATE = native.seal((os.urandom(200),))[0]
HELLO = m.Hello(m.PROTOCOL_VERSIONS, "benchmark")
WARM_UP_S = 0.5
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Identity:
    """Whom one connection presents."""

    tenant_id: str
    instance_id: str
    psk: Psk


@dataclass(frozen=True)
class Order:
    """What to measure: one connection for each identity. ``prefix`` makes the keys new."""

    library: str
    address: Address
    identities: Sequence[Identity]
    seconds: float
    prefix: str


class Program:
    """Saves again as soon as it is answered. A ``PeerHandler``."""

    def __init__(self, prefix: str) -> None:
        self.latencies_s: list[float] = []
        self._prefix = prefix
        self._count = 0
        self._stops_at = 0.0
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, order: Order, identity: Identity) -> None:
        """Dial and register."""
        transport, options = quic_transport(order.library), ClientOptions(psk=identity.psk)
        self._peer = await connect_peer(transport, order.address, options, HELLO, self, timeout_s=_TIMEOUT_S)
        await self._peer.call(m.Register(identity.instance_id, identity.tenant_id), timeout_s=_TIMEOUT_S)

    async def save_until(self, at: float) -> None:
        """Save until the time has come."""
        self.latencies_s = []
        self._stops_at = at
        self._stopped = asyncio.get_running_loop().create_future()
        self._save()
        await self._stopped

    async def close(self) -> None:
        """Hang up."""
        self._peer.close()
        await self._peer.wait_closed()

    def _save(self) -> None:
        self._count += 1
        self._asked_at = time.perf_counter()
        self._peer.send_request(m.SaveCheckpoint(f"{self._prefix}/{self._count}", STATE), self._answered)

    def _answered(self, outcome: m.Message | RuntaraError) -> None:
        now = time.perf_counter()
        self.latencies_s.append(now - self._asked_at)
        if not isinstance(outcome, m.CheckpointSaved):
            self._stopped.set_exception(outcome if isinstance(outcome, RuntaraError) else TypeError(outcome))
        elif now < self._stops_at:
            self._save()
        else:
            self._stopped.set_result(None)

    # ---- PeerHandler

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``."""

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``."""

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """See ``PeerHandler``."""
        return False


class ClientProcess:
    """The process, from its parent's side. One order at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()

    async def connect(self, order: Order) -> None:
        """All programs of the order are registered and warm."""
        self._pipe.send(order)
        await self._hear()

    async def measure(self) -> Load:
        """What they see from now on."""
        self._pipe.send("go")
        load = await self._hear()
        assert isinstance(load, Load)
        return load

    def close(self) -> None:
        """End it."""
        self._pipe.send(None)
        self._process.join()

    async def _hear(self) -> object:
        heard = await asyncio.get_running_loop().run_in_executor(None, self._pipe.recv)
        if isinstance(heard, BaseException):
            raise heard
        return heard


def _serve(pipe: Pipe) -> None:
    while (order := pipe.recv()) is not None:
        try:
            run(_carry_out(order, pipe))
        except Exception as error:
            pipe.send(error)


async def _carry_out(order: Order, pipe: Pipe) -> None:
    programs = [Program(order.prefix) for _ in order.identities]
    for program, identity in zip(programs, order.identities, strict=True):
        await program.connect(order, identity)
    await _save_for(programs, WARM_UP_S)
    pipe.send("connected")
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    pipe.send(await _save_for(programs, order.seconds))
    await asyncio.gather(*(program.close() for program in programs))


async def _save_for(programs: Sequence[Program], seconds: float) -> Load:
    started_at, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(program.save_until(started_at + seconds) for program in programs))
    return Load(
        seconds=time.perf_counter() - started_at,
        latencies_s=[latency_s for program in programs for latency_s in program.latencies_s],
        client_cpu_s=time.process_time() - cpu_s,
    )
