"""What a request costs when nothing is stored: a closed loop of 200-byte requests through ``Peer``.

    python benchmarks/transport_floor.py [--seconds S] [--connections N ...] [--library aioquic|qh3 ...]

The server runs in this process, the clients in a second one, each connection on its own socket as instances have
it. Beside it runs the floor: the same frames over TCP, plain, with asyncio. Prints one line per case.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from runtara.protocol import messages as m
from runtara.protocol.connection import Role
from runtara.transport.base import Address, ClientOptions, ServerOptions
from runtara.transport.peer import Peer, Reply, connect_peer, listen_peers
from runtara.transport.quic import quic_transport
from tests.support.certificates import certificates

try:
    import uvloop
except ImportError:
    uvloop = None

STATE = os.urandom(200)
SAVED = m.CheckpointSaved()
HELLO = m.Hello((1,), "benchmark")
WARM_UP_S = 0.5


@dataclass(frozen=True)
class Result:
    """Of one case."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


class Server:
    """Answers at once, as a group commit does within its batch."""

    def opened(self, peer: Peer) -> None: ...
    def pushed(self, peer: Peer, message: m.Message) -> None: ...
    def closed(self, peer: Peer, error: Exception | None) -> None: ...

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        reply.send(SAVED if isinstance(message, m.SaveCheckpoint) else m.Welcome(1, "benchmark"))
        return True


class Client:
    """Asks again as soon as it is answered."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.stops_at = 0.0
        self.stopped = asyncio.Event()
        self.request_message = m.SaveCheckpoint("scenario/step[0]", STATE)

    def opened(self, peer: Peer) -> None: ...
    def pushed(self, peer: Peer, message: m.Message) -> None: ...
    def closed(self, peer: Peer, error: Exception | None) -> None: ...

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        return False

    def start(self, peer: Peer, *, stops_at: float) -> None:
        self.peer, self.stops_at = peer, stops_at
        self.latencies.clear()
        self.stopped.clear()
        self.ask()

    def ask(self) -> None:
        self.asked_at = time.perf_counter()
        self.peer.send_request(self.request_message, self.answered)

    def answered(self, outcome: Any) -> None:
        now = time.perf_counter()
        self.latencies.append(now - self.asked_at)
        if not isinstance(outcome, m.CheckpointSaved):
            raise outcome
        if now < self.stops_at:
            self.ask()
        else:
            self.stopped.set()


async def run_clients(pipe: Pipe, library: str, port: int, connections: int, seconds: float) -> None:
    transport, options = quic_transport(library), ClientOptions(ca_pem=certificates().ca)
    clients = [Client() for _ in range(connections)]
    peers = [
        await connect_peer(transport, Address("127.0.0.1", port), options, HELLO, client, timeout_s=10)
        for client in clients
    ]
    for length_s in (WARM_UP_S, seconds):
        pipe.send("begin")
        started = time.perf_counter()
        for client, peer in zip(clients, peers, strict=True):
            client.start(peer, stops_at=started + length_s)
        await asyncio.gather(*(client.stopped.wait() for client in clients))
        took = time.perf_counter() - started
        latencies = sorted(latency for client in clients for latency in client.latencies)
        pipe.send(
            Result(
                requests=len(latencies),
                seconds=took,
                p50_ms=latencies[len(latencies) // 2] * 1e3,
                p99_ms=latencies[int(len(latencies) * 0.99)] * 1e3,
            )
        )
    for peer in peers:
        peer.close()
    await asyncio.gather(*(peer.wait_closed() for peer in peers))


def client_process(pipe: Pipe, ca: Any, library: str, port: int, connections: int, seconds: float) -> None:
    global certificates
    certificates = lambda: ca  # noqa: E731  the parent's, not new ones
    run(run_clients(pipe, library, port, connections, seconds))


async def measure(library: str, connections: int, seconds: float) -> None:
    made = certificates()
    options = ServerOptions(certificate_pem=made.leaf, private_key_pem=made.leaf_key)
    listener = await listen_peers(quic_transport(library), Address("127.0.0.1", 0), options, Server)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=client_process, args=(theirs, made, library, listener.address.port, connections, seconds)
    )
    process.start()
    loop = asyncio.get_running_loop()
    for _ in range(2):
        await loop.run_in_executor(None, ours.recv)
        cpu = time.process_time()
        result = await loop.run_in_executor(None, ours.recv)
        cpu = time.process_time() - cpu
    print(
        f"{library:8} {connections:5} connections {result.requests / result.seconds:9,.0f} /s"
        f"  p50 {result.p50_ms:7.3f} ms  p99 {result.p99_ms:7.2f} ms"
        f"  server {cpu / result.requests * 1e6:6.1f} us/request",
        flush=True,
    )
    await listener.aclose()
    await loop.run_in_executor(None, process.join)


def run(main: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(main)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--library", nargs="+", default=["aioquic", "qh3"])
    arguments = parser.parse_args()
    for library in arguments.library:
        for connections in arguments.connections:
            run(measure(library, connections, arguments.seconds))


if __name__ == "__main__":
    main()
