"""A small HTTP server on loopback that records what it is asked, and answers as it is told.

::

    async with recording_http_server() as server:
        server.answer("/orders", Answer(503), Answer(200, {"id": 7}))  # in turn; the last one again and again
        ...
        assert [request.path for request in server.requests] == ["/orders", "/orders"]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """``body`` is sent as JSON, unless it is bytes. ``hangs``: the answer never comes."""

    status: int = 200
    body: Any = field(default_factory=lambda: {"ok": True})
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    breaks: bool = False
    """The connection is closed instead."""

    def encoded(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        kind = {} if isinstance(self.body, bytes) else {"Content-Type": "application/json"}
        headers = {**kind, **self.headers, "Content-Length": str(len(content))}
        head = f"HTTP/1.1 {self.status} Status\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return head.encode() + b"\r\n" + content


class RecordingServer:
    """See the module."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self._answers: dict[str, list[Answer]] = {}
        self._arrived = asyncio.Condition()

    def answer(self, path: str, *answers: Answer) -> None:
        """What requests to the path get, one after the other; the last answer stays."""
        self._answers[path] = list(answers)

    async def wait_for_requests(self, count: int) -> None:
        """Returns when so many requests have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                async with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                answer = self.next_answer(request)
                if answer.breaks:
                    return
                if answer.hangs:
                    await asyncio.Event().wait()
                data = answer.encoded()
                writer.write(data[: data.index(b"\r\n\r\n") + 4] if request.method == "HEAD" else data)
                await writer.drain()
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def next_answer(self, request: Request) -> Answer:
        """What this request gets."""
        answers = self._answers.get(request.path, [Answer()])
        return answers.pop(0) if len(answers) > 1 else answers[0]


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await _read_body(reader, headers)
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method=method, path=parts.path, query=query, headers=headers, body=body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


@asynccontextmanager
async def recording_http_server(server: RecordingServer | None = None) -> AsyncIterator[RecordingServer]:
    """A server on a free port of loopback, gone at the end with all its connections."""
    recording = server or RecordingServer()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await recording.serve(reader, writer)
        finally:
            connections.discard(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    recording.url = f"http://{host}:{port}"
    try:
        yield recording
    finally:
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await listener.wait_closed()
