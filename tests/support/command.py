"""The runtara command as a child process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "RUNTARA_QUIC", "RUNTARA_NATIVE")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Stdout, which must be JSON documents, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Command:
    """``await command("status", "x")`` on a data directory."""

    directory: Path
    data_dir: Path

    async def __call__(self, *arguments: object, expect: int | None = 0, stdin: bytes = b"", **env: str) -> Done:
        """Run it to its end. ``expect`` is the exit code that it must have; None for any."""
        process = await self.start(*arguments, **env)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        done = Done(process.returncode or 0, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        assert expect in (None, done.code), f"exit code {done.code}\n{done.out}\n{done.err}"
        return done

    async def start(self, *arguments: object, **env: str) -> asyncio.subprocess.Process:
        """Start it."""
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}  # noqa: TID251
        environment |= {"DATA_DIR": str(self.data_dir), **env}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "runtara.cli", *map(str, arguments),
            cwd=self.directory, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
