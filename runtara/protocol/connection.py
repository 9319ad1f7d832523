"""One connection of the protocol, sans-I/O: bytes in, events out; values in, bytes out. It knows no clock and no loop.

Both sides may ask, answer and push at any time. They differ in the greeting only: the client's first request is
``Hello``, and until the server has answered ``Welcome`` nothing else is served and frames are short.

    GREETING ──Welcome──▶ OPEN ──malformed bytes, goodbye, lost──▶ OVER

A request whose envelope is good always gets an answer, even when its body is not understood. Bytes that are no
frame end the connection: after them nothing can be trusted to begin where it seems to begin.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from runtara.errors import (
    FrameMalformed,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    Overloaded,
    RuntaraError,
    Unavailable,
    UnsupportedVersion,
)
from runtara.limits import (
    FRAME_BYTES_MAX,
    GREETING_BYTES_MAX,
    REQUEST_BYTES_IN_FLIGHT_MAX,
    REQUESTS_IN_FLIGHT_MAX,
)
from runtara.protocol import codec
from runtara.protocol.framing import FrameCutter, FrameReader, cut_frames
from runtara.protocol.messages import PROTOCOL_VERSIONS, Hello, Message, Welcome

__all__ = (
    "Broken",
    "Connection",
    "Event",
    "Goodbye",
    "Phase",
    "PushReceived",
    "ReplyReceived",
    "RequestReceived",
    "RequestRefused",
    "Role",
    "choose_version",
)

ContextT = TypeVar("ContextT")

OVERLOAD_RETRY_AFTER_MS: Final = 100
"""After about this time some of the requests in flight have been answered."""


class Role(enum.Enum):
    """Who opened the connection."""

    CLIENT = "client"
    SERVER = "server"


class Phase(enum.Enum):
    """How far the connection is; see the module."""

    GREETING = "greeting"
    OPEN = "open"
    OVER = "over"


class RequestReceived(msgspec.Struct, frozen=True, gc=False):
    """Answer it with ``reply`` or ``fail``, once."""

    number: int
    message: Message


class RequestRefused(msgspec.Struct, frozen=True, gc=False):
    """A request that must not be served: ``fail`` it with this error."""

    number: int
    error: RuntaraError


class ReplyReceived(msgspec.Struct, Generic[ContextT], frozen=True, gc=False):
    """The answer to our request that was made with ``context``."""

    context: ContextT
    outcome: Message | RuntaraError


class PushReceived(msgspec.Struct, frozen=True, gc=False):
    """A message without an answer."""

    message: Message


class Goodbye(msgspec.Struct, frozen=True, gc=False):
    """The peer ends the connection and says why. The connection is over."""

    error: RuntaraError


class Broken(msgspec.Struct, frozen=True, gc=False):
    """The peer broke the protocol: say ``goodbye`` and close. The connection is over."""

    error: RuntaraError


Event: TypeAlias = (
    RequestReceived | RequestRefused | ReplyReceived[ContextT] | PushReceived | Goodbye | Broken
)  # fmt: skip


def choose_version(offered: Sequence[int]) -> int:
    """The best version that both sides speak. Raises ``UnsupportedVersion``."""
    for version in PROTOCOL_VERSIONS:
        if version in offered:
            return version
    raise UnsupportedVersion(
        f"this side speaks protocol {PROTOCOL_VERSIONS}, the other {tuple(offered)}",
        hint="Use the same release of Runtara on both sides.",
        supported=list(PROTOCOL_VERSIONS),
    )


# Bound once: in Python 3.11 each look at a member of an enum class takes 75 ns, and a request needs several of them.
_GREETING, _OPEN, _OVER = Phase


class Connection(Generic[ContextT]):
    """See the module. Whatever ``request`` and its siblings return must be sent, in that order.

    ``ContextT`` is what the caller wants back with the answer to a request.
    """

    def __init__(
        self,
        role: Role,
        *,
        cut: FrameCutter = cut_frames,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        requests_in_flight_max: int = REQUESTS_IN_FLIGHT_MAX,
        request_bytes_in_flight_max: int = REQUEST_BYTES_IN_FLIGHT_MAX,
    ) -> None:
        self.role = role
        self.phase = _GREETING
        self.hello: Hello | None = None
        """What the client said, once it was accepted."""
        self.welcome: Welcome | None = None
        """What the server said."""
        self._frame_bytes_max = frame_bytes_max
        self._requests_max = requests_in_flight_max
        self._request_bytes_max = request_bytes_in_flight_max
        greeting_bytes_max = min(frame_bytes_max, GREETING_BYTES_MAX)
        self._reader = FrameReader(frame_bytes_max=greeting_bytes_max, cut=cut)
        self._asked: dict[int, ContextT] = {}
        self._last_number = 0
        self._open: dict[int, int] = {}
        self._open_bytes = 0
        self._last_open = 0
        self._hello_number = 0
        self._hello_offered: Hello | None = None

    @property
    def requests_asked(self) -> int:
        """All our requests so far, which is the number of the latest."""
        return self._last_number

    @property
    def requests_in_flight(self) -> int:
        """Our requests that wait for an answer."""
        return len(self._asked)

    @property
    def requests_open(self) -> int:
        """The peer's requests that we have not answered yet."""
        return len(self._open)

    # ---- values in, bytes out

    def request(self, message: Message, *, context: ContextT) -> bytes:
        """Ask. Nothing was asked when it raises.

        Raises:
            Overloaded: too many requests wait for an answer already.
            LimitExceeded: the message does not fit into a frame.
            InvalidRequest: the greeting is not done yet and this is no Hello.
            Unavailable: the connection is over.
        """
        self._check_may_ask(message)
        if len(self._asked) >= self._requests_max:
            raise _overloaded("requests_in_flight", self._requests_max)
        number = self._last_number + 1
        frame = codec.encode(codec.REQUEST, number, message, frame_bytes_max=self._frame_bytes_max)
        self._last_number = number
        self._asked[number] = context
        if self.phase is _GREETING and isinstance(message, Hello):
            self._hello_offered = message
        return frame

    def reply(self, number: int, message: Message) -> bytes:
        """Answer a request. Raises ``LimitExceeded`` when the message does not fit; then ``fail`` it instead."""
        frame = codec.encode(codec.REPLY, number, message, frame_bytes_max=self._frame_bytes_max)
        self._answered(number)
        if number == self._hello_number and self.phase is _GREETING and isinstance(message, Welcome):
            self._begin(message)
        return frame

    def fail(self, number: int, error: RuntaraError) -> bytes:
        """Answer a request with an error. A refused Hello may be followed by another one."""
        self._answered(number)
        return codec.encode_error(number, error, frame_bytes_max=self._frame_bytes_max)

    def push(self, message: Message) -> bytes:
        """Tell the peer something that needs no answer. Raises as ``request`` does."""
        self._check_may_ask(message)
        return codec.encode(codec.PUSH, 0, message, frame_bytes_max=self._frame_bytes_max)

    def goodbye(self, error: RuntaraError) -> bytes:
        """End the connection and say why. Send it and close."""
        self.phase = _OVER
        return codec.encode_error(0, error, frame_bytes_max=self._frame_bytes_max)

    def lose(self) -> list[ContextT]:
        """The transport is gone: the connection is over. Gives back the requests that will get no answer."""
        self.phase = _OVER
        contexts = list(self._asked.values())
        self._asked.clear()
        self._open.clear()
        return contexts

    # ---- bytes in, events out

    def receive(self, data: bytes) -> list[Event[ContextT]]:
        """What ``data`` completes, in order. Never raises: a breach of the protocol is the last event."""
        if self.phase is _OVER:
            return []
        events: list[Event[ContextT]] = []
        try:
            for payload in self._reader.feed(data):
                events.append(self._event(payload))
                if type(events[-1]) is Goodbye:
                    break
        except (FrameMalformed, LimitExceeded) as error:
            self.phase = _OVER
            events.append(Broken(error))
        return events

    def _event(self, payload: bytes) -> Event[ContextT]:
        try:
            kind, number, body = codec.decode(payload)
        except FrameMalformed as error:
            return self._unreadable(payload, error)
        if kind == codec.REQUEST:
            return self._requested(number, body, len(payload))
        if kind == codec.REPLY or (kind == codec.ERROR and number and isinstance(body, RuntaraError)):
            return self._replied(number, body)
        if kind == codec.PUSH and number == 0 and self.phase is _OPEN and isinstance(body, Message):
            return PushReceived(body)
        if kind == codec.ERROR and isinstance(body, RuntaraError):
            self.phase = _OVER
            return Goodbye(body)
        raise FrameMalformed(f"a frame of kind {kind} and number {number} has no meaning here")

    def _requested(self, number: int, body: Message | RuntaraError, size: int) -> Event[ContextT]:
        self._take(number, size)
        if self.phase is _GREETING or isinstance(body, Hello):
            return self._greeted(number, body)
        if len(self._open) > self._requests_max:
            return RequestRefused(number, _overloaded("requests_in_flight", self._requests_max))
        if self._open_bytes > self._request_bytes_max and len(self._open) > 1:
            return RequestRefused(number, _overloaded("request_bytes_in_flight", self._request_bytes_max))
        assert isinstance(body, Message)
        return RequestReceived(number, body)

    def _replied(self, number: int, body: Message | RuntaraError) -> Event[ContextT]:
        try:
            context = self._asked.pop(number)
        except KeyError:
            raise FrameMalformed(f"there is no request {number} to answer") from None
        if self.phase is _GREETING and isinstance(body, Welcome):
            body = self._welcomed(body)
        return ReplyReceived(context, body)

    def _unreadable(self, payload: bytes, error: FrameMalformed) -> Event[ContextT]:
        """The envelope decides: a request can be refused, an answer is lost, anything else breaks the connection."""
        kind, number = codec.decode_envelope(payload)
        if kind == codec.REQUEST:
            self._take(number, len(payload))
            return RequestRefused(number, error)
        if kind in (codec.REPLY, codec.ERROR) and number in self._asked:
            unknown = OutcomeUnknown("the answer cannot be read", hint=error.message)
            return ReplyReceived(self._asked.pop(number), unknown)
        raise error

    # ---- greeting

    def _greeted(self, number: int, body: Message | RuntaraError) -> Event[ContextT]:
        if not isinstance(body, Hello):
            return RequestRefused(number, InvalidRequest("say hello first"))
        if self.role is Role.CLIENT or self.phase is not _GREETING or self._hello_number in self._open:
            return RequestRefused(number, InvalidRequest("hello was said already"))
        try:
            choose_version(body.versions)
        except UnsupportedVersion as error:
            return RequestRefused(number, error)
        self._hello_number, self._hello_offered = number, body
        return RequestReceived(number, body)

    def _welcomed(self, welcome: Welcome) -> Message | RuntaraError:
        offered = self._hello_offered.versions if self._hello_offered is not None else ()
        if welcome.version not in offered:
            return UnsupportedVersion(f"the server chose version {welcome.version}, which was not offered")
        self._begin(welcome)
        return welcome

    def _begin(self, welcome: Welcome) -> None:
        self.phase = _OPEN
        self.hello, self.welcome = self._hello_offered, welcome
        self._reader.frame_bytes_max = self._frame_bytes_max

    def _check_may_ask(self, message: Message) -> None:
        if self.phase is _OPEN:
            return
        if self.phase is _OVER:
            raise Unavailable("the connection is closed")
        if self.role is Role.SERVER or not isinstance(message, Hello):
            raise InvalidRequest("say hello first")

    # ---- bookkeeping of the peer's requests

    def _take(self, number: int, size: int) -> None:
        if not self._last_open < number <= codec.NUMBER_MAX:
            raise FrameMalformed(f"request {number} follows request {self._last_open}")
        self._last_open = number
        self._open[number] = size
        self._open_bytes += size

    def _answered(self, number: int) -> None:
        self._open_bytes -= self._open.pop(number, 0)


def _overloaded(limit: str, maximum: int) -> Overloaded:
    return Overloaded(
        f"{limit} of the connection is at its limit of {maximum}",
        retry_after_ms=OVERLOAD_RETRY_AFTER_MS,
        limit=limit,
        maximum=maximum,
    )
