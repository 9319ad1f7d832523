"""A UDP socket with all its QUIC connections: one reader, one timer, one send pass per wake."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic
from typing import Final

from runtara.errors import Unavailable
from runtara.transport.quic.channel import SMALL_DATAGRAM_BYTES, Phase, QuicChannel
from runtara.transport.quic.deadlines import Deadlines
from runtara.transport.quic.libraries import Library
from runtara.transport.quic.packets import CONNECTION_ID_BYTES, SHORTEST_PACKET_BYTES
from runtara.transport.quic.sockets import Sender, SocketAddress

__all__ = ("FAR_DATAGRAM_BYTES", "Endpoint")

FAR_DATAGRAM_BYTES: Final = 1200
"""What every network carries."""

_RECEIVE_BYTES: Final = 8192
_SHORT_HEADER_BYTES: Final = 1 + CONNECTION_ID_BYTES
_CLOSED: Final = Phase.CLOSED  # bound once, see channel.py


class Endpoint(ABC):
    """What servers and clients share. A client's endpoint has one connection and a connected socket."""

    def __init__(
        self,
        library: Library,
        sock: socket.socket,
        *,
        datagrams_per_wake: int,
        peer: SocketAddress | None = None,
    ) -> None:
        self.library = library
        self.channels: set[QuicChannel] = set()
        self.half_open: set[QuicChannel] = set()
        """Those whose handshake is not done."""
        self.loop = asyncio.get_running_loop()
        self.deadlines: Deadlines[QuicChannel] = Deadlines(self.loop, due=self._due, done=self._flush)
        self.is_closed = False
        self.emptied = asyncio.Event()
        """Set while there is no connection."""
        self.emptied.set()
        self._socket = sock
        self._peer = peer
        self._datagrams_per_wake = datagrams_per_wake
        self._routes: dict[bytes, QuicChannel] = {}
        self._dirty: list[QuicChannel] = []
        self._is_flush_coming = False
        self._sender = Sender(sock, self.loop, is_connected=peer is not None, refused=self._refused)
        self.loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Close the socket; connections that are left end here, and their peers hear nothing. Safe twice."""
        if not self.is_closed:
            self.is_closed = True
            for channel in tuple(self.channels):
                channel.end(Unavailable("the endpoint was closed"))
            self.deadlines.close()
            self._sender.close()
            self.loop.remove_reader(self._socket)
            self._socket.close()

    # ---- what channels ask of their endpoint

    def add(self, channel: QuicChannel, *connection_ids: bytes) -> None:
        """A new connection, known by these ids."""
        self.channels.add(channel)
        self.half_open.add(channel)
        self.emptied.clear()
        for connection_id in connection_ids:
            self.route(channel, connection_id)

    def route(self, channel: QuicChannel, connection_id: bytes) -> None:
        """Datagrams with this id belong to the channel."""
        self._routes[connection_id] = channel
        channel.connection_ids.append(connection_id)

    def unroute(self, channel: QuicChannel, connection_id: bytes) -> None:
        """They do no more."""
        if self._routes.get(connection_id) is channel:
            del self._routes[connection_id]
            channel.connection_ids.remove(connection_id)

    def opened(self, channel: QuicChannel) -> None:
        """The channel's handshake is done."""
        self.half_open.discard(channel)

    def forget(self, channel: QuicChannel) -> None:
        """The channel has ended."""
        for connection_id in tuple(channel.connection_ids):
            self.unroute(channel, connection_id)
        self.channels.discard(channel)
        self.half_open.discard(channel)
        if not self.channels:
            self.emptied.set()

    def touch(self, channel: QuicChannel) -> None:
        """The channel may have something to send: it does so at the end of this step of the loop."""
        if channel.is_dirty or channel.phase is _CLOSED:
            return
        channel.is_dirty = True
        self._dirty.append(channel)
        if not self._is_flush_coming:
            self._is_flush_coming = True
            self.loop.call_soon(self._flush)

    def send(self, datagrams: Sequence[tuple[bytes, SocketAddress]]) -> None:
        """Put datagrams on the wire."""
        if datagrams and not self.is_closed:
            self._sender.send(datagrams)

    # ---- receiving

    def _readable(self) -> None:
        self._is_flush_coming = True  # by us, at the end
        touched: list[QuicChannel] = []
        for datagram, sockaddr in self._receive():
            channel = self._channel_of(datagram, sockaddr)
            if channel is None:
                continue
            if channel.inbox is not None and channel.address != sockaddr:
                channel.feed(monotonic())  # the client moved within this batch
            if channel.inbox is None:
                channel.inbox, channel.address = [datagram], sockaddr
                touched.append(channel)
            else:
                channel.inbox.append(datagram)
        for channel in touched:
            # The time anew for each: a library closes a connection whose time went back, and feeding takes time.
            # And each answers at once: were all fed first, server and clients would work in turns, never together.
            channel.feed(monotonic())
            if channel.is_dirty:
                channel.transmit(monotonic())
        self._flush()

    def _receive(self) -> list[tuple[bytes, SocketAddress]]:
        """What waits in the socket, within bounds: timers and the program have their turn too."""
        received: list[tuple[bytes, SocketAddress]] = []
        recvfrom, peer = self._socket.recvfrom, self._peer
        try:
            for _ in range(self._datagrams_per_wake):
                datagram, sockaddr = recvfrom(_RECEIVE_BYTES)
                if len(datagram) >= SHORTEST_PACKET_BYTES:
                    received.append((datagram, peer or sockaddr))
                if peer is not None and len(datagram) < SMALL_DATAGRAM_BYTES:
                    # An answer, and nothing behind it: not looking saves a system call that fails, 5 % of a request.
                    break
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            self.loop.call_soon(self._refused)
        except OSError:
            self.loop.call_soon(self._read_again)
        return received

    def _channel_of(self, datagram: bytes, sockaddr: SocketAddress) -> QuicChannel | None:
        if datagram[0] >= 0x80:
            return self._first_packet(datagram, sockaddr)
        channel = self._routes.get(datagram[1:_SHORT_HEADER_BYTES])
        if channel is None:
            self._unknown(datagram, sockaddr)
        return channel

    @abstractmethod
    def _first_packet(self, datagram: bytes, sockaddr: SocketAddress) -> QuicChannel | None:
        """The channel of a datagram with a long header, as packets of a handshake have."""

    @abstractmethod
    def _unknown(self, datagram: bytes, sockaddr: SocketAddress) -> None:
        """A datagram of a connection that does not exist here."""

    def _refused(self) -> None:
        """The system says that nobody listens at the other end of a connected socket."""
        self._read_again()

    def _read_again(self) -> None:
        """Uvloop stops reading a socket that had an error, and forgets it only when told to."""
        if not self.is_closed:
            self.loop.remove_reader(self._socket)
            self.loop.add_reader(self._socket, self._readable)

    # ---- sending and time

    def _flush(self) -> None:
        channels, self._dirty = self._dirty, []
        self._is_flush_coming = False
        now = monotonic()
        for channel in channels:
            if channel.is_dirty:
                channel.transmit(now)

    def _due(self, channel: QuicChannel, now: float) -> None:
        self._is_flush_coming = True  # by the deadlines, when all that are due had their turn
        channel.look(monotonic())
