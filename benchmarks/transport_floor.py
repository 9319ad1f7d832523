"""What a request costs when nothing is stored: a closed loop of 200-byte requests through ``Peer``.

    python -m benchmarks.transport_floor [--seconds S] [--connections N ...] [--transport tcp|aioquic|qh3 ...]

The server runs in this process, the clients in a second one, each connection on its own socket as instances have
it. Beside it runs the floor: the same peers over plain TCP, which is what frames, messages and callbacks cost
without QUIC and TLS. Prints one line per case; quote the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

from runtara.protocol import messages as m
from runtara.transport.base import Address, ChannelHandler, ClientOptions, ServerOptions, Transport
from runtara.transport.peer import Peer, Reply, connect_peer, listen_peers
from runtara.transport.quic import quic_transport
from tests.support.certificates import certificates

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

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

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``."""

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``."""

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """See ``PeerHandler``."""
        reply.send(SAVED if isinstance(message, m.SaveCheckpoint) else m.Welcome(1, "benchmark"))
        return True


class Client:
    """Asks again as soon as it is answered."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.stops_at = 0.0
        self.stopped = asyncio.Event()
        self.request_message = m.SaveCheckpoint("scenario/step[0]", STATE)

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``."""

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``."""

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """See ``PeerHandler``."""
        return False

    def start(self, peer: Peer, *, stops_at: float) -> None:
        """Begin to ask."""
        self.peer, self.stops_at = peer, stops_at
        self.latencies.clear()
        self.stopped.clear()
        self.ask()

    def ask(self) -> None:
        """One request."""
        self.asked_at = time.perf_counter()
        self.peer.send_request(self.request_message, self.answered)

    def answered(self, outcome: Any) -> None:
        """And the next."""
        now = time.perf_counter()
        self.latencies.append(now - self.asked_at)
        if not isinstance(outcome, m.CheckpointSaved):
            raise outcome
        if now < self.stops_at:
            self.ask()
        else:
            self.stopped.set()


class TcpChannel(asyncio.Protocol):
    """See ``Channel``: just enough of it, without any of its promises."""

    identity, peer, last_received, unsent_bytes = None, "tcp", 0.0, 0

    def __init__(self, handler: ChannelHandler) -> None:
        self._handler = handler

    def connection_made(self, transport: Any) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = transport
        self.send = transport.write
        self._handler.opened(self)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._handler.received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._handler.closed(error)

    def close(self, *, reason: str = "") -> None:
        """See ``Channel``."""
        self._transport.close()

    async def drained(self) -> None:
        """See ``Channel``."""


class TcpListener:
    """See ``Listener``."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.address = Address(*server.sockets[0].getsockname())

    async def aclose(self) -> None:
        """See ``Listener``."""
        self._server.close()


class TcpTransport:
    """See ``Transport``."""

    name = "tcp"

    async def listen(self, address: Address, options: Any, accept: Callable[[], ChannelHandler]) -> TcpListener:
        """See ``Transport``."""
        loop = asyncio.get_running_loop()
        return TcpListener(await loop.create_server(lambda: TcpChannel(accept()), address.host, address.port))

    async def connect(self, address: Address, options: Any, handler: ChannelHandler) -> TcpChannel:
        """See ``Transport``."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(lambda: TcpChannel(handler), address.host, address.port)
        return channel


def make_transport(name: str) -> Transport:
    """By its name in the output."""
    return TcpTransport() if name == "tcp" else quic_transport(name)


async def run_clients(pipe: Pipe, name: str, port: int, connections: int, seconds: float) -> None:
    """Warm up, measure, and send the results through the pipe."""
    transport, options = make_transport(name), ClientOptions(ca_pem=certificates().ca)
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


def client_process(pipe: Pipe, made: Any, name: str, port: int, connections: int, seconds: float) -> None:
    """The second process."""
    global certificates
    certificates = lambda: made  # type: ignore[assignment]  # noqa: E731  the parent's, not new ones
    run(run_clients(pipe, name, port, connections, seconds))


async def measure(name: str, connections: int, seconds: float) -> None:
    """One case: serve, let the clients run, print."""
    made = certificates()
    options = ServerOptions(certificate_pem=made.leaf, private_key_pem=made.leaf_key)
    listener = await listen_peers(make_transport(name), Address("127.0.0.1", 0), options, Server)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=client_process, args=(theirs, made, name, listener.address.port, connections, seconds)
    )
    process.start()
    loop = asyncio.get_running_loop()
    for _ in range(2):
        await loop.run_in_executor(None, ours.recv)
        cpu = time.process_time()
        result = await loop.run_in_executor(None, ours.recv)
        cpu = time.process_time() - cpu
    print(
        f"{name:8} {connections:5} connections {result.requests / result.seconds:9,.0f} /s"
        f"  p50 {result.p50_ms:7.3f} ms  p99 {result.p99_ms:7.2f} ms"
        f"  server {cpu / result.requests * 1e6:6.1f} us/request",
        flush=True,
    )
    await listener.aclose()
    await loop.run_in_executor(None, process.join)


def run(main: Any) -> None:
    """On uvloop where it is installed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(main)


def main() -> None:
    """Print all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--transport", nargs="+", default=["tcp", "aioquic", "qh3"])
    arguments = parser.parse_args()
    for name in arguments.transport:
        for connections in arguments.connections:
            run(measure(name, connections, arguments.seconds))


if __name__ == "__main__":
    main()
