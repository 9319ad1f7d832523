"""The protocol under random histories and random bytes: it never raises, never loses its way, never forgets anybody."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import hypothesis.strategies as st
import msgspec
from hypothesis import event, given, settings, target
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from runtara.errors import Conflict, Overloaded, RuntaraError
from runtara.protocol import messages as m
from runtara.protocol.codec import REQUEST, decode, encode
from runtara.protocol.connection import (
    Broken,
    Connection,
    Goodbye,
    Phase,
    PushReceived,
    ReplyReceived,
    RequestReceived,
    RequestRefused,
    Role,
)
from runtara.protocol.framing import FrameReader

MIB = 1024 * 1024
HELLO, WELCOME = m.Hello((1,), "fuzz"), m.Welcome(1, "fuzz")

messages = st.one_of(
    st.builds(m.SaveCheckpoint, st.text(max_size=20), st.binary(max_size=200)),
    st.builds(m.CheckpointState, st.none() | st.binary(max_size=20)),
    st.builds(m.AppendEvents, st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5))).map(tuple)),
    st.just(m.Ping()),
    st.just(m.Drain()),
)


def open_pair(**limits: int) -> tuple[Connection[int], Connection[int]]:
    client: Connection[int] = Connection(Role.CLIENT, **limits)
    server: Connection[int] = Connection(Role.SERVER, **limits)
    server.receive(client.request(HELLO, context=0))
    client.receive(server.reply(1, WELCOME))
    return client, server


@given(st.lists(st.binary(max_size=300), max_size=20), st.randoms(use_true_random=False))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(payloads: list[bytes], chance: object) -> None:
    stream = b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads)
    reader, received = FrameReader(frame_bytes_max=300), []
    while stream:
        size = chance.randint(1, 400)  # type: ignore[attr-defined]
        received += reader.feed(stream[:size])
        stream = stream[size:]
    assert received == payloads
    assert reader.is_empty


@given(messages, st.integers(0, 2**53 - 1))
def test_every_message_survives_the_way(message: m.Message, number: int) -> None:
    frame = encode(REQUEST, number, message, frame_bytes_max=MIB)
    assert decode(frame[4:]) == (REQUEST, number, message)


@given(st.lists(st.binary(max_size=60), max_size=10), st.sampled_from(Role))
def test_random_bytes_never_raise(pieces: list[bytes], role: Role) -> None:
    connection: Connection[int] = Connection(role)
    for piece in pieces:
        events = connection.receive(piece)
        assert all(isinstance(e, Broken | RequestRefused | Goodbye) for e in events)
        assert connection.phase is not Phase.OPEN


bodies = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.one_of(
        bodies,
        st.tuples(st.integers(-1, 5), st.integers(-1, 5), bodies),
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.tuples(st.integers(0, 150), bodies, bodies)),
    )
)
@settings(max_examples=400)
def test_random_msgpack_never_raises_and_is_answered_or_ends_the_connection(value: object) -> None:
    client, server = open_pair()
    client.request(m.Ping(), context=2)
    payload = msgspec.msgpack.encode(value)
    for side in (client, server):
        events = side.receive(len(payload).to_bytes(4, "big") + payload)
        assert len(events) == 1, "nothing is accepted and ignored"
        event(type(events[0]).__name__)
        assert isinstance(events[0], Broken | Goodbye) == (side.phase is Phase.OVER)


@given(st.integers(0, 10**6), st.data())
def test_a_mutated_conversation_never_raises(at: int, data: st.DataObject) -> None:
    client, server = open_pair()
    stream = bytearray(
        client.request(m.SaveCheckpoint("key", b"state" * 10), context=2)
        + client.push(m.Ping())
        + client.request(m.AppendEvents((("a", None), ("b", b"x"))), context=3)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        stream[at % len(stream)] = data.draw(st.integers(0, 255))
    events = server.receive(bytes(stream))
    for index, item in enumerate(events):
        event(type(item).__name__)
        assert not isinstance(item, Broken) or index == len(events) - 1
    target(float(len(events)))


@dataclass
class Side:
    """One side of the model: what it asked and what it owes."""

    connection: Connection[int]
    asked: dict[int, m.Message] = field(default_factory=dict)
    owes: dict[int, m.Message] = field(default_factory=dict)
    wire: bytes = b""
    pushed: list[m.Message] = field(default_factory=list)


REACHED: Counter[str] = Counter()


class Conversation(RuleBasedStateMachine):
    """Two connections, a wire that delivers in pieces, and the bookkeeping that must come out even."""

    LIMIT = 4

    def __init__(self) -> None:
        super().__init__()
        self.next_context = 1
        self.connect()

    def connect(self) -> None:
        client, server = open_pair(requests_in_flight_max=self.LIMIT)
        self.sides = {"client": Side(client), "server": Side(server)}

    def other(self, name: str) -> Side:
        return self.sides["server" if name == "client" else "client"]

    names = st.sampled_from(["client", "server"])

    @rule(name=names, message=messages)
    def ask(self, name: str, message: m.Message) -> None:
        side = self.sides[name]
        try:
            side.wire += side.connection.request(message, context=self.next_context)
        except Overloaded:
            assert len(side.asked) == self.LIMIT
            REACHED["overloaded"] += 1
            return
        assert len(side.asked) < self.LIMIT
        side.asked[self.next_context] = message
        self.next_context += 1

    @rule(name=names, message=messages)
    def push(self, name: str, message: m.Message) -> None:
        side = self.sides[name]
        side.wire += side.connection.push(message)
        side.pushed.append(message)

    @precondition(lambda self: any(side.owes for side in self.sides.values()))
    @rule(pick=st.integers(0, 100), is_error=st.booleans())
    def answer(self, pick: int, is_error: bool) -> None:
        side = next(side for side in self.sides.values() if side.owes)
        number = sorted(side.owes)[pick % len(side.owes)]
        message = side.owes.pop(number)
        if is_error:
            side.wire += side.connection.fail(number, Conflict("no", echo=msgspec.msgpack.encode(message)))
            REACHED["failed"] += 1
        else:
            side.wire += side.connection.reply(number, message)
            REACHED["answered"] += 1

    @precondition(lambda self: any(side.wire for side in self.sides.values()))
    @rule(name=names, size=st.integers(1, 1000))
    def deliver(self, name: str, size: int) -> None:
        if not self.sides[name].wire:
            name = "server" if name == "client" else "client"
        sender, receiver = self.sides[name], self.other(name)
        piece, sender.wire = sender.wire[:size], sender.wire[size:]
        REACHED["split"] += bool(sender.wire)
        for item in receiver.connection.receive(piece):
            self.take(sender, receiver, item)

    def take(self, sender: Side, receiver: Side, item: object) -> None:
        match item:
            case RequestReceived(number, message):
                assert message in sender.asked.values()
                receiver.owes[number] = message
            case ReplyReceived(context, outcome):
                asked = receiver.asked.pop(context)
                if isinstance(outcome, RuntaraError):
                    assert isinstance(outcome, Conflict)
                    assert outcome.attributes["echo"] == msgspec.msgpack.encode(asked)
                else:
                    assert outcome == asked
            case PushReceived(message):
                assert message == sender.pushed.pop(0)
            case _:
                raise AssertionError(f"nobody broke the protocol, and yet: {item}")

    @precondition(lambda self: all(len(side.asked) > 2 for side in self.sides.values()))
    @rule()
    def lose(self) -> None:
        REACHED["lost"] += 1
        for side in self.sides.values():
            assert side.connection.lose() == list(side.asked)
        self.connect()

    @invariant()
    def the_books_agree(self) -> None:
        for side in self.sides.values():
            assert side.connection.requests_in_flight == len(side.asked)
            assert side.connection.requests_open == len(side.owes)


def test_conversations_come_out_even_and_get_somewhere() -> None:
    REACHED.clear()
    run_state_machine_as_test(Conversation, settings=settings(max_examples=60, stateful_step_count=60, deadline=None))
    assert set(REACHED) >= {"overloaded", "failed", "answered", "split", "lost"}
