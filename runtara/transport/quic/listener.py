"""Serving: one socket for all connections, and what keeps strangers from filling it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from runtara.errors import BadCredential, Unavailable
from runtara.transport.base import Address, ChannelHandler, PskIdentity, ServerOptions
from runtara.transport.quic.channel import LINGER_S, OPENING, Phase, QuicChannel
from runtara.transport.quic.endings import BROKEN, NO_CREDENTIAL
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

__all__ = (
    "QuicListener",
    "ServerChannel",
    "listen",
)

_DATAGRAMS_PER_WAKE: Final = 64


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


class ServerChannel(QuicChannel):
    """The server's side: it lets a connection in."""

    __slots__ = ("_accept", "_options", "_resets", "_shown")

    def __init__(
        self,
        endpoint: Endpoint,
        address: SocketAddress,
        *,
        options: ServerOptions,
        accept: Callable[[], ChannelHandler],
        resets: ResetTokens,
    ) -> None:
        super().__init__(endpoint, address, handshake_timeout_s=options.handshake_timeout_s)
        self._options = options
        self._accept = accept
        self._resets = resets
        self._shown: PskIdentity | None = None

    def find_ticket(self, label: bytes) -> Any:
        """The library asks for the credential that a client shows, before it looks whether the secret fits."""
        found = self._options.credentials.find(label) if self._options.credentials is not None else None
        if found is None:
            return None
        psk, self._shown = found
        return self.endpoint.library.ticket(psk)

    def _shaken(self, *, is_resumed: bool) -> None:
        if is_resumed:
            self.identity = self._shown
        elif self._options.requires_psk:
            refusal = "the listener lets in minted credentials only"
            self.abort(NO_CREDENTIAL, refusal, BadCredential(refusal))
            return
        self.phase = Phase.OPENING

    def _open(self) -> bytes:
        opening, rest = self._early[:1], self._early[1:]
        if opening != OPENING:
            self.abort(BROKEN, "unknown opening", Unavailable("the client speaks something else"))
            return b""
        self._early = b""
        self._opened(self._accept())
        return rest

    def _opened(self, handler: ChannelHandler) -> None:
        self._outbox.append(OPENING + self._resets.token(self.connection.host_cid))
        self.endpoint.touch(self)
        super()._opened(handler)


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
        self.resets = ResetTokens(options.private_key_pem, port=sock.getsockname()[1])
        super().__init__(library, sock, datagrams_per_wake=_DATAGRAMS_PER_WAKE)
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
        channel = ServerChannel(self, sockaddr, options=self._options, accept=self._accept, resets=self.resets)
        configuration = self._near if is_loopback(sockaddr) else self._far
        channel.connection = self.library.accept(
            configuration, destination=header.destination, find_ticket=channel.find_ticket
        )
        self.add(channel, header.destination, channel.connection.host_cid)
        return channel

    def _unknown(self, datagram: bytes, sockaddr: SocketAddress) -> None:
        if (reset := self.resets.reset(datagram)) is not None:
            self.send([(reset, sockaddr)])
