"""UDP sockets: opening them, and sending what the kernel does not take at once."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from runtara.errors import Unavailable
from runtara.transport.base import Address

__all__ = ("Sender", "SocketAddress", "is_loopback", "open_client_socket", "open_server_socket", "resolve")

SocketAddress: TypeAlias = tuple[Any, ...]
"""What the socket module calls an address: host and port first."""

BACKLOG_DATAGRAMS_MAX: Final = 4096
"""Datagrams that wait for a full socket buffer; beyond it they are dropped, which QUIC repairs like any loss."""

# Linux has it and the socket module does not name it: a receive buffer beyond net.core.rmem_max, for root.
_SO_RCVBUFFORCE: Final = 33


async def resolve(address: Address) -> list[tuple[int, SocketAddress]]:
    """Families and socket addresses of the host, best first. Raises ``Unavailable`` when nobody knows it."""
    try:
        found = await _find(address)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the host of {address} cannot be resolved: {error}", address=str(address)) from error
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


async def _find(address: Address) -> Sequence[tuple[Any, ...]]:
    if _is_number(address.host):
        # Nobody has to be asked, so no thread has to wait: that is 2 ms of every launch. Bytes need no IDNA tables.
        number = address.host.encode("ascii")
        return socket.getaddrinfo(number, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(address.host or None, address.port, type=socket.SOCK_DGRAM)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(sockaddr: SocketAddress) -> bool:
    """Whether the address is this machine's own, where datagrams can be large."""
    ip = ipaddress.ip_address(sockaddr[0].partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def open_server_socket(family: int, sockaddr: SocketAddress, *, address: Address, buffer_bytes: int) -> socket.socket:
    """A bound socket. Raises ``Unavailable`` when the port is taken or the address is not ours."""
    sock = _open(family, buffer_bytes)
    try:
        sock.bind(sockaddr)
    except OSError as error:
        sock.close()
        raise Unavailable(f"cannot listen at {address}: {error.strerror}", address=str(address)) from error
    return sock


def open_client_socket(family: int, sockaddr: SocketAddress, *, address: Address, buffer_bytes: int) -> socket.socket:
    """A connected socket: it hears only the server, and hears when nobody is there. Raises ``Unavailable``."""
    sock = _open(family, buffer_bytes)
    try:
        sock.connect(sockaddr)
    except OSError as error:
        sock.close()
        raise Unavailable(f"cannot reach {address}: {error.strerror}", address=str(address)) from error
    return sock


def _open(family: int, buffer_bytes: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    # With hundreds of clients the default of 208 KiB overflows, and every loss costs a probe timeout: ten times
    # slower at 500 connections.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    return sock


class Sender:
    """Sends datagrams in order; what the kernel does not take waits, within bounds."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        is_connected: bool,
        refused: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._is_connected = is_connected
        self._refused = refused
        self._backlog: deque[tuple[bytes, SocketAddress]] = deque()

    def send(self, datagrams: Sequence[tuple[bytes, SocketAddress]]) -> None:
        """Send or queue. An error of the network is a loss like any other."""
        for at, (data, sockaddr) in enumerate(datagrams):
            if self._backlog or not self._try(data, sockaddr):
                self._wait(datagrams[at:])
                return

    def close(self) -> None:
        """Forget what waits. Safe twice."""
        if self._backlog:
            self._backlog.clear()
            self._loop.remove_writer(self._sock)

    def _try(self, data: bytes, sockaddr: SocketAddress) -> bool:
        try:
            if self._is_connected:
                self._sock.send(data)
            else:
                self._sock.sendto(data, sockaddr)
        except BlockingIOError:
            return False
        except ConnectionRefusedError:
            # Said of an earlier datagram, and said once: to us or to whoever reads.
            self._loop.call_soon(self._refused)
        except OSError:
            pass  # lost, like any datagram may be
        return True

    def _wait(self, datagrams: Sequence[tuple[bytes, SocketAddress]]) -> None:
        if not self._backlog:
            self._loop.add_writer(self._sock, self._writable)
        room = BACKLOG_DATAGRAMS_MAX - len(self._backlog)
        self._backlog.extend(datagrams[:room])

    def _writable(self) -> None:
        while self._backlog:
            if not self._try(*self._backlog[0]):
                return
            self._backlog.popleft()
        self._loop.remove_writer(self._sock)
