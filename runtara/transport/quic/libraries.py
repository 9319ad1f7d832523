"""The two QUIC libraries behind one adapter: aioquic, and qh3, which kept its interface and rewrote the inside.

Both ends of a connection must use the same one: qh3's server and aioquic's client do not get along in the handshake.
"""

from __future__ import annotations

import importlib
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from runtara.errors import InvalidRequest
from runtara.protocol.launch import Psk
from runtara.transport.base import ClientOptions, ServerOptions
from runtara.transport.quic.packets import CONNECTION_ID_BYTES
from runtara.transport.quic.sockets import SocketAddress

__all__ = (
    "LIBRARIES",
    "Aioquic",
    "FindTicket",
    "Library",
    "Qh3",
    "QuicConnection",
    "load_library",
)

ALPN: Final = "runtara/1"
QUIC_VERSION_1: Final = 0x00000001

# The secret of a minted credential has 48 bytes, enough for every suite; this suite hashes with SHA-256.
_CIPHER_SUITE: Final = "AES_128_GCM_SHA256"
_PSK_BYTES: Final = 32
_PSK_SERVER_NAME: Final = "runtara"
# A clock that runs behind by less does no harm.
_CLOCK_SKEW: Final = timedelta(minutes=5)

# Bytes that a peer may have under way; the libraries widen it as the data is taken.
_FLOW_WINDOW_BYTES: Final = 1024 * 1024
# Ours are networks of one house. With the libraries' first guess a lost first datagram costs a second.
_INITIAL_RTT_S: Final = 0.1


class QuicConnection(Protocol):
    """What both libraries' sans-I/O connections have, as far as we use it."""

    host_cid: bytes

    def connect(self, addr: SocketAddress, now: float) -> None: ...  # noqa: D102
    def datagrams_to_send(self, now: float) -> list[tuple[bytes, SocketAddress]]: ...  # noqa: D102
    def get_timer(self) -> float | None: ...  # noqa: D102
    def handle_timer(self, now: float) -> None: ...  # noqa: D102
    def next_event(self) -> Any: ...  # noqa: D102
    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None: ...  # noqa: D102
    def send_ping(self, uid: int) -> None: ...  # noqa: D102
    def close(self, error_code: int, frame_type: int | None = None, reason_phrase: str = "") -> None: ...  # noqa: D102


FindTicket = Callable[[bytes], Any]
"""The library's ticket of a label, or None."""


class Library(ABC):
    """One library. What differs between the two is in the subclasses."""

    name: str
    near_datagram_bytes: int
    """The best size of datagrams within one machine, where the MTU is 64 KiB."""

    def __init__(self) -> None:
        self._connection = self._import("quic.connection").QuicConnection
        self._configuration = self._import("quic.configuration").QuicConfiguration
        self._tls = self._import("tls")
        events = self._import("quic.events")
        self.StreamData: type[Any] = events.StreamDataReceived
        self.HandshakeCompleted: type[Any] = events.HandshakeCompleted
        self.Terminated: type[Any] = events.ConnectionTerminated
        self.IdIssued: type[Any] = events.ConnectionIdIssued
        self.IdRetired: type[Any] = events.ConnectionIdRetired
        # It warns of every refused handshake and every close; what matters of that is in our errors.
        logger = logging.getLogger("quic")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)

    # ---- configurations and connections

    def server_configuration(self, options: ServerOptions, *, datagram_bytes: int) -> Any:
        """For all connections of a listener whose datagrams may be so large. Raises ``InvalidRequest``."""
        # Imported here: programs, which start often, never serve.
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        configuration = self._base(
            is_client=False, idle_timeout_s=options.idle_timeout_s, datagram_bytes=datagram_bytes
        )
        try:
            # By a third party first: on what is no key qh3 panics instead of raising.
            load_pem_private_key(options.private_key_pem, password=None)
            first, *chain = self._tls.load_pem_x509_certificates(options.certificate_pem)
            configuration.private_key = self._tls.load_pem_private_key(options.private_key_pem)
        except Exception as error:  # each library has its own
            raise InvalidRequest(f"the server's certificate or key is not usable: {error}") from error
        configuration.certificate, configuration.certificate_chain = first, chain
        return configuration

    def client_configuration(self, options: ClientOptions, *, datagram_bytes: int) -> Any:
        """For one connection."""
        configuration = self._base(is_client=True, idle_timeout_s=options.idle_timeout_s, datagram_bytes=datagram_bytes)
        configuration.server_name = options.server_name
        configuration.cadata = options.ca_pem
        if options.psk is not None:
            # The ticket carries the name that it is for; the certificate of a server that does not know the
            # credential is of no interest, such a connection is closed.
            configuration.server_name = _PSK_SERVER_NAME
            configuration.session_ticket = self.ticket(options.psk)
        if options.psk is not None or options.skip_verification:
            configuration.verify_mode = ssl.CERT_NONE
        return configuration

    def dial(self, configuration: Any) -> QuicConnection:
        """A client's connection."""
        connection: QuicConnection = self._connection(configuration=configuration)
        return connection

    def accept(self, configuration: Any, *, destination: bytes, find_ticket: FindTicket) -> QuicConnection:
        """A server's connection, for a first packet that was sent to ``destination``."""
        connection: QuicConnection = self._connection(
            configuration=configuration,
            original_destination_connection_id=destination,
            session_ticket_fetcher=find_ticket,
        )
        return connection

    def ticket(self, psk: Psk) -> Any:
        """The credential as a session ticket. Without early data: that could be replayed."""
        return self._tls.SessionTicket(
            age_add=0,
            cipher_suite=self._tls.CipherSuite[_CIPHER_SUITE],
            not_valid_before=self._time(datetime.now(UTC) - _CLOCK_SKEW),
            not_valid_after=self._time(datetime.fromtimestamp(psk.not_after_s, UTC)),
            resumption_secret=psk.secret[:_PSK_BYTES],
            server_name=_PSK_SERVER_NAME,
            ticket=psk.label,
        )

    # ---- running connections

    @abstractmethod
    def receive(
        self, connection: QuicConnection, datagrams: Sequence[bytes], sockaddr: SocketAddress, now: float
    ) -> None:
        """Feed datagrams that came together. ``now`` never goes back."""

    @abstractmethod
    def unsent_bytes(self, connection: QuicConnection, stream_id: int) -> int:
        """What the connection still holds of the stream."""

    def termination(self, connection: QuicConnection) -> Any:
        """The event that will be told once the draining period is over, or None.

        Both libraries keep it to themselves for up to three seconds, in an attribute of the same name. If that ever
        goes, an ending is noticed late and nothing else changes.
        """
        return getattr(connection, "_close_event", None)

    # ---- differences

    def _base(self, *, is_client: bool, idle_timeout_s: float, datagram_bytes: int) -> Any:
        return self._configuration(
            is_client=is_client,
            alpn_protocols=[ALPN],
            cipher_suites=[self._tls.CipherSuite[_CIPHER_SUITE]],
            connection_id_length=CONNECTION_ID_BYTES,
            idle_timeout=idle_timeout_s,
            initial_rtt=_INITIAL_RTT_S,
            max_data=_FLOW_WINDOW_BYTES,
            max_datagram_size=datagram_bytes,
            max_stream_data=_FLOW_WINDOW_BYTES,
            supported_versions=[QUIC_VERSION_1],
        )

    def _time(self, at: datetime) -> datetime:
        return at

    def _import(self, module: str) -> Any:
        return importlib.import_module(f"{self.name}.{module}")


