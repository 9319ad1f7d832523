"""The management endpoint: who asks, may they, and which verb answers. It translates; ``verbs`` do the work.

One handler per connection. A connection is somebody's from its hello on: the token says whose. Without a token a
stranger may ask for the health and nothing else. Requests run side by side in the endpoint's task group, bounded per
connection and in all; what is refused for that reason says when to come back.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from runtara import __version__
from runtara.clock import Clock
from runtara.environment.access import Authenticate, Principal
from runtara.environment.uploads import Upload
from runtara.environment.verbs.caller import Caller
from runtara.errors import (
    BadCredential,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    Overloaded,
    RuntaraError,
    Unavailable,
)
from runtara.ids import new_id
from runtara.limits import (
    MANAGEMENT_REQUESTS_MAX,
    MANAGEMENT_REQUESTS_PER_CONNECTION_MAX,
    UPLOADS_PER_CONNECTION_MAX,
    WATCHES_PER_CONNECTION_MAX,
)
from runtara.protocol import messages as m
from runtara.transport.peer import Peer, Reply

__all__ = ("ManagementConnection", "ManagementEndpoint", "Verb")

_log = logging.getLogger(__name__)

RECHECK_INTERVAL_S: Final = 5.0
"""How long a revoked token still works on connections that are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One row of the dispatch table."""

    run: Callable[[Caller, Any], Awaitable[m.Message]]
    for_strangers: bool = False
    begins_work: bool = False
    """It makes new work, which a server that is stopping refuses."""
    answers_soon: bool = True
    """False: the answer may take seconds, so nothing else should wait to travel with it."""


class ManagementEndpoint:
    """Makes a handler for each connection of a client."""

    def __init__(
        self,
        verbs: Mapping[type[m.Message], Verb],
        *,
        authenticate: Authenticate,
        group: TaskGroup,
        clock: Clock,
        server_no: int = 0,
        strangers: Principal | None = None,
    ) -> None:
        self.verbs = verbs
        self.authenticate = authenticate
        self.group = group
        self.server_no = server_no
        self.strangers = strangers
        """Who somebody without a token is; None: nobody."""
        self.requests = 0
        self.is_draining = False
        self._clock = clock
        self._connections: set[ManagementConnection] = set()

    def accept(self) -> ManagementConnection:
        """A handler for a new connection."""
        return ManagementConnection(self)

    def add(self, connection: ManagementConnection) -> None:
        """It is open."""
        self._connections.add(connection)

    def remove(self, connection: ManagementConnection) -> None:
        """It is gone. Safe twice."""
        self._connections.discard(connection)

    async def run(self) -> None:
        """Close the connections of tokens that were revoked, until cancelled."""
        while True:
            await self._clock.sleep(RECHECK_INTERVAL_S)
            tokens = {connection.token for connection in self._connections if connection.token is not None}
            revoked = [token for token in tokens if await self._is_revoked(token)]
            for connection in [each for each in self._connections if each.token in revoked]:
                connection.end("the token was revoked")

    async def _is_revoked(self, token: str) -> bool:
        try:
            await self.authenticate(token)
        except BadCredential:
            return True
        except RuntaraError as error:
            _log.debug("cannot look at a token again: %s", error.message)
        return False


class ManagementConnection:
    """A ``PeerHandler`` and a ``Caller``: one connection of one client."""

    def __init__(self, endpoint: ManagementEndpoint) -> None:
        self.token: str | None = None
        self._endpoint = endpoint
        self._principal: Principal | None = None
        self._peer: Peer | None = None
        self._requests = 0
        self._followed: dict[int, anyio.CancelScope] = {}
        self._uploads: dict[int, Upload] = {}
        self._last_upload_no = 0

    # ---- what the peer tells us

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""
        self._peer = peer
        self._endpoint.add(self)

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``. Requests that run go on to their end: what they change is worth having."""
        self._peer = None
        self._endpoint.remove(self)
        for scope in self._followed.values():
            scope.cancel()
        for upload in self._uploads.values():
            self._endpoint.group.start_soon(upload.abandon)

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``. Clients push nothing."""

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """See ``PeerHandler``. An error that this raises is the answer."""
        match message:
            case m.Ping():
                reply.send(m.Ok())
            case m.Hello():
                self._endpoint.group.start_soon(self._answer, reply, partial(self._hello, message))
            case _:
                verb = self._admit(message)
                self._endpoint.group.start_soon(self._serve, reply, partial(verb.run, self, message))
                return verb.answers_soon
        return True

    def end(self, reason: str) -> None:
        """Close the connection."""
        if self._peer is not None:
            self._peer.close(reason=reason)

    # ---- Caller

    @property
    def is_known(self) -> bool:
        """See ``Caller``."""
        return self._principal is not None

    @property
    def principal(self) -> Principal:
        """See ``Caller``."""
        if self._principal is None:
            raise BadCredential("this needs a token", hint="Set RUNTARA_TOKEN.")
        return self._principal

    def push(self, message: m.Message) -> None:
        """See ``Caller``."""
        if self._peer is not None:
            self._peer.push(message)

    def follow(self, number: int, work: Callable[[], Awaitable[None]]) -> None:
        """See ``Caller``."""
        if number in self._followed:
            raise InvalidRequest(f"watch {number} runs already", hint="Choose numbers that are unique in the session.")
        _limit("watches_per_connection", len(self._followed) + 1, WATCHES_PER_CONNECTION_MAX, "watches")
        if self._peer is not None:
            scope = self._followed[number] = anyio.CancelScope()
            self._endpoint.group.start_soon(self._run_followed, number, scope, work)

    def unfollow(self, number: int) -> None:
        """See ``Caller``."""
        scope = self._followed.pop(number, None)
        if scope is not None:
            scope.cancel()

    def keep_upload(self, upload: Upload) -> int:
        """See ``Caller``."""
        try:
            if self._peer is None:
                raise Unavailable("the connection is gone")
            self._uploads = {number: each for number, each in self._uploads.items() if each.is_open}
            _limit("uploads_per_connection", len(self._uploads) + 1, UPLOADS_PER_CONNECTION_MAX, "uploads")
        except RuntaraError:
            upload.close()
            raise
        self._last_upload_no += 1
        self._uploads[self._last_upload_no] = upload
        return self._last_upload_no

    def find_upload(self, number: int) -> Upload | None:
        """See ``Caller``."""
        return self._uploads.get(number)

    def take_upload(self, number: int) -> Upload | None:
        """See ``Caller``."""
        return self._uploads.pop(number, None)

    # ---- inside

    def _admit(self, message: m.Message) -> Verb:
        """The verb that answers, if it may run now."""
        verb = self._endpoint.verbs.get(type(message))
        if verb is None:
            raise InvalidRequest(
                f"this server does not answer {type(message).__name__}",
                hint="A --core-only server runs no images; ask a full server.",
            )
        if self._principal is None and not verb.for_strangers:
            raise BadCredential("this needs a token", hint="Set RUNTARA_TOKEN.")
        if verb.begins_work and self._endpoint.is_draining:
            raise Unavailable("the server is stopping", retry_after_ms=1000)
        if (
            self._requests >= MANAGEMENT_REQUESTS_PER_CONNECTION_MAX
            or self._endpoint.requests >= MANAGEMENT_REQUESTS_MAX
        ):
            raise Overloaded("too many requests are running", retry_after_ms=100)
        # Counted here and not in the task: many may be admitted before the first one begins.
        self._requests += 1
        self._endpoint.requests += 1
        return verb

    async def _serve(self, reply: Reply, work: Callable[[], Awaitable[m.Message]]) -> None:
        try:
            await self._answer(reply, work)
        finally:
            self._requests -= 1
            self._endpoint.requests -= 1

    async def _answer(self, reply: Reply, work: Callable[[], Awaitable[m.Message]]) -> None:
        try:
            reply.send(await work())
        except RuntaraError as error:
            reply.fail(error)
        except Exception:
            correlation_id = new_id()
            _log.exception("a management request failed (correlation_id %s)", correlation_id)
            reply.fail(InternalError("the server failed to answer", correlation_id=correlation_id))

    async def _hello(self, hello: m.Hello) -> m.Message:
        if hello.token is None:
            self._principal = self._endpoint.strangers
        else:
            self._principal = await self._endpoint.authenticate(hello.token)
            self.token = hello.token
        version = next(version for version in m.PROTOCOL_VERSIONS if version in hello.versions)
        return m.Welcome(version, f"runtara/{__version__}", self._endpoint.server_no)

    async def _run_followed(self, number: int, scope: anyio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with scope:
                await work()
        except RuntaraError as error:
            _log.info("a watch ended: %s", error.message)
        except Exception:
            _log.exception("a watch failed")
        finally:
            if self._followed.get(number) is scope:
                del self._followed[number]


def _limit(what: str, actual: int, maximum: int, unit: str) -> None:
    if actual > maximum:
        raise LimitExceeded(
            f"at most {maximum} {unit} run on one connection", limit=what, unit=unit, maximum=maximum, actual=actual
        )
