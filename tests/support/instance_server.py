"""The instance endpoint over dicts: a verified fake (the contract of ``Durable`` runs over it and over the engine).

It serves one instance, kept in a ``MemoryInstanceStore``, on a memory network, with real minted credentials. Every
request is counted, and any of them can be lost, answered into a connection that is no more, or refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from runtara.clock import Clock
from runtara.core.credentials import CredentialMint
from runtara.errors import AttemptFenced, BadCredential, Conflict, IllegalTransition, RuntaraError
from runtara.ids import InstanceNo
from runtara.protocol import messages as m
from runtara.protocol.launch import KnownCheckpoint, Psk
from runtara.sdk.checkpoints import seal, unseal
from runtara.sdk.link import Dialer
from runtara.sdk.memory_store import MemoryInstanceStore
from runtara.sdk.remote import RemoteOptions
from runtara.transport.base import Address, ClientOptions, Listener, PskIdentity, ServerOptions, Transport
from runtara.transport.peer import Peer, Reply, listen_peers

_INSTANCE_NO = InstanceNo(1)
TOKEN = "test-token"


class Cut(Enum):
    """When a connection is lost around a request."""

    BEFORE = "the request is lost"
    AFTER = "it is done and its answer is lost"
    LATER = "the answer arrives and then the connection is lost"


class Network(Protocol):
    """What carries the connections; a ``MemoryNetwork``, or QUIC where nothing is cut."""

    def transport(self) -> Transport:
        """A transport over it."""

    def cut(self) -> int:
        """Lose every connection; how many there were."""

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after what is under way has arrived."""


@dataclass
class Faults:
    """What goes wrong, by the number of the request (1 is the first that is no Hello)."""

    cuts: dict[int, Cut] = field(default_factory=dict)
    refusals: dict[int, RuntaraError] = field(default_factory=dict)


@dataclass(kw_only=True)
class InstanceServer:
    """See the module."""

    network: Network
    clock: Clock
    store: MemoryInstanceStore = field(default_factory=MemoryInstanceStore)
    faults: Faults = field(default_factory=Faults)
    sleep_threshold_s: float = 30.0
    requests: list[m.Message] = field(default_factory=list)
    """Those that were served, in order."""
    cut_at: list[m.Message] = field(default_factory=list)
    """Those around which the connection was lost."""
    event_numbers: set[tuple[int, int]] = field(default_factory=set)
    """Of the events that are stored, by attempt."""
    count: int = 0
    """Of all requests but Hello, lost and refused ones included."""
    sessions: list[Session] = field(default_factory=list)
    mint: CredentialMint = field(init=False)
    listener: Listener | None = None
    address: Address = field(default_factory=lambda: Address("server", 8001))
    certificate_pem: bytes = b""
    private_key_pem: bytes = b""

    def __post_init__(self) -> None:
        self.restart_credentials()

    # ---- life

    async def start(self) -> None:
        options = ServerOptions(
            certificate_pem=self.certificate_pem, private_key_pem=self.private_key_pem, credentials=self
        )
        self.listener = await listen_peers(self.network.transport(), self.address, options, lambda: Session(self))
        self.address = self.listener.address

    async def stop(self) -> None:
        """As by kill -9: connections are lost, and what was spent is forgotten."""
        self.network.cut()
        if self.listener is not None:
            await self.listener.aclose()
        self.listener = None
        self.restart_credentials()

    def restart_credentials(self) -> None:
        self.mint = CredentialMint(b"k" * 32, clock=self.clock)

    def find(self, label: bytes) -> tuple[Psk, PskIdentity] | None:
        """See ``CredentialSource``."""
        return self.mint.find(label)

    # ---- launching

    def launch(self, **changes: object) -> RemoteOptions:
        """The next attempt, told everything as by a launch record."""
        epoch = self.store.begin_attempt(self)
        known = tuple(KnownCheckpoint(key, seal(state)) for key, state in sorted(self.store.checkpoints.items()))
        dialer = Dialer(
            transport=self.network.transport(),
            address=self.address,
            options=ClientOptions(psk=self.mint.mint(_INSTANCE_NO, epoch)),
        )
        options: dict[str, object] = {
            "instance_id": self.store.instance_id,
            "tenant_id": self.store.tenant_id,
            "dialer": dialer,
            "input": self.store.input,
            "checkpoints": known,
            "checkpoints_complete": True,
            "sleep_threshold_s": self.sleep_threshold_s,
        }
        return RemoteOptions(**(options | changes))  # type: ignore[arg-type]

    def self_started(self, **changes: object) -> RemoteOptions:
        """A program that a person starts: a token instead of a credential, and told nothing."""
        dialer = Dialer(
            transport=self.network.transport(),
            address=self.address,
            options=ClientOptions(skip_verification=True),
            token=TOKEN,
        )
        told = {"dialer": dialer, "input": None, "checkpoints": (), "checkpoints_complete": False}
        return self.launch(**(told | changes))

    # ---- SignalListener of the store

    def receive(self, signal: m.SignalPending) -> None:
        self.push(signal)

    def drain(self) -> None:
        self.push(m.Drain())

    def push(self, message: m.Message) -> None:
        for session in self.sessions:
            session.peer.push(message)


