"""Every message of both endpoints, as frozen values with a number each.

On the wire a message is an array whose first element is its number; fields follow in the order written here. Fields
are only ever appended, with a default; numbers are never reused. ``schema/golden/`` holds recorded bytes that must
decode for ever.

Numbers: 1–9 hello, 10–49 the instance endpoint, 50–69 pushes of a server, 100–199 the management endpoint.
Times are aware UTC datetimes (msgpack timestamps); durations say their unit; ``error`` and payloads are JSON bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeAlias, get_args

import msgspec

from runtara.errors import WireError
from runtara.protocol.launch import KnownCheckpoint, Psk

PROTOCOL_VERSIONS: Final = (1,)
"""The versions that this side speaks, best first."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag_field="message_tag"):
    """The root of all messages."""


# ---- hello (both endpoints): the first request of every connection


class Hello(Message, frozen=True, array_like=True, tag=1):
    """Opens a session. ``token`` is needed unless the connection itself has a credential (a launched instance)."""

    versions: tuple[int, ...]
    client: str
    """Name and version, for the logs."""
    token: str | None = None


class Welcome(Message, frozen=True, array_like=True, tag=2):
    """The session is open."""

    version: int
    server: str
    server_no: int = 0


class Ok(Message, frozen=True, array_like=True, tag=3):
    """Done, and durable."""


class Ping(Message, frozen=True, array_like=True, tag=4):
    """Answered with Ok."""


# ---- instance endpoint


class Register(Message, frozen=True, array_like=True, tag=10):
    """Presents the instance. Repeating it (a reconnect) is the same attempt, unless it was fenced."""

    instance_id: str
    tenant_id: str
    wants_input: bool = False
    instance_epoch: int = 0
    """The attempt that a reconnecting program believes to be; 0 at the first time."""


class SignalPending(Message, frozen=True, array_like=True, tag=11):
    """A signal that waits for this instance; also pushed. ``kind`` is cancel, pause or custom."""

    signal_no: int
    kind: str
    name: str | None
    payload: bytes | None


class RetryRecord(Message, frozen=True, array_like=True, tag=12):
    """The failed tries of a durable step. ``next_at`` None: the failure is final."""

    key: str
    tries: int
    error: bytes
    next_at: datetime | None
    waited_ms: int = 0


class Registered(Message, frozen=True, array_like=True, tag=13):
    """The attempt may work."""

    epoch: int
    input: bytes | None
    signals: tuple[SignalPending, ...]
    retries: tuple[RetryRecord, ...]
    has_checkpoints: bool
    """False: there are none, so every key is new."""


class SaveCheckpoint(Message, frozen=True, array_like=True, tag=14):
    """Answered with CheckpointSaved when durable. ``state`` is a sealed envelope."""

    key: str
    state: bytes
    consumes_signal_no: int | None = None


class SaveCheckpoints(Message, frozen=True, array_like=True, tag=30):
    """Results that nobody waits for, many at a time. Answered with Ok when all are durable, written or found."""

    checkpoints: tuple[KnownCheckpoint, ...]
    """At most 1000. States are sealed envelopes."""


class CheckpointSaved(Message, frozen=True, array_like=True, tag=15):
    """``found`` is the state that was there before, when it was: then nothing was written."""

    found: bytes | None = None


class GetCheckpoint(Message, frozen=True, array_like=True, tag=16):
    """Answered with CheckpointState. Reads only."""

    key: str


class CheckpointState(Message, frozen=True, array_like=True, tag=17):
    """``state`` is None when the key is unknown."""

    state: bytes | None


class ReadCheckpoints(Message, frozen=True, array_like=True, tag=18):
    """All states after a key, as many as fit. Answered with CheckpointPage."""

    after: str | None = None
    bytes_max: int = 8 * 1024 * 1024


class CheckpointPage(Message, frozen=True, array_like=True, tag=19):
    """States in the order of their keys."""

    checkpoints: tuple[KnownCheckpoint, ...]
    complete: bool


class AppendEvents(Message, frozen=True, array_like=True, tag=20):
    """Custom events, each (subtype, JSON payload or None). Answered with Ok.

    Repeating it is safe when its events are numbered, one by one from ``first_no`` on: the attempt counts them from 1.
    """

    events: tuple[tuple[str, bytes | None], ...]
    first_no: int = 0
    """0: they are not numbered, and stored as often as they are sent."""


