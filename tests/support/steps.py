"""The world that a scenario of the crash tests acts upon: an HTTP server that counts, and that can make a step wait.

``hold(path)`` lets the next request to a path arrive and not be answered: the moment for a kill is then an event.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request, as it arrived."""

    path: str
    idempotency_key: str | None
    at: float
    """Time of the event loop."""


class World:
    """What happened out there."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self._held: dict[str, asyncio.Event] = {}
        self._failures: Counter[str] = Counter()
        self._arrived: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def counts(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(request.path for request in self.requests)

    def keys(self, path: str) -> set[str | None]:
        """The idempotency keys that came with the requests to a path."""
        return {request.idempotency_key for request in self.requests if request.path == path}

    @property
    def held(self) -> tuple[str, ...]:
        """The paths whose requests wait now."""
        return tuple(self._held)

    def hold(self, path: str) -> None:
        """From now on requests to the path wait."""
        self._held[path] = asyncio.Event()
        self._arrived[path].clear()

    def fail(self, path: str, times: int) -> None:
        """Answer the next requests to the path with status 503."""
        self._failures[path] = times

    def release(self, path: str) -> None:
        """Answer those who wait, and do not hold any more."""
        self._held.pop(path).set()

    async def arrived(self, path: str) -> None:
        """Returns when a request to the path has arrived since the last call."""
        await self._arrived[path].wait()
        self._arrived[path].clear()

    async def asked(self, path: str, times: int) -> None:
        """Returns when the path was asked for so often in all."""
        while self.counts[path] < times:
            await self.arrived(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connections of clients; a client that dies is nothing special."""
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) is not None:
                await self._answer(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # The end of the test cancels who still waits, and asyncio would log that.
        finally:
            writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", "0")))
        path = first.split(" ")[1]
        self.requests.append(Request(path, headers.get("idempotency-key"), asyncio.get_running_loop().time()))
        self._arrived[path].set()
        if (held := self._held.get(path)) is not None:
            await held.wait()
        status = b"200 OK"
        if self._failures[path] > 0:
            self._failures[path] -= 1
            status = b"503 Service Unavailable"
        body = json.dumps({"path": path}).encode()
        head_of_answer = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d" % (status, len(body))
        writer.write(head_of_answer + b"\r\n\r\n" + body)
        await writer.drain()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A world on loopback."""
    it = World()
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()


def chain(url: str, count: int, **step_fields: Any) -> dict[str, Any]:
    """A scenario of ``count`` POST requests in a row, to ``/1`` … ``/count``, and a Finish with the last answer."""
    names = [f"step{n}" for n in range(1, count + 1)]
    steps: dict[str, Any] = {
        name: {
            "stepType": "Agent",
            "id": name,
            "agentId": "http",
            "capabilityId": "request",
            "inputMapping": {
                "method": {"valueType": "immediate", "value": "POST"},
                "url": {"valueType": "immediate", "value": f"{url}/{number}"},
            },
            **step_fields,
        }
        for number, name in enumerate(names, 1)
    }
    steps["finish"] = {
        "stepType": "Finish",
        "id": "finish",
        "inputMapping": {"last": {"valueType": "reference", "value": f"steps.{names[-1]}.outputs"}},
    }
    order = [*names, "finish"]
    plan = [{"fromStep": a, "toStep": b} for a, b in pairwise(order)]
    return {"name": "Chain", "steps": steps, "entryPoint": names[0], "executionPlan": plan}
