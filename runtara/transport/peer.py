"""Requests over a channel: what the program on each side of a connection holds in its hands.

A peer is a ``ChannelHandler`` around a sans-I/O ``Connection``. Everything happens in callbacks of the channel: no
task and no timer per message, so an answer given from within ``request`` leaves in the datagram that acknowledges it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from runtara._native import api as native
from runtara.errors import (
    FrameMalformed,
    InternalError,
    LimitExceeded,
    OutcomeUnknown,
    RuntaraError,
    Unavailable,
)
from runtara.limits import UNSENT_BYTES_MAX
from runtara.protocol.connection import (
    Broken,
    Connection,
    Event,
    Goodbye,
    Phase,
    PushReceived,
    ReplyReceived,
    RequestReceived,
    RequestRefused,
    Role,
)
from runtara.protocol.messages import Hello, Message, Welcome
from runtara.transport.base import Address, Channel, ClientOptions, Listener, ServerOptions, Transport

__all__ = ("OnReply", "Peer", "PeerHandler", "Reply", "connect_peer", "listen_peers")

_log = logging.getLogger(__name__)

OnReply: TypeAlias = Callable[[Message | RuntaraError], None]

GREETING_S: Final = 10.0
"""How long a client may take to be welcomed before the server closes the connection."""

_ASKING_UNSENT_BYTES: Final = 1024 * 1024
"""Asking costs nothing; but every so many bytes, look whether the peer reads what it is sent."""


class PeerHandler(Protocol):
    """What the program does with a peer. No method may block; one that raises ends the connection or the request."""

    def opened(self, peer: Peer) -> None:
        """Called once, first. The greeting is still to come: see ``Peer.welcome``."""

    def request(self, peer: Peer, message: Message, reply: Reply) -> bool:
        """Answer through ``reply``, now or later. True when the answer follows within milliseconds.

        On the server's side the first request is a ``Hello`` of a version that both speak; when it is answered with
        ``Welcome`` the connection is open. Nothing else arrives before.
        """

    def pushed(self, peer: Peer, message: Message) -> None:
        """A message that wants no answer."""

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """Called once, last: see ``Peer.wait_closed``."""


class Reply:
    """The answer to one request: exactly one of ``send`` and ``fail`` counts, once; whatever comes later is ignored."""

    __slots__ = ("_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        self._peer: Peer | None = peer
        self._number = number

    def send(self, message: Message) -> None:
        """Answer. A message that does not fit into a frame becomes the error ``LimitExceeded``."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer._reply(self._number, message)

    def fail(self, error: RuntaraError) -> None:
        """Answer with an error."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer._fail(self._number, error)


class Peer:
    """One connection, from either side. Made by ``connect_peer`` and ``listen_peers``."""

    channel: Channel

    def __init__(self, handler: PeerHandler, *, role: Role, greeting_s: float = GREETING_S) -> None:
        self._handler = handler
        self._greeting_s = greeting_s
        self._connection: Connection[OnReply] = Connection(role, cut=native.cut_frames)
        self._loop = asyncio.get_running_loop()
        self._is_closing = False
        self._error: Exception | None = None
        self._closed = asyncio.Event()
        self._sent_bytes = 0
        self._greeting: asyncio.TimerHandle | None = None

    @property
    def hello(self) -> Hello | None:
        """What the client said; None until it was welcomed."""
        return self._connection.hello

    @property
    def welcome(self) -> Welcome | None:
        """What the server answered; None until then."""
        return self._connection.welcome

    @property
    def error(self) -> Exception | None:
        """Why the connection ended, when neither side wanted it; see ``wait_closed``."""
        return self._error

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closing

    # ---- asking and telling

    async def call(self, request: Message, *, timeout_s: float) -> Message:
        """The answer to ``request``.

        Raises:
            Unavailable: it never left, or the peer answered so. Nothing was done.
            Overloaded: too many requests are in flight; ``retry_after_ms`` says when to come back.
            OutcomeUnknown: it left, and the connection was lost or ``timeout_s`` passed before an answer came.
            RuntaraError: whatever the peer answered.
        """
        answer: asyncio.Future[Message | RuntaraError] = self._loop.create_future()

        def on_reply(outcome: Message | RuntaraError) -> None:
            if not answer.done():
                answer.set_result(outcome)

        name, has_left = type(request).__name__, False
        try:
            async with asyncio.timeout(timeout_s):
                await self.channel.drained()
                self.send_request(request, on_reply)
                has_left = True
                outcome = await answer
        except TimeoutError:
            if has_left:
                raise OutcomeUnknown(f"{name} was not answered within {timeout_s} s") from None
            raise Unavailable(f"{name} could not be sent within {timeout_s} s") from None
        if isinstance(outcome, RuntaraError):
            raise outcome
        return outcome

    def send_request(self, request: Message, on_reply: OnReply) -> None:
        """Ask without waiting; ``on_reply`` is called once, with the answer or with the error instead of one.

        Raises as ``call`` does when the request cannot leave; then ``on_reply`` is not called.
        """
        if self._is_closing:
            raise Unavailable("the connection is closed")
        self._write(self._connection.request(request, context=on_reply))

    def push(self, message: Message) -> None:
        """Tell the peer. On a closed connection nothing happens: a push was never certain to arrive."""
        if not self._is_closing:
            self._write(self._connection.push(message))

    async def drained(self) -> None:
        """Returns when little is waiting to be sent, or the connection is closed."""
        await self.channel.drained()

    # ---- the end

    def close(self, *, reason: str = "") -> None:
        """End the connection; answers given before still leave. Requests in flight fail. Safe twice."""
        if not self._is_closing:
            self._is_closing = True
            self.channel.close(reason=reason)
            self._lose()

    async def wait_closed(self) -> Exception | None:
        """Returns when the connection has ended.

        None when either side wanted it, else why: the transport's ``Unavailable``, or how the protocol was broken.
        """
        await self._closed.wait()
        return self._error

    # ---- ChannelHandler

    def opened(self, channel: Channel) -> None:
        """See ``ChannelHandler``."""
        self.channel = channel
        if self._connection.role is Role.SERVER:
            self._greeting = self._loop.call_later(self._greeting_s, self._greeting_is_late)
        self._handler.opened(self)

    def received(self, data: bytes) -> bool:
        """See ``ChannelHandler``."""
        will_send = False
        for event in self._connection.receive(data):
            if self._is_closing:
                break
            will_send |= self._handle(event)
        return will_send

    def closed(self, error: Exception | None) -> None:
        """See ``ChannelHandler``."""
        self._is_closing = True
        self._error = self._error or error
        self._welcomed()
        self._lose()
        self._closed.set()
        self._handler.closed(self, self._error)

    # ---- events

    def _handle(self, event: Event[OnReply]) -> bool:
        if isinstance(event, RequestReceived):
            return self._serve(event.number, event.message)
        if isinstance(event, ReplyReceived):
            event.context(event.outcome)
            # Whoever got an answer usually has the next question: its datagram can carry the acknowledgement.
            return True
        if isinstance(event, PushReceived):
            self._handler.pushed(self, event.message)
            return False
        if isinstance(event, RequestRefused):
            self._write(self._connection.fail(event.number, event.error))
            return True
        self._break(event)
        return False

    def _serve(self, number: int, message: Message) -> bool:
        try:
            return self._handler.request(self, message, Reply(self, number))
        except RuntaraError as error:
            self._fail(number, error)
        except Exception:
            _log.exception("the handler of %s failed", type(message).__name__)
            self._fail(number, InternalError("the request failed inside Runtara"))
        return True

    def _break(self, event: Broken | Goodbye) -> None:
        self._error = event.error
        if isinstance(event, Broken):
            _log.info("%s broke the protocol: %s", self.channel.peer, event.error)
            self._write(self._connection.goodbye(event.error))
        self.close(reason=event.error.code)

    # ---- sending

    def _reply(self, number: int, message: Message) -> None:
        if self._is_closing:
            return
        try:
            self._write(self._connection.reply(number, message))
        except LimitExceeded as error:
            self._fail(number, error)
        if self._greeting is not None and self._connection.phase is Phase.OPEN:
            self._welcomed()

    def _fail(self, number: int, error: RuntaraError) -> None:
        if not self._is_closing:
            self._write(self._connection.fail(number, error))

    def _write(self, frame: bytes) -> None:
        self.channel.send(frame)
        self._sent_bytes += len(frame)
        if self._sent_bytes > _ASKING_UNSENT_BYTES:
            self._sent_bytes = 0
            if self.channel.unsent_bytes > UNSENT_BYTES_MAX:
                self._error = Unavailable("the peer does not read what it is sent", unsent_bytes_max=UNSENT_BYTES_MAX)
                self.close(reason="unread")

    # ---- the greeting and the end

    def _welcomed(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None

    def _greeting_is_late(self) -> None:
        self._greeting = None
        self._error = Unavailable(f"the client said no hello within {self._greeting_s} s")
        self.close(reason="no hello")

    def _lose(self) -> None:
        """Tell everybody who waits that no answer will come."""
        for on_reply in self._connection.lose():
            on_reply(OutcomeUnknown("the connection ended before the answer came"))


async def connect_peer(
    transport: Transport,
    address: Address,
    options: ClientOptions,
    hello: Hello,
    handler: PeerHandler,
    *,
    timeout_s: float,
) -> Peer:
    """A welcomed peer.

    Raises:
        BadCredential: the server refused the credential or the token, or is not whom we trust.
        UnsupportedVersion: the two sides share no protocol version.
        Unavailable: nobody answered within ``timeout_s``, or the connection was lost before the welcome.
    """
    peer = Peer(handler, role=Role.CLIENT)
    try:
        async with asyncio.timeout(timeout_s):
            await transport.connect(address, options, peer)
            await _greet(peer, hello, timeout_s=timeout_s)
    except TimeoutError:
        raise Unavailable(f"{address} did not answer within {timeout_s} s", address=str(address)) from None
    return peer


async def _greet(peer: Peer, hello: Hello, *, timeout_s: float) -> None:
    """Say hello and hear the welcome; when that fails, the connection is closed."""
    try:
        answer = await peer.call(hello, timeout_s=timeout_s)
        if not isinstance(answer, Welcome):
            raise FrameMalformed(f"the server answered hello with {type(answer).__name__}")
    except OutcomeUnknown as error:
        peer.close(reason="no welcome")
        raise peer.error or Unavailable("the connection was lost before the welcome") from error
    except BaseException:
        peer.close(reason="not welcome")
        raise


async def listen_peers(
    transport: Transport,
    address: Address,
    options: ServerOptions,
    handler_factory: Callable[[], PeerHandler],
    *,
    greeting_s: float = GREETING_S,
) -> Listener:
    """Serve peers; ``handler_factory`` makes the handler of each. Raises as ``Transport.listen`` does.

    A client that was not welcomed ``greeting_s`` after it connected is closed.
    """
    return await transport.listen(
        address, options, lambda: Peer(handler_factory(), role=Role.SERVER, greeting_s=greeting_s)
    )