class RecordRetry(Message, frozen=True, array_like=True, tag=21):
    """Answered with Ok when durable."""

    retry: RetryRecord


class Complete(Message, frozen=True, array_like=True, tag=22):
    """The instance is done. Answered with Ok when durable; the program then exits with code 0."""

    output: bytes


class Fail(Message, frozen=True, array_like=True, tag=23):
    """The instance failed. ``error`` is the JSON of a structured error. Answered with Ok when durable."""

    error: bytes


class Sleep(Message, frozen=True, array_like=True, tag=24):
    """The attempt ends here and wants to be launched again at ``wake_at``. Answered with Ok; then it exits.

    The wake time itself was saved as a checkpoint before, so a replay sleeps no longer than promised.
    """

    wake_at: datetime


class Wait(Message, frozen=True, array_like=True, tag=25):
    """The attempt ends here and wants to be launched when a custom signal of that name comes, or at the deadline.

    Answered with Ok, then it exits; or with ``Parked(False)`` when such a signal is waiting already.
    """

    name: str
    deadline: datetime | None
    other_names: tuple[str, ...] = ()
    """Signals that are as good."""


class Parked(Message, frozen=True, array_like=True, tag=26):
    """Whether the attempt is parked: if so, exit."""

    parked: bool


class Yield(Message, frozen=True, array_like=True, tag=27):
    """The answer to Drain: the attempt stands at a safe point and ends. Answered with Ok; then it exits."""


class AckSignal(Message, frozen=True, array_like=True, tag=28):
    """The answer to a cancel or pause: the attempt ends with it. Answered with SignalAcked."""

    signal_no: int


class SignalAcked(Message, frozen=True, array_like=True, tag=29):
    """``applied`` False: the signal was withdrawn meanwhile; go on working."""

    applied: bool


# ---- pushes of a server to an instance (no answer)


class NewCredential(Message, frozen=True, array_like=True, tag=50):
    """A fresh credential for the next connection; the former one is spent."""

    psk: Psk


class Drain(Message, frozen=True, array_like=True, tag=51):
    """The server is going: yield at the next safe point."""


class Fenced(Message, frozen=True, array_like=True, tag=52):
    """This attempt has a successor: stop at once, write nothing."""


# ---- management endpoint


class InstanceView(Message, frozen=True, array_like=True, tag=100):
    """What a product sees of an instance."""

    instance_id: str
    tenant_id: str
    image_id: str | None
    status: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    wake_at: datetime | None
    output: bytes | None
    error: bytes | None
    termination_reason: str | None
    exit_code: int | None = None
    memory_peak_bytes: int | None = None
    cpu_us: int | None = None
    checkpoint_key: str | None = None
    attempts_without_progress: int = 0
    timeout_s: float | None = None
    input: bytes | None = None
    last_seen: datetime | None = None
    """When its program was last heard, for one that runs on the answering server."""


class Health(Message, frozen=True, array_like=True, tag=101):
    """Answered with HealthReport. The only request that needs no token."""


class HealthReport(Message, frozen=True, array_like=True, tag=102):
    """``counts`` has pending, running, suspended, each up to 10,000; ``detail`` free facts for people."""

    healthy: bool
    version: str
    uptime_s: float
    counts: dict[str, int]
    detail: dict[str, Any]


class ImageView(Message, frozen=True, array_like=True, tag=103):
    """What a product sees of an image."""

    image_id: str
    tenant_id: str
    name: str
    description: str | None
    digest: str
    """SHA-256 in lower-case hexadecimal."""
    size_bytes: int
    metadata: dict[str, Any]
    created_at: datetime


class BeginImage(Message, frozen=True, array_like=True, tag=104):
    """Opens an upload in this session. Answered with UploadBegun."""

    tenant_id: str | None
    name: str
    size_bytes: int
    digest: str
    description: str | None = None
    metadata: dict[str, Any] = {}


class UploadBegun(Message, frozen=True, array_like=True, tag=105):
    """Send chunks next, in order; or, when ``image`` is set, nothing: the bytes are known already."""

    upload_no: int
    chunk_bytes_max: int
    image: ImageView | None = None


class UploadChunk(Message, frozen=True, array_like=True, tag=106):
    """The next bytes. Answered with Ok when they are taken."""

    upload_no: int
    offset_bytes: int
    data: bytes


