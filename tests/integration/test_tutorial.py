"""The tutorial, done as it is written: its files are written, its commands run, its answers are those that it shows.

A file is a block of JSON below a line that begins with its name. In what a command shall print, ``…`` stands for
anything, and lines that are of no interest are left out.
"""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtara.dsl import validate
from tests.support.server import serve

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(
    r"(?:^`(?P<name>[\w.-]+)`[^\n]*:\n\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
SERVICE_PORT = "8090"
RUNTARA = f'runtara() {{ {shlex.quote(sys.executable)} -m runtara.cli "$@"; }}; '


@dataclass(frozen=True)
class Step:
    """A file to write, or a command to type and what it says."""

    file: str = ""
    text: str = ""
    command: str = ""
    said: tuple[str, ...] = ()


def steps() -> Iterator[Step]:
    for block in BLOCK.finditer(TUTORIAL):
        if block["kind"] == "json":
            assert block["name"], "a block of JSON without the name of its file"
            yield Step(file=block["name"], text=block["body"])
        else:
            assert block["kind"] == "console"
            yield from commands(block["body"])


def commands(body: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *said = part.splitlines()
        yield Step(command=command, said=tuple(said))


def is_said(expected: tuple[str, ...], output: str) -> bool:
    """Whether the lines are there, in their order."""
    lines = iter(output.splitlines())
    return all(any(pattern_of(line).fullmatch(found.strip()) for found in lines) for line in expected)


def pattern_of(line: str) -> re.Pattern[str]:
    parts = re.split(r"(…|\s{2,})", line.strip())
    return re.compile("".join(".*" if part == "…" else r"\s+" if part.isspace() else re.escape(part) for part in parts))


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


class Terminal:
    """Where a reader of the tutorial types."""

    def __init__(self, directory: Path, port: str, running: AsyncExitStack) -> None:
        self._directory = directory
        self._port = port
        self._running = running

    def write(self, name: str, text: str) -> None:
        (self._directory / name).write_text(text.replace(SERVICE_PORT, self._port))

    async def type(self, step: Step) -> None:
        if step.command.endswith("&"):
            await self._running.enter_async_context(self._in_background(step.command.removesuffix("&")))
            return
        output = await self._run(step.command)
        async with asyncio.timeout(30):
            # A reader looks again after a moment.
            while step.command.startswith(("runtara status", "runtara events")) and not is_said(step.said, output):
                output = await self._run(step.command)
        assert is_said(step.said, output), f"$ {step.command}\n{output}"
        assert "internal.bug" not in output

    async def _run(self, command: str) -> str:
        process = await self._start(RUNTARA + command)
        out, _ = await process.communicate()
        return out.decode()

    @asynccontextmanager
    async def _in_background(self, command: str) -> AsyncIterator[None]:
        process = await self._start(f"exec {command}")
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            await process.communicate()

    async def _start(self, command: str) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}  # noqa: TID251
        return await asyncio.create_subprocess_exec(
            "bash", "-c", command.replace(SERVICE_PORT, self._port),
            cwd=self._directory, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_tutorial_is_true_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    async with serve(tmp_path / ".data"), AsyncExitStack() as running:
        terminal = Terminal(tmp_path, str(free_port()), running)
        for step in steps():
            if step.file:
                terminal.write(step.file, step.text)
            elif step.command != "runtara serve":
                await terminal.type(step)


def test_the_scenarios_of_the_tutorial_are_valid_except_for_the_broken_one() -> None:
    found = {step.file: json.loads(step.text) for step in steps() if step.file}
    scenarios = {name: document for name, document in found.items() if "steps" in document}
    children = {"ship": scenarios["ship.json"]}
    faults = {name: validate(document, children) for name, document in scenarios.items()}
    assert {each.code for each in faults.pop("broken.json")} == {"E082", "E001"}
    assert {name for name, diagnostics in faults.items() if diagnostics} == set()


def test_the_tutorial_has_everything_that_it_promises() -> None:
    typed = " ".join(step.command for step in steps())
    for word in ("run", "compile", "start", "signal", "status", "checkpoints", "test-crash", "scenario graph"):
        assert f"runtara {word} " in typed


@pytest.mark.parametrize(
    ("said", "output", "expected"),
    [
        (("a  b",), "a    b\n", True),
        (("a", "c"), "a\nb\nc", True),
        (("c", "a"), "a\nb\nc", False),
        (("…b…",), "abc", True),
        (("b",), "abc", False),
        ((), "", True),
    ],
)
def test_what_is_said_is_compared_line_by_line(said: tuple[str, ...], output: str, expected: bool) -> None:
    assert is_said(said, output) is expected
