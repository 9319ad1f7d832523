"""Serving: one socket for all connections, and what keeps strangers from filling it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial

from runtara.transport.base import Address, ChannelHandler, ServerOptions
from runtara.transport.quic.channel import LINGER_S, QuicChannel, ServerChannel
from runtara.transport.quic.endpoint import FAR_DATAGRAM_BYTES, Endpoint
from runtara.transport.quic.libraries import QUIC_VERSION_1, Library
from runtara.transport.quic.packets import (
    INITIAL_BYTES_MIN,
    LongHeader,
    ResetTokens,
    parse_long_header,
    version_negotiation,
)
from runtara.transport.quic.sockets import SocketAddress, is_loopback, open_server_socket, resolve

__all__ = ("QuicListener", "listen")

_DATAGRAMS_PER_WAKE = 64


async def listen(
    library: Library, address: Address, options: ServerOptions, accept: Callable[[], ChannelHandler]
) -> QuicListener:
    """See ``Transport.listen``."""
    family, sockaddr = (await resolve(address))[0]
    sock = open_server_socket(family, sockaddr, address=address, buffer_bytes=options.receive_buffer_bytes)
    try:
        return QuicListener(_ServerEndpoint(library, sock, options=options, accept=accept), sock)
    except BaseException:
        sock.close()
        raise


class QuicListener:
    """See ``Listener``."""

    def __init__(self, endpoint: _ServerEndpoint, sock: socket.socket) -> None:
        host, port = sock.getsockname()[:2]
        self.address = Address(host, port)
        self._endpoint = endpoint

    async def aclose(self) -> None:
        """See ``Listener.aclose``. Waits until the clients have what was sent, at most about a second."""
        endpoint = self._endpoint
        endpoint.is_accepting = False
        for channel in tuple(endpoint.channels):
            channel.close(reason="the listener closes")
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * LINGER_S):
                    await endpoint.emptied.wait()
        finally:
            endpoint.close()


class _ServerEndpoint(Endpoint):
    """Lets connections in."""

    def __init__(
        self,
        library: Library,
        sock: socket.socket,
        *,
        options: ServerOptions,
        accept: Callable[[], ChannelHandler],
    ) -> None:
        # First what can fail: from then on the socket is read.
        configure = partial(library.server_configuration, options)
        self._near = configure(datagram_bytes=library.near_datagram_bytes)
        self._far = configure(datagram_bytes=FAR_DATAGRAM_BYTES)
        resets = ResetTokens(options.private_key_pem, port=sock.getsockname()[1])
        super().__init__(library, sock, datagrams_per_wake=_DATAGRAMS_PER_WAKE, resets=resets)
        self.is_accepting = True
        self._options = options
        self._accept = accept

    def _first_packet(self, datagram: bytes, sockaddr: SocketAddress) -> QuicChannel | None:
        header = parse_long_header(datagram)
        if header is None:
            return None
        known = self._routes.get(header.destination)
        if known is not None or len(datagram) < INITIAL_BYTES_MIN or header.version == 0:
            return known
        if header.version != QUIC_VERSION_1:
            self.send([(version_negotiation(header, (QUIC_VERSION_1,)), sockaddr)])
            return None
        return self._let_in(header, sockaddr) if header.is_initial and self._has_room else None

    @property
    def _has_room(self) -> bool:
        return (
            self.is_accepting
            and len(self.channels) < self._options.connections_max
            and len(self.half_open) < self._options.half_open_max
        )

    def _let_in(self, header: LongHeader, sockaddr: SocketAddress) -> QuicChannel:
        channel = ServerChannel(self, sockaddr, options=self._options, accept=self._accept)
        configuration = self._near if is_loopback(sockaddr) else self._far
        channel.connection = self.library.accept(
            configuration, destination=header.destination, find_ticket=channel.find_ticket
        )
        self.add(channel, header.destination, channel.connection.host_cid)
        return channel

    def _unknown(self, datagram: bytes, sockaddr: SocketAddress) -> None:
        assert self.resets is not None
        if (reset := self.resets.reset(datagram)) is not None:
            self.send([(reset, sockaddr)])