class FinishImage(Message, frozen=True, array_like=True, tag=107):
    """Verifies size and digest and registers. Answered with ImageRegistered."""

    upload_no: int


class RegisterImage(Message, frozen=True, array_like=True, tag=108):
    """An upload in one request. Answered with ImageRegistered."""

    tenant_id: str | None
    name: str
    data: bytes
    digest: str | None = None
    description: str | None = None
    metadata: dict[str, Any] = {}


class ImageRegistered(Message, frozen=True, array_like=True, tag=109):
    """``created`` False: the same image was registered before."""

    image: ImageView
    created: bool


class ListImages(Message, frozen=True, array_like=True, tag=110):
    """Answered with ImagePage."""

    tenant_id: str | None = None
    limit: int = 100
    cursor: str | None = None


class ImagePage(Message, frozen=True, array_like=True, tag=111):
    """Newest first."""

    images: tuple[ImageView, ...]
    next_cursor: str | None


class GetImage(Message, frozen=True, array_like=True, tag=112):
    """By id, or by name within the tenant. Answered with ImageView."""

    tenant_id: str | None
    image: str


class DeleteImage(Message, frozen=True, array_like=True, tag=113):
    """Answered with Ok."""

    tenant_id: str | None
    image: str


class StartInstance(Message, frozen=True, array_like=True, tag=114):
    """Answered with InstanceStarted when durable. The same start again gives the same answer."""

    tenant_id: str | None
    image: str
    """Id or name."""
    instance_id: str | None
    input: bytes
    timeout_s: float | None = None
    env: dict[str, str] = {}


class InstanceStarted(Message, frozen=True, array_like=True, tag=115):
    """``created`` False: it had been started before."""

    instance_id: str
    tenant_id: str
    image_id: str
    created: bool


class GetInstance(Message, frozen=True, array_like=True, tag=116):
    """Answered with InstanceView."""

    tenant_id: str | None
    instance_id: str
    with_input: bool = False


class ListInstances(Message, frozen=True, array_like=True, tag=117):
    """Answered with InstancePage. Without a tenant: of the token's tenant, or all for an administrator."""

    tenant_id: str | None = None
    statuses: tuple[str, ...] = ()
    image: str | None = None
    instance_id_prefix: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    limit: int = 100
    cursor: str | None = None


class InstancePage(Message, frozen=True, array_like=True, tag=118):
    """Newest first; outputs are left out."""

    instances: tuple[InstanceView, ...]
    next_cursor: str | None


class PauseInstance(Message, frozen=True, array_like=True, tag=119):
    """Answered with InstanceView as it is then: a running one pauses at its next safe point."""

    tenant_id: str | None
    instance_id: str


class ResumeInstance(Message, frozen=True, array_like=True, tag=120):
    """Answered with InstanceView. ``from_failed`` allows a failed or cancelled one to go on."""

    tenant_id: str | None
    instance_id: str
    from_failed: bool = False


class CancelInstance(Message, frozen=True, array_like=True, tag=121):
    """Answered with InstanceView: a parked one is cancelled at once, a running one at its next safe point."""

    tenant_id: str | None
    instance_id: str
    reason: str | None = None


class StopInstance(Message, frozen=True, array_like=True, tag=122):
    """Cancel, wait ``grace_s`` for it, then end the process. Answered with InstanceView when it has ended."""

    tenant_id: str | None
    instance_id: str
    grace_s: float = 5.0
    reason: str | None = None


class SendCustomSignal(Message, frozen=True, array_like=True, tag=123):
    """Answered with SignalAccepted when durable. ``payload`` is JSON."""

    tenant_id: str | None
    instance_id: str
    name: str
    payload: bytes | None = None


class SignalAccepted(Message, frozen=True, array_like=True, tag=124):
    """Where the signal is."""

    signal_no: int


class ListCheckpoints(Message, frozen=True, array_like=True, tag=125):
    """Answered with CheckpointList."""

    tenant_id: str | None
    instance_id: str
    limit: int = 100
    cursor: str | None = None


class CheckpointView(Message, frozen=True, array_like=True, tag=126):
    """A checkpoint without its state."""

    key: str
    attempt: int
    created_at: datetime
    state_bytes: int


class CheckpointList(Message, frozen=True, array_like=True, tag=127):
    """Newest first."""

    checkpoints: tuple[CheckpointView, ...]
    next_cursor: str | None


