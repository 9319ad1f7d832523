"""The examples of ``examples/scenarios``: what belongs to each, and the world that it runs in.

A world is ``<name>.world.json``: under ``http`` what services answer, by method and path, in turn, the last answer
again and again; under ``connections`` what the service says that knows them; under ``llm`` what a language model says,
turn by turn; under ``signals`` what people send. The same request (by its ``Idempotency-Key``) gets the same answer
again, as good services do it, unless it was told to come back later. What the world does not know is answered with 404.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runtara.sdk.memory_store import MemoryInstanceStore, SignalListener
from runtara.testing import RunResult, ScriptedSignal, run_scenario
from tests.support.http_server import Answer, Request, recording_http_server
from tests.support.llm_server import LlmServer, Said, calls

FOLDER: Final = Path(__file__).parents[2] / "examples" / "scenarios"

ELSEWHERE: Final = "https://api.example.com"
"""Where the services of all examples are, as they are written."""


_CONNECTIONS: Final = "/connections"


def moved(value: Any, url: str) -> Any:
    """The same, with the services at another place."""
    return json.loads(json.dumps(value).replace(ELSEWHERE, url))


@dataclass(frozen=True)
class Example:
    """A scenario with its input, its expected output, and its world."""

    name: str

    @property
    def path(self) -> Path:
        """Of the scenario."""
        return FOLDER / f"{self.name}.json"

    @property
    def document(self) -> bytes:
        """The scenario, as it is written."""
        return self.path.read_bytes()

    @property
    def input(self) -> Any:
        """What is given to it."""
        return json.loads(self._part("input").read_text())

    @property
    def expected(self) -> Any:
        """What must come of it."""
        return json.loads(self._part("expected").read_text())

    @property
    def world(self) -> dict[str, Any]:
        """See the module."""
        path = self._part("world")
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def signals(self) -> list[ScriptedSignal]:
        """What people send."""
        return [
            ScriptedSignal(kind="custom", name=each["name"], payload=each["payload"], after_step=each.get("after"))
            for each in self.world.get("signals", [])
        ]

    @property
    def children(self) -> dict[str, bytes]:
        """All scenarios that others may start, by id."""
        return {path.stem: path.read_bytes() for path in sorted((FOLDER / "children").glob("*.json"))}

    def input_at(self, url: str) -> Any:
        """The input, with the services at another place."""
        return moved(self.input, url)

    def _part(self, kind: str) -> Path:
        return FOLDER / f"{self.name}.{kind}.json"


def examples() -> list[Example]:
    """All that have an input and an expected output."""
    return [Example(path.name.removesuffix(".input.json")) for path in sorted(FOLDER.glob("*.input.json"))]


class ExampleWorld(LlmServer):
    """The services of an example, on loopback."""

    def __init__(self, world: dict[str, Any]) -> None:
        super().__init__()
        self._services = {place: _answers(written) for place, written in world.get("http", {}).items()}
        self._connections = world.get("connections", {})
        self._done: dict[str, Answer] = {}
        self.say(*(_said(each) for each in world.get("llm", [])))

    def next_answer(self, request: Request) -> Answer:
        """See ``RecordingServer.next_answer``."""
        if request.path.endswith("/chat/completions"):
            return super().next_answer(request)
        if request.path.startswith(_CONNECTIONS):
            return self._connection(request)
        key = request.headers.get("idempotency-key", "")
        if key in self._done:
            return self._done[key]
        answer = self._from_script(request)
        if answer.status < 500 and answer.status != 429:
            self._done[key] = answer
        return answer

    @property
    def connection_url(self) -> str:
        """Of the service that knows the connections."""
        return f"{self.url}{_CONNECTIONS}"

    def _connection(self, request: Request) -> Answer:
        found = self._connections.get(request.path.rpartition("/")[2])
        return super()._connection(request) if found is None else Answer(200, moved(found, self.url))

    def _from_script(self, request: Request) -> Answer:
        script = self._services.get(f"{request.method} {request.path}", [Answer(404)])
        return script.pop(0) if len(script) > 1 else script[0]


def _answers(written: Any) -> list[Answer]:
    return [_answer(each) for each in (written if isinstance(written, list) else [written])]


def _answer(written: dict[str, Any]) -> Answer:
    body = written["text"].encode() if "text" in written else written.get("body", {})
    return Answer(written.get("status", 200), body, written.get("headers", {}))


def _said(written: Any) -> str | Said:
    if isinstance(written, str):
        return written
    return calls(*((each["tool"], each["arguments"]) for each in written["calls"]), text=written.get("text", ""))


@dataclass(kw_only=True)
class WatchedStore(MemoryInstanceStore):
    """A store that notes what was recorded, and what the world had been asked, when each attempt began."""

    world: ExampleWorld = field(repr=False)
    begun: list[tuple[frozenset[str], int]] = field(default_factory=list)

    def begin_attempt(self, listener: SignalListener) -> int:
        """See ``MemoryInstanceStore``."""
        self.begun.append((frozenset(self.checkpoints), len(self.world.requests)))
        return super().begin_attempt(listener)

    def repeated(self) -> list[str]:
        """The keys of the requests that came again although their result was recorded."""
        asked = [request.headers.get("idempotency-key", "") for request in self.world.requests]
        return [key for recorded, before in self.begun for key in asked[before:] if key.partition(":")[2] in recorded]


async def run_example(example: Example, **more: Any) -> tuple[RunResult, WatchedStore]:
    """What comes of it in its world; ``more`` is for ``run_scenario``."""
    world = ExampleWorld(example.world)
    async with recording_http_server(world):
        store = WatchedStore(world=world)
        result = await run_scenario(
            example.document,
            example.input_at(world.url),
            children=example.children,
            signals=example.signals,
            connection_url=world.connection_url,
            store=store,
            **more,
        )
    return result, store
