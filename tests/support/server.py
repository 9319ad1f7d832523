"""`runtara serve` as a child process: started, waited for, killed and started again, as an operator would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtara.client import Client
from runtara.errors import Unavailable

READY_S = 60.0

# What a server of a test may inherit: nothing that configures a Runtara or a PostgreSQL of the developer.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "RUNTARA_QUIC", "RUNTARA_NATIVE")


@dataclass
class ServerProcess:
    """A server on a data directory. ``start`` returns when it is ready; ``kill`` is SIGKILL."""

    data_dir: Path
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """Everything that it has written to stderr, over all starts."""
        path = self._log_path
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self.process is not None
        return self.process.pid

    @property
    def _log_path(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}.log"

    async def start(self) -> ServerProcess:
        """Ready when this returns. Ports are kept over restarts, so that its instances find it again."""
        ours = os.environ  # noqa: TID251 (tests have no configuration of their own)
        environment = {name: ours[name] for name in _INHERITED if name in ours}
        environment |= {"DATA_DIR": str(self.data_dir), **self._ports(), **self.env}
        with self._log_path.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "runtara.cli", "serve", "--json", *self.arguments,
                env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await self.process.stdout.readline()
        assert line, f"the server ended before it was ready:\n{self.log[-4000:]}"
        self.ready = json.loads(line)
        return self

    async def kill(self) -> None:
        """SIGKILL; gone when this returns."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, as an operator's deploy does; the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def _ports(self) -> dict[str, str]:
        def port(name: str) -> str:
            return self.ready[name].rpartition(":")[2] if self.ready.get(name) else "0"

        return {"RUNTARA_QUIC_PORT": port("instance"), "RUNTARA_ENV_QUIC_PORT": port("management")}


@asynccontextmanager
async def serve(data_dir: Path, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[ServerProcess]:
    """A ready server, stopped at the end whatever happened to it."""
    server = ServerProcess(data_dir, env or {}, arguments)
    try:
        yield await server.start()
    except BaseException:
        # pytest shows it with the failure.
        print(server.log[-8000:])
        raise
    finally:
        if server.process is not None and server.process.returncode is None:
            await server.stop()


async def refuses_new_work(data_dir: Path) -> None:
    """Returns when the server says that it is stopping."""
    async with Client.local(data_dir) as client:
        client.request_timeout_s = 0.1
        for _ in range(100):
            try:
                await client.start_instance("chain", instance_id="late")
            except Unavailable as error:
                if "stopping" in error.message:
                    return
    raise AssertionError("it takes new work while it stops")
