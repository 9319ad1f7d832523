"""What the language costs: to compile a scenario, to run its pure steps, and how many commits they take.

    python -m benchmarks.language [--rounds N]

Three tables. Compiling: scenarios of 5, 50 and 500 steps, whose time should grow with their steps and with nothing
else. Running: 1,000 pure steps of the work that scenarios do (map fields, sort lines, make a slug, hash), in this
process and as an instance of the real server on a PostgreSQL with fsync, beside the same calls as plain Python.
Committing: transactions of the database for each step, pure and with effects (requests to a server on loopback).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from benchmarks.loops import run
from benchmarks.serving import Served, serving
from runtara.agents.builtin.crypto import Crypto
from runtara.agents.builtin.text import Text
from runtara.agents.builtin.transform import Transform
from runtara.client import Client
from runtara.compiler import CompilationInput, compile_scenario
from runtara.compiler.backend.memory import load_module
from runtara.compiler.compilation import Translation, translate_scenario
from runtara.sdk.memory import MemoryDurable, MemoryInstanceStore
from runtara.stdlib import execute

Document = dict[str, Any]

STEPS: Final = 1_000
"""With the Finish step."""

FEW: Final = 20

ORDER: Final[Any] = {
    "customer": {"name": "Ännchen van Tharau & Söhne", "address": {"city": "Königsberg"}},
    "total": 12.5,
    "lines": [{"sku": f"s{number}", "price": number * 37 % 100, "count": number} for number in range(20)],
}
MAPPINGS: Final = {"customer.name": "name", "customer.address.city": "city", "lines": "lines", "total": "total"}

_PATIENCE_S: Final = 120.0


def immediate(value: Any) -> Document:
    """A constant."""
    return {"valueType": "immediate", "value": value}


def reference(path: str) -> Document:
    """A look-up."""
    return {"valueType": "reference", "value": path}


def step(number: int, call: str, **inputs: Document) -> Document:
    """A step that calls a capability."""
    agent_id, _, capability_id = call.partition("/")
    names = {"stepType": "Agent", "id": f"s{number}", "agentId": agent_id, "capabilityId": capability_id}
    return names | {"inputMapping": inputs}


def pure_step(number: int) -> Document:
    """One of four kinds of work, on what came before."""
    match number % 4:
        case 0:
            order, mappings = reference("data.order"), immediate(MAPPINGS)
            return step(number, "transform/map-fields", source_data=order, mappings=mappings)
        case 1:
            lines = reference(f"steps.s{number - 1}.outputs.result.lines")
            return step(number, "transform/sort", value=lines, property_path=immediate("price"))
        case 2:
            return step(number, "text/slugify", text=reference(f"steps.s{number - 2}.outputs.result.name"))
        case _:
            return step(number, "crypto/hash", data=reference(f"steps.s{number - 1}.outputs"))


def effect_step(number: int) -> Document:
    """A request."""
    return step(number, "http/request", url=reference("data.url"), method=immediate("POST"))


def scenario_of(count: int, make: Callable[[int], Document]) -> Document:
    """So many steps in a row, the Finish step among them."""
    steps = {f"s{number}": make(number) for number in range(count - 1)}
    steps["end"] = {
        "stepType": "Finish",
        "id": "end",
        "inputMapping": {"last": reference(f"steps.s{count - 2}.outputs")},
    }
    plan = [{"fromStep": one, "toStep": other} for one, other in pairwise(steps)]
    return {"steps": steps, "entryPoint": "s0", "executionPlan": plan}


def translated(document: Document | bytes) -> Translation:
    """The document, compiled and not packaged."""
    return translate_scenario(CompilationInput(tenant_id="bench", scenario_id="bench", execution_graph=document))


def median_s(once: Callable[[], float], rounds: int) -> float:
    """The median of what it says."""
    return statistics.median(once() for _ in range(rounds))


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# ---- compiling


def show_compiling(rounds: int) -> None:
    """From JSON to code, with every check."""
    print("\ncompiling             milliseconds   a step")
    for count in (5, 50, 500):
        document = msgspec.json.encode(scenario_of(count, pure_step))
        seconds = median_s(partial(timed, partial(translated, document)), rounds)
        print(f"{count:5} steps {seconds * 1e3:22.1f} {seconds / count * 1e6:6.0f} µs", flush=True)


# ---- running


def plain() -> None:
    """The same calls, as somebody would write them by hand."""
    transform, text, crypto = Transform(), Text(), Crypto()
    mapped: Any = None
    slug: Any = ""
    for number in range(STEPS - 1):
        match number % 4:
            case 0:
                mapped = transform.map_fields(ORDER, MAPPINGS)
            case 1:
                transform.sort(mapped.result["lines"], "price")
            case 2:
                slug = text.slugify(mapped.result["name"])
            case _:
                crypto.hash(slug)


def in_process(module: Any) -> float:
    """Seconds of a run on an instance in memory."""

    async def once() -> float:
        durable = MemoryDurable(MemoryInstanceStore(input=msgspec.json.encode({"data": {"order": ORDER}})))
        begun = time.perf_counter()
        await execute(module, durable)
        return time.perf_counter() - begun

    return asyncio.run(once())


async def elapsed_s(client: Client, image: str, data: Document) -> float:
    """Seconds from the request to the result."""
    begun = time.perf_counter()
    handle = await client.start_instance(image, input={"data": data})
    await handle.result(timeout_s=_PATIENCE_S)
    return time.perf_counter() - begun


async def pushed(client: Client, document: Document, directory: Path, name: str) -> str:
    """The image of a scenario."""
    compilation = CompilationInput(
        tenant_id="default", scenario_id=name, execution_graph=document, output=directory / name
    )
    compiled = compile_scenario(compilation, data_dir=directory)
    return (await client.register_image(compiled.binary_path, name=name)).image_id


async def show_running(served: Served, client: Client, directory: Path, rounds: int) -> None:
    """Steps a second, durable, beside plain Python."""
    many = scenario_of(STEPS, pure_step)
    module = load_module(translated(many).layer)
    floor_s = median_s(lambda: timed(plain), rounds)
    memory_s = await asyncio.to_thread(median_s, lambda: in_process(module), rounds)
    images = [await pushed(client, scenario_of(count, pure_step), directory, f"pure-{count}") for count in (FEW, STEPS)]
    seen = [[await elapsed_s(client, image, {"order": ORDER}) for image in images] for _ in range(rounds)]
    # A launch costs the same for few steps: what is left is what the steps cost.
    durable_s = statistics.median(most - least for least, most in seen) * STEPS / (STEPS - FEW)
    print("\n1,000 pure steps           steps/s    a step   times plain Python")
    for what, seconds in (("plain Python", floor_s), ("in process", memory_s), ("real instance", durable_s)):
        each = f"{seconds / STEPS * 1e6:6.1f} µs"
        print(f"{what:22} {STEPS / seconds:11,.0f} {each:>9} {seconds / floor_s:12.1f}", flush=True)


# ---- committing


async def commits_for(url: str, work: Callable[[], Awaitable[object]]) -> int:
    """Transactions that have written something while it ran: each takes a number."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def next_number() -> int:
            cursor = await connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            row = await cursor.fetchone()
            assert row is not None
            return int(row[0])

        before = await next_number()
        await work()
        return await next_number() - before


async def show_committing(served: Served, client: Client, directory: Path) -> None:
    """Commits a step."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    print("\ncommits a step")
    for what, count, make in (("pure", STEPS, pure_step), ("with effects", 200, effect_step)):
        sizes = (FEW, count)
        images = [await pushed(client, scenario_of(size, make), directory, f"{what[:4]}-{size}c") for size in sizes]
        data = {"order": ORDER, "url": url}
        commits = [await commits_for(served.embedded_url, partial(elapsed_s, client, image, data)) for image in images]
        each = (commits[1] - commits[0]) / (count - FEW)
        print(f"{what:14} {count:5} steps {commits[1]:6} commits, {each:.3f} for a further step", flush=True)
    server.close()


async def measure(arguments: argparse.Namespace) -> None:
    """Print the three tables."""
    show_compiling(arguments.rounds)
    with tempfile.TemporaryDirectory(prefix="runtara-bench-") as name:
        directory = Path(name)
        async with serving() as served, Client.local(served.data.root) as client:
            await show_running(served, client, directory, arguments.rounds)
            await show_committing(served, client, directory)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args(words)


if __name__ == "__main__":
    run(measure(parse()))
