"""From nothing to a result: a private server and database, a scenario compiled, registered, run, and all of it gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import msgspec

from runtara.cli.output import emit_json, note
from runtara.cli.session import debug_option
from runtara.client import Client, Instance, InstanceHandle
from runtara.client.records import ended_without_result
from runtara.compiler import CompilationInput, CompilationResult, compile_scenario
from runtara.server import RuntaraServer, ServerConfig

__all__ = ("demo_command",)

_SCENARIO: Final[dict[str, Any]] = {
    "name": "Data Processing",
    "steps": {
        "fetch": {
            "stepType": "Agent",
            "id": "fetch",
            "agentId": "http",
            "capabilityId": "request",
            "inputMapping": {"url": {"valueType": "reference", "value": "data.endpoint"}},
        },
        "transform": {
            "stepType": "Agent",
            "id": "transform",
            "agentId": "transform",
            "capabilityId": "map-fields",
            "inputMapping": {"source": {"valueType": "reference", "value": "steps.fetch.outputs"}},
        },
        "finish": {
            "stepType": "Finish",
            "id": "finish",
            "inputMapping": {"result": {"valueType": "reference", "value": "steps.transform.outputs"}},
        },
    },
    "entryPoint": "fetch",
    "executionPlan": [{"fromStep": "fetch", "toStep": "transform"}, {"fromStep": "transform", "toStep": "finish"}],
}
_ORDERS: Final = {"orders": [{"id": "A-1", "total": 42.0}, {"id": "A-2", "total": 8.5}]}
_RESULT_TIMEOUT_S: Final = 60.0


@click.command()
@debug_option
def demo_command() -> None:
    """Start a private server, run a scenario on it from its JSON to its result, and stop everything again."""
    logging.getLogger("runtara").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="runtara-demo-", ignore_cleanup_errors=True) as directory:
        emit_json(asyncio.run(_demo(Path(directory))))


async def _demo(directory: Path) -> Any:
    note("starting a server with a private PostgreSQL (a few seconds the first time) …")
    config = ServerConfig(data_dir=directory, quic_port=0, env_quic_port=0)
    async with _shop() as endpoint, RuntaraServer(config) as server:
        note(f"serving programs at {server.instance_address}, clients at {server.management_address}")
        compiled = await asyncio.to_thread(_compile, directory)
        note(f"compiled 'Data Processing': {compiled.binary_size} bytes, {compiled.binary_checksum[:12]}…")
        async with Client.local(directory) as client:
            image = await client.register_image(compiled.binary_path, name="data-processing")
            handle = await client.start_instance(image.image_id, input={"endpoint": endpoint})
            note(f"started instance {handle.instance_id}")
            instance = await _follow(handle)
            await _tell_history(client, handle)
            if instance.status != "completed":
                raise ended_without_result(instance)
            return instance.output


def _compile(directory: Path) -> CompilationResult:
    compilation = CompilationInput(
        tenant_id="default", scenario_id="data-processing", execution_graph=msgspec.json.encode(_SCENARIO)
    )
    return compile_scenario(compilation, data_dir=directory)


async def _follow(handle: InstanceHandle) -> Instance:
    async with asyncio.timeout(_RESULT_TIMEOUT_S), aclosing(handle.changes()) as changes:
        async for instance in changes:
            note(f"  {instance.status}")
    return instance


async def _tell_history(client: Client, handle: InstanceHandle) -> None:
    keys = [checkpoint.key async for checkpoint in client.checkpoints(handle.instance_id)]
    note(f"checkpoints, durable in PostgreSQL: {', '.join(reversed(keys))}")


@asynccontextmanager
async def _shop() -> AsyncIterator[str]:
    """A web shop that answers every request with its orders; its URL."""
    body = msgspec.json.encode(_ORDERS)
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/orders"
