"""The instance endpoint: what a running program may ask, translated into writes of its own attempt and nothing else.

One handler per connection. Who it is comes from the minted credential of the connection (or, for a program that
nobody launched, from its token), never from what it says; so an instance can only touch itself. Writes are answered
by callback after the commit, without a task; everything that reads runs in the endpoint's task group.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Set
from typing import Any, Final, TypeAlias

from anyio.abc import TaskGroup

from runtara import __version__
from runtara._native import api as native
from runtara.core.engine import Engine
from runtara.core.model import EventType, Instance, Retry, Status
from runtara.core.persistence import base as writes
from runtara.core.persistence.base import ChangeStatus, Outcome, OutcomeKind
from runtara.core.sessions import Session
from runtara.core.state import RULES, Change
from runtara.errors import (
    AttemptFenced,
    BadCredential,
    Conflict,
    IllegalTransition,
    InternalError,
    InvalidRequest,
    LimitExceeded,
    RuntaraError,
)
from runtara.ids import CheckpointKey, InstanceNo, TenantId, parse_checkpoint_key, parse_instance_id, parse_tenant_id
from runtara.limits import (
    CHECKPOINT_BYTES_MAX,
    CHECKPOINTS_PER_REQUEST_MAX,
    ERROR_BYTES_MAX,
    EVENT_PAYLOAD_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    OUTPUT_BYTES_MAX,
    PREFETCH_BYTES_MAX,
)
from runtara.protocol import messages as m
from runtara.protocol.codec import NUMBER_MAX
from runtara.protocol.connection import choose_version
from runtara.protocol.launch import KnownCheckpoint
from runtara.transport.base import PskIdentity
from runtara.transport.peer import Peer, Reply

__all__ = ("Authenticate", "InstanceConnection", "InstanceEndpoint")

_log = logging.getLogger(__name__)

Authenticate: TypeAlias = Callable[[str], Awaitable[TenantId | None]]
"""The tenant of a token; raises BadCredential. None for an administrator's, which may present any tenant."""

# A sealed envelope is a little larger than its state.
_ENVELOPE_BYTES_MAX: Final = CHECKPOINT_BYTES_MAX + 64


class InstanceEndpoint:
    """Makes a handler for each connection of a program."""

    def __init__(self, engine: Engine, *, group: TaskGroup, authenticate: Authenticate | None) -> None:
        self.engine = engine
        self.authenticate = authenticate
        self._group = group

    def accept(self) -> InstanceConnection:
        """A handler for a new connection."""
        return InstanceConnection(self)

    def spawn(self, reply: Reply, work: Coroutine[Any, Any, m.Message]) -> None:
        """Answer with what ``work`` returns or raises."""
        self._group.start_soon(_answer, reply, work)


async def _answer(reply: Reply, work: Coroutine[Any, Any, m.Message]) -> None:
    try:
        reply.send(await work)
    except RuntaraError as error:
        reply.fail(error)
    except Exception:
        _log.exception("a request of an instance failed")
        reply.fail(InternalError("the server failed to answer"))


