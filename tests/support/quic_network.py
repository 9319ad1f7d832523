"""QUIC on loopback as a network of the fake instance server: real processes can connect; nothing is cut on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from runtara.transport.base import Transport
from runtara.transport.quic import quic_transport


@dataclass(frozen=True)
class QuicNetwork:
    library: str

    def transport(self) -> Transport:
        return quic_transport(self.library)

    def cut(self) -> int:
        return 0

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, callback)
