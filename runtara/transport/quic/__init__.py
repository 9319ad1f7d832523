"""QUIC by our own endpoint over the sans-I/O connections of aioquic or qh3. ``quic_transport`` is the door."""

from __future__ import annotations

from collections.abc import Callable

from runtara.transport.base import Address, Channel, ChannelHandler, ClientOptions, Listener, ServerOptions, Transport
from runtara.transport.quic.client import dial
from runtara.transport.quic.libraries import Library, load_library
from runtara.transport.quic.listener import listen

__all__ = ("QuicTransport", "quic_transport")


class QuicTransport:
    """See ``Transport``. Keeps no state: any number of listeners and connections, on any event loop."""

    def __init__(self, library: Library) -> None:
        self._library = library

    @property
    def name(self) -> str:
        """See ``Transport.name``."""
        return f"quic/{self._library.name}"

    async def listen(self, address: Address, options: ServerOptions, accept: Callable[[], ChannelHandler]) -> Listener:
        """See ``Transport.listen``."""
        return await listen(self._library, address, options, accept)

    async def connect(self, address: Address, options: ClientOptions, handler: ChannelHandler) -> Channel:
        """See ``Transport.connect``."""
        return await dial(self._library, address, options, handler)


def quic_transport(library: str | None = None) -> Transport:
    """QUIC with the named library, ``aioquic`` or ``qh3``; without a name with qh3 where it is installed.

    Raises:
        InvalidRequest: there is no such library, or it is not installed.
    """
    return QuicTransport(load_library(library))
