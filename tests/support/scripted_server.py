"""A management server that says what a test tells it to, over the memory transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from runtara.errors import InvalidRequest, RuntaraError
from runtara.protocol import messages as m
from runtara.transport.base import Address, Listener, ServerOptions
from runtara.transport.memory import MemoryNetwork
from runtara.transport.peer import Peer, Reply, listen_peers
from tests.support.certificates import certificates

ADDRESS = Address("server", 8002)
HOLD = "answered when the test says so"


class ScriptedServer:
    """Answers by message type; a missing answer is silence. Every request is kept, in order."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.answers: dict[type[m.Message], Any] = {m.Hello: m.Welcome(1, "scripted")}
        self.requests: list[m.Message] = []
        self.peers: list[Peer] = []
        self.held: list[Reply] = []
        self._listener: Listener | None = None
        self._arrived = anyio.Event()

    def on(self, kind: type[m.Message], *answers: Any) -> None:
        """Answer requests of that kind so: a message, an error, None for silence, or a function of the request.
        ``HOLD`` puts the reply into ``held``.

        Of several answers each is given once, and the last one for ever after.
        """
        left = list(answers)
        self.answers[kind] = lambda request: left.pop(0) if len(left) > 1 else left[0]

    def of(self, kind: type[m.Message]) -> list[Any]:
        """The requests of that kind so far."""
        return [request for request in self.requests if isinstance(request, kind)]

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns when it holds, looking again after each request."""
        while not condition():
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def listen(self) -> None:
        options = ServerOptions(certificate_pem=certificates().leaf, private_key_pem=certificates().leaf_key)
        self._listener = await listen_peers(self.network.transport(), ADDRESS, options, lambda: self)

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.aclose()

    # ---- PeerHandler

    def opened(self, peer: Peer) -> None:
        self.peers.append(peer)

    def closed(self, peer: Peer, error: Exception | None) -> None:
        self.peers.remove(peer)

    def pushed(self, peer: Peer, message: m.Message) -> None:
        raise AssertionError("clients push nothing")

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        self.requests.append(message)
        answer = self.answers.get(type(message))
        while callable(answer):
            answer = answer(message)
        self._arrived.set()
        if answer is HOLD:
            self.held.append(reply)
        elif isinstance(answer, RuntaraError):
            reply.fail(answer)
        elif answer is not None:
            reply.send(answer)
        elif type(message) not in self.answers:
            reply.fail(InvalidRequest(f"no answer to {type(message).__name__} was written"))
        return True


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(MemoryNetwork())
    await server.listen()
    try:
        yield server
    finally:
        await server.close()
