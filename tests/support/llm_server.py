"""A service with a model that says what it is told to, in the shapes of OpenAI and of Anthropic; and its connections.

::

    async with llm_server() as llm:
        llm.say(calls(("search", {"query": "x"})), "It is x.")  # turn by turn
        await run_scenario(document, {}, connection_url=llm.url)
        assert len(llm.turns) == 2

The connections ``openai`` and ``anthropic`` lead back to it. A repetition with the same ``Idempotency-Key`` gets the
same answer and uses up nothing of the script.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.http_server import Answer, RecordingServer, Request, recording_http_server

API_KEY = "sk-very-secret-0123456789"

Said = dict[str, Any]


def calls(*wanted: tuple[str, Any], text: str = "") -> Said:
    """A turn that calls tools."""
    return {"text": text, "calls": wanted}


class LlmServer(RecordingServer):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._script: list[str | Said | Answer] = []
        self._given: dict[str, Answer] = {}
        self._count = 0
        self.connection_answer: Answer | None = None
        """What who asks for a connection gets instead."""

    def say(self, *script: str | Said | Answer) -> None:
        """What the model says from now on; an ``Answer`` goes out as it is."""
        self._script = list(script)

    @property
    def turns(self) -> list[Request]:
        """What the model was asked."""
        return [request for request in self.requests if _is_turn(request)]

    @property
    def unsaid(self) -> int:
        """What is left of the script."""
        return len(self._script)

    def next_answer(self, request: Request) -> Answer:
        """See ``RecordingServer.next_answer``."""
        if not _is_turn(request):
            return self.connection_answer or self._connection(request)
        key = request.headers["idempotency-key"]
        if key not in self._given:
            answer = self._next(request)
            if answer.status != 200 or answer.hangs or answer.breaks:
                return answer
            self._given[key] = answer
        return self._given[key]

    def _connection(self, request: Request) -> Answer:
        kind = request.path.rpartition("/")[2]
        bases = {"openai": f"{self.url}/v1", "anthropic": self.url}
        if kind not in bases:
            return Answer(404)
        parameters = {"api_key": API_KEY, "base_url": bases[kind]}
        return Answer(200, {"parameters": parameters, "integration_id": f"{kind}_api_key"})

    def _next(self, request: Request) -> Answer:
        if not self._script:
            return Answer(400, {"error": {"message": "the script is at its end"}})
        said = self._script.pop(0)
        if isinstance(said, Answer):
            return said
        said = {"text": said, "calls": ()} if isinstance(said, str) else said
        self._count += 1
        shape = _openai if request.path.endswith("/chat/completions") else _anthropic
        return Answer(200, shape(said, f"id{self._count}"))


def _is_turn(request: Request) -> bool:
    return request.path.endswith(("/chat/completions", "/messages"))


def _openai(said: Said, prefix: str) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": said["text"] or None}
    if said["calls"]:
        message["tool_calls"] = [
            {
                "id": f"{prefix}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for number, (name, given) in enumerate(said["calls"])
        ]
    return {"id": prefix, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def _anthropic(said: Said, prefix: str) -> Any:
    text = [{"type": "text", "text": said["text"]}] if said["text"] else []
    used = [
        {"type": "tool_use", "id": f"{prefix}_{number}", "name": name, "input": given}
        for number, (name, given) in enumerate(said["calls"])
    ]
    return {"id": prefix, "type": "message", "role": "assistant", "content": [*text, *used], "stop_reason": "end_turn"}


@asynccontextmanager
async def llm_server() -> AsyncIterator[LlmServer]:
    """The service, on a free port of loopback."""
    server = LlmServer()
    async with recording_http_server(server):
        yield server