class GetCheckpointState(Message, frozen=True, array_like=True, tag=128):
    """Answered with CheckpointState; the state is unsealed (the bytes that the program saved)."""

    tenant_id: str | None
    instance_id: str
    key: str


class ListEvents(Message, frozen=True, array_like=True, tag=129):
    """Answered with EventList."""

    tenant_id: str | None
    instance_id: str
    after_event_no: int = 0
    limit: int = 100
    types: tuple[str, ...] = ()


class EventView(Message, frozen=True, array_like=True, tag=130):
    """An event."""

    event_no: int
    type: str
    subtype: str | None
    payload: bytes | None
    attempt: int
    created_at: datetime


class EventList(Message, frozen=True, array_like=True, tag=131):
    """Oldest first."""

    events: tuple[EventView, ...]


class WatchInstance(Message, frozen=True, array_like=True, tag=132):
    """Push InstanceChanged now and at every change of status, until the instance has ended. Answered with Ok."""

    tenant_id: str | None
    instance_id: str
    watch_no: int
    """Chosen by the client, unique in the session."""


class UnwatchInstance(Message, frozen=True, array_like=True, tag=133):
    """Answered with Ok; unknown numbers are fine."""

    watch_no: int


class InstanceChanged(Message, frozen=True, array_like=True, tag=134):
    """Pushed. The view as it was read after the change; changes in quick succession may come as one."""

    watch_no: int
    instance: InstanceView


class ReadLogs(Message, frozen=True, array_like=True, tag=135):
    """What the program wrote. ``stream`` is stdout or stderr. Answered with LogChunk."""

    tenant_id: str | None
    instance_id: str
    stream: str
    offset_bytes: int = 0
    bytes_max: int = 65536


class LogChunk(Message, frozen=True, array_like=True, tag=136):
    """Bytes from the offset; ``ended`` when the instance has ended and this was the rest."""

    data: bytes
    next_offset_bytes: int
    ended: bool


class CreateToken(Message, frozen=True, array_like=True, tag=137):
    """For administrators. ``token_tenant_id`` None makes an administrator's. Answered with TokenCreated."""

    token_tenant_id: str | None
    note: str | None = None


class TokenCreated(Message, frozen=True, array_like=True, tag=138):
    """The secret is shown this once."""

    token_id: str
    token: str


class ListTokens(Message, frozen=True, array_like=True, tag=139):
    """For administrators. Answered with TokenList."""

    token_tenant_id: str | None = None


class TokenView(Message, frozen=True, array_like=True, tag=140):
    """A token without its secret."""

    token_id: str
    tenant_id: str | None
    note: str | None
    created_at: datetime
    revoked_at: datetime | None


class TokenList(Message, frozen=True, array_like=True, tag=141):
    """Newest first."""

    tokens: tuple[TokenView, ...]


class RevokeToken(Message, frozen=True, array_like=True, tag=142):
    """For administrators. Answered with Ok."""

    token_id: str


AnyMessage: TypeAlias = (
    Hello | Welcome | Ok | Ping
    | Register | SignalPending | RetryRecord | Registered | SaveCheckpoint | SaveCheckpoints | CheckpointSaved
    | GetCheckpoint | CheckpointState | ReadCheckpoints | CheckpointPage | AppendEvents | RecordRetry | Complete
    | Fail | Sleep | Wait | Parked | Yield | AckSignal | SignalAcked | NewCredential | Drain | Fenced
    | InstanceView | Health | HealthReport | ImageView | BeginImage | UploadBegun | UploadChunk | FinishImage
    | RegisterImage | ImageRegistered | ListImages | ImagePage | GetImage | DeleteImage | StartInstance
    | InstanceStarted | GetInstance | ListInstances | InstancePage | PauseInstance | ResumeInstance | CancelInstance
    | StopInstance | SendCustomSignal | SignalAccepted | ListCheckpoints | CheckpointView | CheckpointList
    | GetCheckpointState | ListEvents | EventView | EventList | WatchInstance | UnwatchInstance | InstanceChanged
    | ReadLogs | LogChunk | CreateToken | TokenCreated | ListTokens | TokenView | TokenList | RevokeToken
)  # fmt: skip

__all__ = (
    "PROTOCOL_VERSIONS",
    "AnyMessage",
    "Message",
    "WireError",
    *(message.__name__ for message in get_args(AnyMessage)),
)
