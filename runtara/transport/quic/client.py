"""The client's side: dialling, proving itself, staying alive, and noticing quickly that the server is gone."""

from __future__ import annotations

import asyncio
import hmac
from time import monotonic
from typing import Final

from runtara.errors import BadCredential, RuntaraError, Unavailable
from runtara.transport.base import Address, ChannelHandler, ClientOptions
from runtara.transport.quic.channel import OPENING, SERVER_OPENING_BYTES, Phase, QuicChannel
from runtara.transport.quic.endings import BROKEN, NO_CREDENTIAL
from runtara.transport.quic.endpoint import FAR_DATAGRAM_BYTES, Endpoint
from runtara.transport.quic.libraries import Library
from runtara.transport.quic.packets import RESET_TOKEN_BYTES, parse_long_header
from runtara.transport.quic.sockets import SocketAddress, is_loopback, open_client_socket, resolve

__all__ = (
    "ClientChannel",
    "dial",
)

_DATAGRAMS_PER_WAKE: Final = 8
_BUFFER_BYTES: Final = 2 * 1024 * 1024

_REFUSALS_UNTIL_LOST: Final = 2


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


class ClientChannel(QuicChannel):
    """The client's side: it proves itself, keeps the connection alive and notices quickly when the server is gone."""

    __slots__ = ("_awaiting", "_options", "_ping_at", "_pings", "_refusals", "_reset_token", "is_open")

    def __init__(
        self, endpoint: Endpoint, address: SocketAddress, *, options: ClientOptions, handler: ChannelHandler
    ) -> None:
        super().__init__(endpoint, address, handshake_timeout_s=options.connect_timeout_s)
        self._options = options
        self._awaiting = handler
        self._ping_at = 0.0
        self._pings = 0
        self._refusals = 0
        self._reset_token = b""
        self.is_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the channel is open, or with the error that it ended with before."""

    def feed(self, now: float) -> None:
        """See ``QuicChannel.feed``."""
        self._refusals = 0
        super().feed(now)

    def refused(self) -> None:
        """The system says that nobody listens there (any more): ICMP, which on one host is as good as an answer.

        Before the channel is open that is final. Afterwards a ping asks again, and the second refusal without any
        datagram in between means that the server is gone.
        """
        self._refusals += 1
        if self.phase < Phase.OPEN:
            self.end(Unavailable("nobody listens there"))
        elif self._refusals >= _REFUSALS_UNTIL_LOST:
            self.end(Unavailable("the server is gone"))
        elif self.phase is not Phase.CLOSED:
            self._ping(monotonic())

    def reset(self, datagram: bytes) -> None:
        """A datagram that belongs to no connection: the server says that it does not know this one, if it proves it."""
        if self._reset_token and hmac.compare_digest(datagram[-RESET_TOKEN_BYTES:], self._reset_token):
            self.end(Unavailable("the server was restarted"))

    def end(self, error: RuntaraError | None) -> None:
        """See ``QuicChannel.end``."""
        super().end(error)
        if not self.is_open.done():
            self.is_open.set_exception(error or Unavailable("the server closed the connection"))
            # Whoever gave up waiting does not hear it, and need not.
            self.is_open.exception()

    def _shaken(self, *, is_resumed: bool) -> None:
        if self._options.psk is not None and not is_resumed:
            # The server fell back to its certificate, so it did not know the credential; or it is an impostor.
            refusal = "the server does not know the credential; it was used before, or has expired"
            self.abort(NO_CREDENTIAL, refusal, BadCredential(refusal))
            return
        self.phase = Phase.OPENING
        self._outbox.append(OPENING)

    def _open(self) -> bytes:
        if len(self._early) < SERVER_OPENING_BYTES:
            return b""
        if not self._early.startswith(OPENING):
            self.abort(BROKEN, "unknown opening", Unavailable("the server speaks something else"))
            return b""
        self._reset_token = self._early[len(OPENING) : SERVER_OPENING_BYTES]
        rest, self._early = self._early[SERVER_OPENING_BYTES:], b""
        self._opened(self._awaiting)
        if not self.is_open.done():
            self.is_open.set_result(None)
        return rest

    def _own_deadline(self) -> float:
        if self.phase is not Phase.OPEN:
            return self._ends_at
        return max(self.last_received + self._options.ping_interval_s, self._ping_at)

    def _run_timer(self, now: float) -> None:
        if self.phase is Phase.OPEN and now >= self._own_deadline():
            self._ping(now)
        super()._run_timer(now)

    def _ping(self, now: float) -> None:
        self._pings += 1
        self._ping_at = now + self._options.ping_interval_s
        self.connection.send_ping(self._pings)
        self.endpoint.touch(self)


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

    def _refused(self) -> None:
        super()._refused()
        for channel in tuple(self.channels):
            assert isinstance(channel, ClientChannel)
            channel.refused()

    def _first_packet(self, datagram: bytes, sockaddr: SocketAddress) -> QuicChannel | None:
        header = parse_long_header(datagram)
        return None if header is None else self._routes.get(header.destination)

    def _unknown(self, datagram: bytes, sockaddr: SocketAddress) -> None:
        for channel in tuple(self.channels):
            assert isinstance(channel, ClientChannel)
            channel.reset(datagram)
