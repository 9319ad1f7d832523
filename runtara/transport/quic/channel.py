"""One QUIC connection with its one long stream: the state between a library's sans-I/O connection and a handler.

    HANDSHAKE ──TLS──▶ OPENING ──first bytes──▶ OPEN ──close()──▶ CLOSING ──▶ CLOSED

The client opens the stream with one byte and the server answers with one and a reset token. Only then is the channel
open on both sides: a QUIC stream exists with its first byte, and a client learns only from an answer that the server
has accepted its credential. An orderly close is the end of the stream, so everything before it arrives.

**The ACK rule.** Both libraries acknowledge after 1 ms (25 ms are what they advertise), so a request whose answer
takes longer costs four datagrams. When the handler says that an answer follows, nothing is sent after that receive,
and the library's timer is not looked at before ``ACK_HOLD_S`` have passed: the acknowledgement rides with the answer,
two datagrams a request. Nothing else can be due so soon: a probe timeout includes the peer's 25 ms.
The same holds for a datagram that brings no data. Were a bare acknowledgement acknowledged at once, qh3 would never
measure the round trip again (its newest packet must be one that asks to be acknowledged), and a connection whose
handshake was slow would pace itself by that for ever.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from runtara.errors import RuntaraError, Unavailable
from runtara.transport.base import UNSENT_HIGH_WATER_BYTES, ChannelHandler, PskIdentity
from runtara.transport.quic.deadlines import NEVER
from runtara.transport.quic.endings import BROKEN, ENDED, explain
from runtara.transport.quic.packets import RESET_TOKEN_BYTES
from runtara.transport.quic.sockets import SocketAddress

if TYPE_CHECKING:
    from runtara.transport.quic.endpoint import Endpoint
    from runtara.transport.quic.libraries import QuicConnection

__all__ = (
    "ACK_HOLD_S",
    "LINGER_S",
    "OPENING",
    "SERVER_OPENING_BYTES",
    "SMALL_DATAGRAM_BYTES",
    "STREAM_ID",
    "Phase",
    "QuicChannel",
)

_log = logging.getLogger(__name__)

ACK_HOLD_S: Final = 0.020
"""How long an acknowledgement may wait for an answer; below the 25 ms that are promised to the peer."""

LINGER_S: Final = 1.0
"""How long a closing side waits until the peer has everything."""

STREAM_ID: Final = 0
"""The first bidirectional stream that a client opens."""

OPENING: Final = b"\x01"
SERVER_OPENING_BYTES: Final = len(OPENING) + RESET_TOKEN_BYTES

SMALL_DATAGRAM_BYTES: Final = 1000
"""A single datagram below this is an answer or an acknowledgement; more is a transfer, whose timers matter."""


class Phase(enum.IntEnum):
    """See the module."""

    HANDSHAKE = 0
    OPENING = 1
    OPEN = 2
    CLOSING = 3
    CLOSED = 4


class _Heard(enum.IntEnum):
    """The most telling thing that a batch of datagrams brought."""

    NOTHING = 0
    """Acknowledgements, pings: nothing that wants more than to be acknowledged in time."""
    DATA = 1
    QUESTION = 2
    """Data that the handler will answer soon."""


# Bound once: in Python 3.11 each look at a member of an enum class takes 75 ns, and a request needs a dozen of them.
_HANDSHAKE, _OPENING, _OPEN, _CLOSING, _CLOSED = Phase
_NOTHING, _DATA, _QUESTION = _Heard


class QuicChannel(ABC):
    """See ``Channel``. What both sides share; the endpoint drives it through ``feed``, ``transmit`` and ``look``."""

    __slots__ = (
        "_closing_reason",
        "_drained",
        "_early",
        "_ends_at",
        "_handler",
        "_is_fin_due",
        "_is_held",
        "_is_lazy",
        "_outbox",
        "_sent_at",
        "address",
        "connection",
        "connection_ids",
        "endpoint",
        "identity",
        "inbox",
        "is_dirty",
        "last_received",
        "phase",
        "wakes_at",
    )

    connection: QuicConnection

    def __init__(self, endpoint: Endpoint, address: SocketAddress, *, handshake_timeout_s: float) -> None:
        self.endpoint = endpoint
        self.address = address
        self.identity: PskIdentity | None = None
        self.connection_ids: list[bytes] = []
        self.inbox: list[bytes] | None = None
        self.is_dirty = False
        self.last_received = monotonic()
        self.phase = _HANDSHAKE
        self.wakes_at = NEVER
        self._handler: ChannelHandler | None = None
        self._outbox: list[bytes] = []
        self._early = b""
        self._is_held = False
        self._is_lazy = False
        self._is_fin_due = False
        self._sent_at = 0.0
        self._ends_at = self.last_received + handshake_timeout_s
        self._closing_reason = ""
        self._drained: asyncio.Event | None = None

    # ---- Channel

    @property
    def peer(self) -> str:
        """See ``Channel.peer``."""
        host, port = self.address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """See ``Channel.send``."""
        if self.phase is not _OPEN:
            raise Unavailable("the channel is closed")
        self._outbox.append(data)
        self.endpoint.touch(self)

    @property
    def unsent_bytes(self) -> int:
        """See ``Channel.unsent_bytes``."""
        if self.phase is _CLOSED:
            return 0
        return sum(map(len, self._outbox)) + self.endpoint.library.unsent_bytes(self.connection, STREAM_ID)

    async def drained(self) -> None:
        """See ``Channel.drained``."""
        while self.unsent_bytes > UNSENT_HIGH_WATER_BYTES:
            if self._drained is None:
                self._drained = asyncio.Event()
            await self._drained.wait()

    def close(self, *, reason: str = "") -> None:
        """See ``Channel.close``."""
        if self.phase is _OPEN:
            self.phase = _CLOSING
            self._closing_reason = reason
            self._is_fin_due = True
            self._ends_at = monotonic() + LINGER_S
            self.endpoint.touch(self)
        elif self.phase < _OPEN:
            self.abort(ENDED, reason, None)

    # ---- driven by the endpoint

    def feed(self, now: float) -> None:
        """Take in the datagrams of ``inbox``, which came together."""
        datagrams, self.inbox = self.inbox, None
        if not datagrams or self.phase is _CLOSED:
            return
        self.last_received = now
        try:
            self.endpoint.library.receive(self.connection, datagrams, self.address, now)
            heard = self._take_events()
            if heard is _NOTHING or len(datagrams) > 1:
                # A single datagram with data does not end anything. Not asking then takes 3 % off a request.
                self._look_for_the_end()
        except BaseException as error:
            self._broken(error)
            return
        if self.phase is _OPEN and not self._is_held and len(datagrams) == 1 and self._may_wait(heard):
            self._is_held = True
            self._look_lazily(now)
        else:
            self.endpoint.touch(self)

    def transmit(self, now: float) -> None:
        """Send whatever the connection has to send now."""
        self.is_dirty = self._is_held = False
        if self.phase is _CLOSED:
            return
        try:
            self._write_outbox()
            datagrams = self.connection.datagrams_to_send(now)
        except BaseException as error:
            self._broken(error)
            return
        self.endpoint.send(datagrams)
        if self._drained is not None:
            self._wake_drained()
        if len(datagrams) == 1 and len(datagrams[0][0]) < SMALL_DATAGRAM_BYTES and self.phase is _OPEN:
            self._look_lazily(now)
        else:
            self._look_at_timer()

    def look(self, now: float) -> None:
        """A deadline may have come: see what is due."""
        if self._is_lazy and now < self._sent_at + ACK_HOLD_S:
            self.endpoint.deadlines.at(self._sent_at + ACK_HOLD_S, self)
        elif self.phase is not _CLOSED and not self._is_over(now):
            self._run_timer(now)

    def abort(self, code: int, reason: str, error: RuntaraError | None) -> None:
        """End the connection now, whatever is under way, and tell the peer."""
        try:
            self.connection.close(code, reason_phrase=reason)
            self.endpoint.send(self.connection.datagrams_to_send(monotonic()))
        except BaseException as fault:
            if isinstance(fault, KeyboardInterrupt | SystemExit):
                raise
            _log.debug("the close of %s could not be sent", self.peer, exc_info=True)
        self.end(error)

    def end(self, error: RuntaraError | None) -> None:
        """The connection is gone. Safe twice."""
        if self.phase is _CLOSED:
            return
        is_wanted = self.phase is _CLOSING
        self.phase = _CLOSED
        self.endpoint.forget(self)
        self._outbox.clear()
        self._wake_drained()
        if self._handler is not None:
            self._tell_closed(self._handler, None if is_wanted else error)

    # ---- events of the library

    def _take_events(self) -> _Heard:
        """Handle them all."""
        library, next_event = self.endpoint.library, self.connection.next_event
        heard = _NOTHING
        while self.phase is not _CLOSED and (event := next_event()) is not None:
            kind = type(event)
            if kind is library.StreamData:
                if (told := self._data(event)) > heard:
                    heard = told
            elif kind is library.IdIssued:
                self.endpoint.route(self, event.connection_id)
            elif kind is library.IdRetired:
                self.endpoint.unroute(self, event.connection_id)
            elif kind is library.HandshakeCompleted:
                self._shaken(is_resumed=event.session_resumed)
            elif kind is library.Terminated:
                self.end(explain(event))
        return heard

    def _look_for_the_end(self) -> None:
        if (termination := self.endpoint.library.termination(self.connection)) is not None:
            # When this side has found the fault, the peer is still to be told.
            self.endpoint.send(self.connection.datagrams_to_send(monotonic()))
            self.end(explain(termination))

    def _may_wait(self, heard: _Heard) -> bool:
        """Whether nothing needs to be sent now; see the ACK rule."""
        return heard is _QUESTION or (heard is _NOTHING and not self.unsent_bytes)

    def _data(self, event: Any) -> _Heard:
        if event.stream_id != STREAM_ID:
            self.abort(BROKEN, "one stream is all there is", Unavailable("the peer opened another stream"))
            return _NOTHING
        data: bytes = event.data
        if self.phase is _OPENING:
            self._early += data
            data = self._open()
        heard = _DATA
        if data and self.phase is _OPEN and self._handler is not None:
            heard = _QUESTION if self._handler.received(data) else _DATA
        if event.end_stream:
            self._finished()
        return heard

    def _finished(self) -> None:
        """The peer has said its last word: everything that it sent is here. Answer with the end of the connection."""
        if self.phase is not _CLOSED:
            self._write_outbox()
            self.endpoint.send(self.connection.datagrams_to_send(monotonic()))
            self.abort(ENDED, self._closing_reason, None)

    @abstractmethod
    def _shaken(self, *, is_resumed: bool) -> None:
        """The TLS handshake is complete; ``is_resumed`` says that a minted credential was used."""

    @abstractmethod
    def _open(self) -> bytes:
        """Look at the first bytes of the stream; what follows them is returned."""

    def _opened(self, handler: ChannelHandler) -> None:
        self.phase = _OPEN
        self._ends_at = NEVER
        self._handler = handler
        self.endpoint.opened(self)
        handler.opened(self)

    def _tell_closed(self, handler: ChannelHandler, error: RuntaraError | None) -> None:
        try:
            handler.closed(error)
        except Exception:  # its bug must not reach the other connections of the endpoint
            _log.exception("the handler of %s failed at the end", self.peer)

    def _broken(self, error: BaseException) -> None:
        """A bug of a library or a handler: it ends this connection, not the endpoint.

        A panic in qh3's Rust is a ``BaseException``, so what must not be caught is named here instead.
        """
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        _log.error("the connection with %s broke", self.peer, exc_info=error)
        self.abort(BROKEN, "internal error", Unavailable("the connection broke inside this side"))

    # ---- sending and timers

    def _write_outbox(self) -> None:
        if self._outbox or self._is_fin_due:
            data = self._outbox[0] if len(self._outbox) == 1 else b"".join(self._outbox)
            self._outbox.clear()
            self.connection.send_stream_data(STREAM_ID, data, self._is_fin_due)
            self._is_fin_due = False

    def _wake_drained(self) -> None:
        if self._drained is not None and self.unsent_bytes <= UNSENT_HIGH_WATER_BYTES:
            self._drained.set()
            self._drained = None

    def _look_lazily(self, now: float) -> None:
        self._sent_at, self._is_lazy = now, True
        if self.wakes_at > now + ACK_HOLD_S:
            self.endpoint.deadlines.at(now + ACK_HOLD_S, self)

    def _look_at_timer(self) -> None:
        self._is_lazy = False
        due = self.connection.get_timer()
        self.endpoint.deadlines.at(min(NEVER if due is None else due, self._own_deadline()), self)

    def _own_deadline(self) -> float:
        return self._ends_at

    def _is_over(self, now: float) -> bool:
        """Whether the time of the handshake or of the closing is up; then the connection has ended."""
        if now < self._ends_at:
            return False
        if self.phase is _CLOSING:
            self.abort(ENDED, self._closing_reason, None)
        else:
            self.abort(BROKEN, "the handshake took too long", Unavailable("the handshake took too long"))
        return True

    def _run_timer(self, now: float) -> None:
        try:
            due = self.connection.get_timer()
            if due is not None and due <= now:
                self.connection.handle_timer(now)
                self._take_events()
                self._look_for_the_end()
                self.endpoint.touch(self)
            elif not self.is_dirty:
                self._look_at_timer()
        except BaseException as error:
            self._broken(error)