class Aioquic(Library):
    """The reference: pure Python."""

    name = "aioquic"
    # Large messages are four to six times cheaper than with 1,200.
    near_datagram_bytes = 8000

    def receive(self, connection: Any, datagrams: Sequence[bytes], sockaddr: SocketAddress, now: float) -> None:
        """See ``Library.receive``."""
        for datagram in datagrams:
            connection.receive_datagram(datagram, sockaddr, now)

    def unsent_bytes(self, connection: Any, stream_id: int) -> int:
        """See ``Library.unsent_bytes``. Counts what is not acknowledged; there is no public way to ask."""
        stream = connection._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)


class Qh3(Library):
    """The fast one."""

    name = "qh3"
    # Its clients tell the server to send no more. Larger ones gain nothing, and the first congestion window would be
    # two of them, so that a connection whose handshake was slow stays slow.
    near_datagram_bytes = 1452

    def receive(self, connection: Any, datagrams: Sequence[bytes], sockaddr: SocketAddress, now: float) -> None:
        """See ``Library.receive``."""
        connection.receive_many_datagrams(datagrams, sockaddr, now)

    def unsent_bytes(self, connection: Any, stream_id: int) -> int:
        """See ``Library.unsent_bytes``. Counts what was not sent yet."""
        size: int = connection.get_send_buffer_size(stream_id)
        return size

    def _base(self, **options: Any) -> Any:
        configuration = super()._base(**options)
        # Three datagrams per connection for nothing: the size is given.
        configuration.probe_datagram_size = False
        return configuration

    def _time(self, at: datetime) -> datetime:
        return at.replace(tzinfo=None)


LIBRARIES: Final[dict[str, type[Library]]] = {"qh3": Qh3, "aioquic": Aioquic}
"""By name, the preferred one first."""


def load_library(name: str | None) -> Library:
    """The library of that name; without one, the first that is installed.

    Raises:
        InvalidRequest: there is no such library, or it is not installed.
    """
    if name and name not in LIBRARIES:
        raise InvalidRequest(f"{name!r} is no QUIC library", hint="RUNTARA_QUIC is aioquic or qh3.")
    for candidate in (name,) if name else LIBRARIES:
        try:
            return LIBRARIES[candidate]()
        except ImportError as error:
            missing = error
    raise InvalidRequest(
        f"the QUIC library {name or 'aioquic'} is not installed",
        hint="Install it: pip install 'runtara[fast]' for qh3, pip install aioquic.",
    ) from missing