class InstanceConnection:
    """A ``PeerHandler``: one connection of one program."""

    def __init__(self, endpoint: InstanceEndpoint) -> None:
        self._endpoint = endpoint
        self._engine = endpoint.engine
        self._session: Session | None = None
        self._tenant_id: TenantId | None = None

    # ---- what the peer tells us

    def opened(self, peer: Peer) -> None:
        """See ``PeerHandler``."""

    def closed(self, peer: Peer, error: Exception | None) -> None:
        """See ``PeerHandler``. The instance lives on: silence is not death."""
        if self._session is not None:
            self._engine.sessions.remove(self._session)

    def pushed(self, peer: Peer, message: m.Message) -> None:
        """See ``PeerHandler``. Programs push nothing."""

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        """See ``PeerHandler``. True: a commit follows, and the answer right after it."""
        try:
            return self._dispatch(peer, message, reply)
        except RuntaraError as error:
            reply.fail(error)
            return True

    def _dispatch(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        if type(message) is m.SaveCheckpoint and self._session is not None:
            self._save(self._session, message, reply)
            return True
        match message:
            case m.Hello():
                self._endpoint.spawn(reply, self._hello(peer, message))
            case m.Register():
                self._endpoint.spawn(reply, self._register(peer, message))
            case m.Ping():
                reply.send(m.Ok())
            case _ if self._session is None:
                raise InvalidRequest("register first", hint="Send Register before anything else.")
            case _:
                self._registered(self._session, message, reply)
        return True

    def _registered(self, session: Session, message: m.Message, reply: Reply) -> None:
        match message:
            case m.SaveCheckpoints():
                self._save_all(session, message, reply)
            case m.AppendEvents():
                self._append_events(session, message, reply)
            case m.RecordRetry():
                self._record_retry(session, message, reply)
            case m.GetCheckpoint():
                self._endpoint.spawn(reply, self._get_checkpoint(session, message))
            case m.ReadCheckpoints():
                self._endpoint.spawn(reply, self._read_checkpoints(session, message))
            case m.Complete():
                _limit("output_bytes", message.output, OUTPUT_BYTES_MAX)
                self._end(session, Change.COMPLETE, reply, output=message.output)
            case m.Fail():
                _limit("error_bytes", message.error, ERROR_BYTES_MAX)
                self._end(session, Change.FAIL, reply, error=message.error)
            case m.Sleep():
                self._end(session, Change.SLEEP, reply, wake_at=message.wake_at)
            case m.Yield():
                self._end(session, Change.YIELD, reply)
            case m.Wait():
                self._endpoint.spawn(reply, self._wait(session, message))
            case m.AckSignal():
                self._endpoint.spawn(reply, self._ack_signal(session, message))
            case _:
                raise InvalidRequest(f"an instance may not ask {type(message).__name__}")

    # ---- hello and register

    async def _hello(self, peer: Peer, hello: m.Hello) -> m.Message:
        version = choose_version(hello.versions)
        if peer.channel.identity is None:
            if hello.token is None or self._endpoint.authenticate is None:
                raise BadCredential("a program that was not launched needs a token", hint="Set RUNTARA_TOKEN.")
            self._tenant_id = await self._endpoint.authenticate(hello.token)
        return m.Welcome(version, f"runtara/{__version__}", self._engine.server_no)

    async def _register(self, peer: Peer, message: m.Register) -> m.Message:
        identity = peer.channel.identity
        if identity is not None:
            instance = await self._register_launched(identity, message)
        else:
            instance = await self._register_self(message)
        session = Session(instance.instance_no, instance.epoch, peer)
        self._engine.sessions.add(session)
        self._session = session
        if identity is not None:
            peer.push(m.NewCredential(self._engine.credentials.mint(instance.instance_no, instance.epoch)))
        return await self._welcome_back(instance, message)

    async def _register_launched(self, identity: PskIdentity, message: m.Register) -> Instance:
        instance = await self._engine.persistence.get_instance(InstanceNo(identity.instance_no))
        if (instance.tenant_id, instance.instance_id) != (message.tenant_id, message.instance_id):
            raise BadCredential("the credential is another instance's")
        _current(instance, identity.epoch)
        if self._session is None:
            self._engine.credentials.spend(identity)
        return instance

    async def _register_self(self, message: m.Register) -> Instance:
        tenant_id, instance_id = parse_tenant_id(message.tenant_id), parse_instance_id(message.instance_id)
        if self._tenant_id not in (None, tenant_id):
            raise BadCredential("the token is another tenant's")
        if message.instance_epoch:
            found = await self._engine.persistence.find_instance(tenant_id, instance_id)
            if found is None:
                raise AttemptFenced("the instance is gone")
            if found.image_id is not None:
                raise Conflict("the instance was started from an image", hint="Only its launched program may speak.")
            return _current(found, message.instance_epoch)
        instance_no, _ = await self._engine.persistence.register_self(
            tenant_id, instance_id, server_no=self._engine.server_no
        )
        self._engine.changed(instance_no, Status.RUNNING)
        return await self._engine.persistence.get_instance(instance_no)

    async def _welcome_back(self, instance: Instance, message: m.Register) -> m.Message:
        persistence = self._engine.persistence
        signals = await persistence.pending_signals(instance.instance_no)
        # Nothing can have been retried before the first attempt.
        retries = await persistence.read_retries(instance.instance_no) if instance.epoch > 1 else ()
        return m.Registered(
            epoch=instance.epoch,
            # A program that nobody launched was given nothing.
            input=instance.input or b"{}" if message.wants_input else None,
            signals=tuple(m.SignalPending(s.signal_no, s.kind, s.name, s.payload) for s in signals),
            retries=tuple(m.RetryRecord(r.key, r.tries, r.error, r.next_at, r.waited_ms) for r in retries),
            has_checkpoints=instance.checkpoint_key is not None,
        )

    # ---- writes, answered by callback

    def _save(self, session: Session, message: m.SaveCheckpoint, reply: Reply) -> None:
        key = parse_checkpoint_key(message.key)
        _limit("checkpoint_bytes", message.state, _ENVELOPE_BYTES_MAX)
        if not native.is_sound(message.state):
            raise InvalidRequest("the checkpoint envelope is damaged", hint="Send it again.", key=message.key)
        write = writes.SaveCheckpoint(
            session.instance_no, session.epoch, key, message.state, message.consumes_signal_no
        )

        def done(outcome: Outcome | RuntaraError) -> None:
            if isinstance(outcome, Outcome) and outcome.kind is _DONE:
                reply.send(_SAVED)
            elif isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.FOUND:
                reply.send(m.CheckpointSaved(outcome.state))
            else:
                reply.fail(_refusal(outcome))

        self._engine.submit(write, done)

    def _save_all(self, session: Session, message: m.SaveCheckpoints, reply: Reply) -> None:
        given = message.checkpoints
        if len(given) > CHECKPOINTS_PER_REQUEST_MAX:
            raise LimitExceeded(
                f"a request stores at most {CHECKPOINTS_PER_REQUEST_MAX} checkpoints",
                limit="checkpoints_per_request",
                unit="checkpoints",
                maximum=CHECKPOINTS_PER_REQUEST_MAX,
                actual=len(given),
            )
        for checkpoint, is_whole in zip(given, native.check([one.state for one in given]), strict=True):
            parse_checkpoint_key(checkpoint.key)
            _limit("checkpoint_bytes", checkpoint.state, _ENVELOPE_BYTES_MAX)
            if not is_whole:
                raise InvalidRequest("the checkpoint envelope is damaged", hint="Send it again.", key=checkpoint.key)
        if not given:
            reply.send(m.Ok())
        done = _acknowledge_all(reply, len(given), OutcomeKind.FOUND)
        for one in given:
            key = CheckpointKey(one.key)
            self._engine.submit(writes.SaveCheckpoint(session.instance_no, session.epoch, key, one.state, None), done)

    def _append_events(self, session: Session, message: m.AppendEvents, reply: Reply) -> None:
        for subtype, payload in message.events:
            _limit("event_payload_bytes", payload or b"", EVENT_PAYLOAD_BYTES_MAX)
            if not subtype or len(subtype) > NAME_CHARACTERS_MAX or "\0" in subtype:
                raise InvalidRequest(f"{subtype[:40]!r} is not an event subtype")
        if not message.events:
            reply.send(m.Ok())
        done = _acknowledge_all(reply, len(message.events))
        for number, event in enumerate(message.events, _first_no(message)):
            self._engine.submit(_event(session, event, number if message.first_no else None), done)

    def _record_retry(self, session: Session, message: m.RecordRetry, reply: Reply) -> None:
        record = message.retry
        _limit("error_bytes", record.error, ERROR_BYTES_MAX)
        retry = Retry(
            key=parse_checkpoint_key(record.key),
            tries=record.tries,
            error=record.error,
            next_at=record.next_at,
            waited_ms=record.waited_ms,
        )
        self._engine.submit(writes.RecordRetry(session.instance_no, session.epoch, retry), _acknowledge(reply))

    def _end(self, session: Session, change: Change, reply: Reply, **facts: Any) -> None:
        """The attempt ends here: apply the change, and say so again when it was said before."""
        write = ChangeStatus(instance_no=session.instance_no, epoch=session.epoch, change=change, **facts)

        def done(outcome: Outcome | RuntaraError) -> None:
            if isinstance(outcome, RuntaraError):
                reply.fail(outcome)
            elif outcome.kind is OutcomeKind.DONE:
                self._engine.changed(session.instance_no, outcome.status)
                reply.send(m.Ok())
            else:
                self._endpoint.spawn(reply, self._ended_before(session, change, outcome))

        self._engine.submit(write, done)

    async def _ended_before(self, session: Session, change: Change, outcome: Outcome) -> m.Message:
        """The same end, reported again after a lost answer, is the same answer."""
        instance = await self._engine.persistence.get_instance(session.instance_no)
        rule = RULES[change]
        if (instance.epoch, instance.status, instance.termination_reason) == (
            session.epoch,
            rule.target,
            rule.reason,
        ):
            return m.Ok()
        raise _refusal(outcome)

    # ---- verbs that read first

    async def _get_checkpoint(self, session: Session, message: m.GetCheckpoint) -> m.Message:
        key = parse_checkpoint_key(message.key)
        return m.CheckpointState(await self._engine.persistence.find_checkpoint(session.instance_no, key))

    async def _read_checkpoints(self, session: Session, message: m.ReadCheckpoints) -> m.Message:
        after = None if message.after is None else parse_checkpoint_key(message.after)
        bytes_max = min(max(message.bytes_max, 1), PREFETCH_BYTES_MAX)
        rows, complete = await self._engine.persistence.read_checkpoints(
            session.instance_no, after=after, bytes_max=bytes_max
        )
        return m.CheckpointPage(tuple(KnownCheckpoint(row.key, row.state) for row in rows), complete)

    async def _wait(self, session: Session, message: m.Wait) -> m.Message:
        """Park, then look for a signal that came in between: whoever comes first, it is not missed."""
        change = ChangeStatus(
            instance_no=session.instance_no, epoch=session.epoch, change=Change.WAIT, wake_at=message.deadline
        )
        if await self._has_signal(session, {message.name, *message.other_names}):
            await self._engine.deliver(session.instance_no)
            return m.Parked(False)
        outcome = await self._engine.change(change)
        if outcome.kind is not OutcomeKind.DONE:
            await self._ended_before(session, Change.WAIT, outcome)
        if await self._has_signal(session, {message.name, *message.other_names}):
            await self._engine.change(
                ChangeStatus(instance_no=session.instance_no, epoch=None, change=Change.SIGNAL_ARRIVED)
            )
        return m.Parked(True)

    async def _has_signal(self, session: Session, names: Set[str]) -> bool:
        signals = await self._engine.persistence.pending_signals(session.instance_no)
        return any(signal.name in names for signal in signals)

    async def _ack_signal(self, session: Session, message: m.AckSignal) -> m.Message:
        signals = await self._engine.persistence.pending_signals(session.instance_no)
        kind = next((str(s.kind) for s in signals if s.signal_no == message.signal_no), None)
        if kind not in ("cancel", "pause"):
            return await self._acked_before(session)
        change = Change.CANCEL if kind == "cancel" else Change.PAUSE
        outcome = await self._engine.change(
            ChangeStatus(
                instance_no=session.instance_no, epoch=session.epoch, change=change, signal_no=message.signal_no
            )
        )
        if outcome.kind is OutcomeKind.WITHDRAWN:
            return m.SignalAcked(False)
        if outcome.kind is not OutcomeKind.DONE:
            await self._ended_before(session, change, outcome)
        return m.SignalAcked(True)

    async def _acked_before(self, session: Session) -> m.Message:
        """The signal waits no more: it was withdrawn, or this very acknowledgement was applied and its answer lost."""
        instance = await self._engine.persistence.get_instance(session.instance_no)
        if instance.epoch != session.epoch:
            raise AttemptFenced("this attempt has a successor")
        return m.SignalAcked(instance.status is not Status.RUNNING)


_SAVED: Final = m.CheckpointSaved()
_DONE: Final = OutcomeKind.DONE


def _current(instance: Instance, epoch: int) -> Instance:
    """The instance, if ``epoch`` is its running attempt."""
    if instance.epoch != epoch:
        raise AttemptFenced("this attempt has a successor", epoch=instance.epoch)
    if instance.status is not Status.RUNNING:
        raise IllegalTransition(
            f"the instance is {instance.status}", status=str(instance.status), change="register", epoch=epoch
        )
    return instance


def _first_no(message: m.AppendEvents) -> int:
    if not 0 <= message.first_no <= NUMBER_MAX - len(message.events):
        raise InvalidRequest(f"{message.first_no} is not the number of an event")
    return message.first_no


def _event(session: Session, event: tuple[str, bytes | None], number: int | None) -> writes.AppendEvent:
    subtype, payload = event
    return writes.AppendEvent(session.instance_no, session.epoch, EventType.CUSTOM, subtype, payload, number)


def _acknowledge(reply: Reply) -> Callable[[Outcome | RuntaraError], None]:
    def done(outcome: Outcome | RuntaraError) -> None:
        if isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.DONE:
            reply.send(m.Ok())
        else:
            reply.fail(_refusal(outcome))

    return done


def _acknowledge_all(reply: Reply, count: int, *also_good: OutcomeKind) -> Callable[[Outcome | RuntaraError], None]:
    """Answer when so many writes are done; the first that was refused answers for all."""
    left, good = count, (OutcomeKind.DONE, *also_good)

    def done(outcome: Outcome | RuntaraError) -> None:
        nonlocal left
        left -= 1
        if isinstance(outcome, RuntaraError) or outcome.kind not in good:
            reply.fail(_refusal(outcome))
        elif not left:
            reply.send(m.Ok())

    return done


def _refusal(outcome: Outcome | RuntaraError) -> RuntaraError:
    if isinstance(outcome, RuntaraError):
        return outcome
    match outcome.kind:
        case OutcomeKind.WITHDRAWN:
            return Conflict("the signal does not wait any more")
        case OutcomeKind.REFUSED:
            return IllegalTransition(f"the instance is {outcome.status}", status=outcome.status)
        case _:
            return AttemptFenced("this attempt has a successor or has ended", status=outcome.status)


def _limit(what: str, value: bytes, maximum: int) -> None:
    if len(value) > maximum:
        raise LimitExceeded(
            f"{what} of {len(value)} is over the limit", limit=what, unit="bytes", maximum=maximum, actual=len(value)
        )
