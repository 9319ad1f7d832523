"""Dialling: one socket and one connection per client."""

from __future__ import annotations

import asyncio

from runtara.errors import Unavailable
from runtara.transport.base import Address, ChannelHandler, ClientOptions
from runtara.transport.quic.channel import ClientChannel, QuicChannel
from runtara.transport.quic.endpoint import FAR_DATAGRAM_BYTES, Endpoint
from runtara.transport.quic.libraries import Library
from runtara.transport.quic.packets import parse_long_header
from runtara.transport.quic.sockets import SocketAddress, is_loopback, open_client_socket, resolve

__all__ = ("dial",)

_DATAGRAMS_PER_WAKE = 8
_BUFFER_BYTES = 2 * 1024 * 1024


async def dial(library: Library, address: Address, options: ClientOptions, handler: ChannelHandler) -> ClientChannel:
    """See ``Transport.connect``. The addresses of a host share the time and are tried one after the other."""
    found = await resolve(address)
    timeout_s = options.connect_timeout_s / len(found)
    for family, sockaddr in found[:-1]:
        try:
            return await _dial(library, address, family, sockaddr, options, handler, timeout_s=timeout_s)
        except Unavailable:
            # "localhost" has two addresses, and most servers listen at one of them.
            continue
    return await _dial(library, address, *found[-1], options, handler, timeout_s=timeout_s)


async def _dial(
    library: Library,
    address: Address,
    family: int,
    sockaddr: SocketAddress,
    options: ClientOptions,
    handler: ChannelHandler,
    *,
    timeout_s: float,
) -> ClientChannel:
    sock = open_client_socket(family, sockaddr, address=address, buffer_bytes=_BUFFER_BYTES)
    endpoint = _ClientEndpoint(library, sock, peer=sockaddr, datagrams_per_wake=_DATAGRAMS_PER_WAKE)
    channel = endpoint.dial(sockaddr, options, handler)
    try:
        async with asyncio.timeout(timeout_s):
            await channel.is_open
    except TimeoutError:
        channel.close(reason="gave up")
        raise Unavailable(f"nobody answered at {address} within {timeout_s:g} s", address=str(address)) from None
    except BaseException:
        channel.close(reason="gave up")
        raise
    return channel


class _ClientEndpoint(Endpoint):
    """Closes itself with its connection."""

    def dial(self, sockaddr: SocketAddress, options: ClientOptions, handler: ChannelHandler) -> ClientChannel:
        """Begin the handshake."""
        size = self.library.near_datagram_bytes if is_loopback(sockaddr) else FAR_DATAGRAM_BYTES
        configuration = self.library.client_configuration(options, datagram_bytes=size)
        channel = ClientChannel(self, sockaddr, options=options, handler=handler)
        channel.connection = self.library.dial(configuration)
        self.add(channel, channel.connection.host_cid)
        channel.connection.connect(sockaddr, channel.last_received)
        self.touch(channel)
        return channel

    def forget(self, channel: QuicChannel) -> None:
        """See ``Endpoint.forget``."""
        super().forget(channel)
        self.close()

    def _first_packet(self, datagram: bytes, sockaddr: SocketAddress) -> QuicChannel | None:
        header = parse_long_header(datagram)
        return None if header is None else self._routes.get(header.destination)

    def _unknown(self, datagram: bytes, sockaddr: SocketAddress) -> None:
        for channel in tuple(self.channels):
            assert isinstance(channel, ClientChannel)
            channel.reset(datagram)