class Session:
    """A ``PeerHandler``: one connection."""

    def __init__(self, server: InstanceServer) -> None:
        self.server = server
        self.epoch = 0
        self.peer: Peer

    def opened(self, peer: Peer) -> None:
        self.peer = peer

    def pushed(self, peer: Peer, message: m.Message) -> None:
        raise AssertionError("programs push nothing")

    def closed(self, peer: Peer, error: Exception | None) -> None:
        if self in self.server.sessions:
            self.server.sessions.remove(self)

    def request(self, peer: Peer, message: m.Message, reply: Reply) -> bool:
        if isinstance(message, m.Hello):
            self._hello(message, reply)
            return True
        self.server.count += 1
        cut = self.server.faults.cuts.get(self.server.count)
        refusal = self.server.faults.refusals.get(self.server.count)
        if cut is not None:
            self.server.cut_at.append(message)
        if cut is Cut.BEFORE:
            self.server.network.cut()
            return True
        if refusal is not None:
            reply.fail(refusal)
            return True
        self._serve(message, reply, cut)
        return True

    def _serve(self, message: m.Message, reply: Reply, cut: Cut | None) -> None:
        self.server.requests.append(message)
        if cut is Cut.AFTER:
            self.server.network.cut()
        try:
            reply.send(self._answer(message))
        except RuntaraError as error:
            reply.fail(error)
        if cut is Cut.LATER:
            # Deliveries are in order, so this comes after the answer.
            self.server.network.later(0.0, lambda: self.server.network.later(0.0, self._cut))

    def _cut(self) -> None:
        self.server.network.cut()

    def _hello(self, hello: m.Hello, reply: Reply) -> None:
        if self.peer.channel.identity is None and hello.token != TOKEN:
            reply.fail(BadCredential("no token"))
        else:
            reply.send(m.Welcome(1, "instance server of the tests"))

    def _answer(self, message: m.Message) -> m.Message:
        if isinstance(message, m.Register):
            return self._register(message)
        return ANSWERS[type(message)](self, message)

    # ---- register

    def _register(self, message: m.Register) -> m.Registered:
        store = self.server.store
        identity = self.peer.channel.identity
        self.epoch = identity.epoch if identity is not None else message.instance_epoch or store.attempt
        if (message.instance_id, message.tenant_id) != (store.instance_id, store.tenant_id):
            raise BadCredential("the credential is another instance's")
        self._check_current("register")
        if self not in self.server.sessions:
            if identity is not None:
                self.server.mint.spend(identity)
            self.server.sessions.append(self)
        if identity is not None:
            self.peer.push(m.NewCredential(self.server.mint.mint(_INSTANCE_NO, self.epoch)))
        return m.Registered(
            epoch=self.epoch,
            input=store.input if message.wants_input else None,
            signals=tuple(store.signals.values()),
            retries=tuple(store.retries.values()),
            has_checkpoints=bool(store.checkpoints),
        )

    def _check_current(self, change: str) -> None:
        store = self.server.store
        if store.attempt != self.epoch:
            raise AttemptFenced("this attempt has a successor", epoch=store.attempt)
        if store.status != "running":
            raise IllegalTransition(f"the instance is {store.status}", status=store.status, change=change)

    # ---- writes

    def _save(self, message: m.SaveCheckpoint) -> m.CheckpointSaved:
        store = self.server.store
        if message.key in store.checkpoints:
            return m.CheckpointSaved(seal(store.checkpoints[message.key]))
        self._check_current("save")
        if message.consumes_signal_no is not None:
            if message.consumes_signal_no not in store.signals:
                raise Conflict("the signal does not wait any more")
            del store.signals[message.consumes_signal_no]
        store.checkpoints[message.key] = unseal(message.state)
        return m.CheckpointSaved()

    def _get(self, message: m.GetCheckpoint) -> m.CheckpointState:
        state = self.server.store.checkpoints.get(message.key)
        return m.CheckpointState(None if state is None else seal(state))

    def _read(self, message: m.ReadCheckpoints) -> m.CheckpointPage:
        rows = [(key, seal(state)) for key, state in sorted(self.server.store.checkpoints.items())]
        rest = [row for row in rows if message.after is None or row[0] > message.after]
        return m.CheckpointPage(tuple(KnownCheckpoint(*row) for row in rest[:100]), len(rest) <= 100)

    def _save_all(self, message: m.SaveCheckpoints) -> m.Ok:
        for checkpoint in message.checkpoints:
            self._save(m.SaveCheckpoint(checkpoint.key, checkpoint.state))
        return m.Ok()

    def _append(self, message: m.AppendEvents) -> m.Ok:
        self._check_current("append")
        for number, event in enumerate(message.events, message.first_no):
            if not message.first_no or (self.epoch, number) not in self.server.event_numbers:
                self.server.store.events.append(event)
                self.server.event_numbers.add((self.epoch, number))
        return m.Ok()

    def _record_retry(self, message: m.RecordRetry) -> m.Ok:
        self._check_current("record a retry")
        self.server.store.retries[message.retry.key] = message.retry
        return m.Ok()

    # ---- ends

    def _complete(self, message: m.Complete) -> m.Ok:
        def apply(store: MemoryInstanceStore) -> None:
            store.output = message.output

        return self._end("completed", "completed", apply)

    def _fail(self, message: m.Fail) -> m.Ok:
        def apply(store: MemoryInstanceStore) -> None:
            store.error = message.error

        return self._end("failed", "application_error", apply)

    def _sleep(self, message: m.Sleep) -> m.Ok:
        def apply(store: MemoryInstanceStore) -> None:
            store.wake_at = message.wake_at

        return self._end("suspended", "sleeping", apply)

    def _yield(self, message: m.Yield) -> m.Ok:
        def apply(store: MemoryInstanceStore) -> None:
            store.wake_at = self.server.clock.now()

        return self._end("suspended", "shutdown_requested", apply)

    def _wait(self, message: m.Wait) -> m.Parked:
        def apply(store: MemoryInstanceStore) -> None:
            store.wake_at = message.deadline

        waiting = [s for s in self.server.store.signals.values() if s.name in (message.name, *message.other_names)]
        if waiting:
            for signal in waiting:
                self.server.push(signal)
            return m.Parked(False)
        self._end("suspended", "waiting_signal", apply)
        return m.Parked(True)

    def _ack(self, message: m.AckSignal) -> m.SignalAcked:
        store = self.server.store
        self._check_current("acknowledge")
        signal = store.signals.pop(message.signal_no, None)
        if signal is None:
            return m.SignalAcked(False)
        status, reason = ("cancelled", "cancelled") if signal.kind == "cancel" else ("suspended", "paused")
        self._end(status, reason, lambda _: None)
        return m.SignalAcked(True)

    def _end(self, status: str, reason: str, apply: Callable[[MemoryInstanceStore], None]) -> m.Ok:
        store = self.server.store
        if (store.attempt, store.status, store.termination_reason) == (self.epoch, status, reason):
            return m.Ok()
        self._check_current(status)
        store.change(status, reason)
        apply(store)
        return m.Ok()


ANSWERS: dict[type[m.Message], Callable[..., m.Message]] = {
    m.SaveCheckpoint: Session._save,
    m.SaveCheckpoints: Session._save_all,
    m.GetCheckpoint: Session._get,
    m.ReadCheckpoints: Session._read,
    m.AppendEvents: Session._append,
    m.RecordRetry: Session._record_retry,
    m.Complete: Session._complete,
    m.Fail: Session._fail,
    m.Sleep: Session._sleep,
    m.Yield: Session._yield,
    m.Wait: Session._wait,
    m.AckSignal: Session._ack,
    m.Ping: lambda session, message: m.Ok(),
}
