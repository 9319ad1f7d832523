"""Turn a claimed attempt into a process: artifact, checkpoints, credential, launch record."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from runtara.core.engine import Engine
from runtara.core.model import LaunchOrder
from runtara.environment.images import ImageRegistry
from runtara.environment.logs import InstanceDirectories
from runtara.environment.patience import insist
from runtara.environment.runner.base import Launched, LaunchFailed, LaunchRequest, ResourceLimits, Runner
from runtara.errors import RuntaraError, Unavailable
from runtara.limits import PREFETCH_BYTES_MAX
from runtara.protocol.launch import KnownCheckpoint, LaunchRecord

__all__ = ("LaunchSettings", "Launcher")

# A larger input is asked for by the program: the record stays small enough to be read in a moment.
_INPUT_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """What every attempt of a server is told, and may use."""

    server_address: str
    """The instance endpoint, ``host:port``: ours, or that of another server on the same database."""
    quic: str = ""
    sleep_threshold_s: float = 30.0
    limits: ResourceLimits = field(default_factory=ResourceLimits)


class Launcher:
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        *,
        images: ImageRegistry,
        directories: InstanceDirectories,
        runner: Runner,
        settings: LaunchSettings,
    ) -> None:
        self._engine = engine
        self._images = images
        self._directories = directories
        self._runner = runner
        self._settings = settings

    async def launch(self, order: LaunchOrder) -> Launched:
        """The running attempt. An outage of the database is waited out.

        Raises:
            LaunchFailed: nothing runs.
        """
        try:
            artifact = await self._fetch(order)
            record = await self._record(order)
            directory = self._directories.make(order.instance_no)
        except Unavailable as error:
            raise LaunchFailed(error.message, permanent=False) from error
        except RuntaraError as error:
            # No such image, not for this runtime, a limit: the next attempt would meet it again.
            raise LaunchFailed(error.message, permanent=True) from error
        except OSError as error:
            raise LaunchFailed(f"this host cannot launch it: {error}", permanent=False) from error
        return await self._runner.launch(
            LaunchRequest(
                instance_no=order.instance_no,
                artifact=artifact,
                directory=directory,
                record=record,
                limits=self._settings.limits,
            )
        )

    async def _fetch(self, order: LaunchOrder) -> Path:
        if order.image_no is None:
            raise LaunchFailed("the instance has no image", permanent=True)
        return await insist(self._engine.clock, partial(self._images.fetch, order.image_no))

    async def _record(self, order: LaunchOrder) -> LaunchRecord:
        read = partial(
            self._engine.persistence.read_checkpoints, order.instance_no, after=None, bytes_max=PREFETCH_BYTES_MAX
        )
        checkpoints, complete = await insist(self._engine.clock, read)
        return LaunchRecord(
            instance_id=order.instance_id,
            tenant_id=order.tenant_id,
            epoch=order.epoch,
            server_address=self._settings.server_address,
            psk=self._engine.credentials.mint(order.instance_no, order.epoch),
            quic=self._settings.quic,
            input=order.input if len(order.input) <= _INPUT_BYTES_MAX else None,
            checkpoints=tuple(KnownCheckpoint(row.key, row.state) for row in checkpoints),
            checkpoints_complete=complete,
            sleep_threshold_s=self._settings.sleep_threshold_s,
            env=dict(order.env),
        )
