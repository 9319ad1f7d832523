"""The errors that cross a border: four families by whose fault it is and what to do next.

Every error has a stable ``code``, a one-sentence message, an optional hint (what to do), and machine-readable
attributes. An error crosses the wire whole: ``to_wire`` on one side, ``from_wire`` on the other gives the same class
back. Codes are listed in ``schema/errors.toml``; a test keeps the two in step. Codes are never reused.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

__all__ = (
    "AlreadyExists",
    "AttemptFenced",
    "BadCredential",
    "CheckpointCorrupt",
    "Conflict",
    "DiskFull",
    "FrameMalformed",
    "IllegalTransition",
    "ImageDigestMismatch",
    "ImageInUse",
    "InternalError",
    "InvalidRequest",
    "LimitExceeded",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "PermissionDenied",
    "RuntaraError",
    "ScenarioInvalid",
    "SchemaTooNew",
    "Unavailable",
    "UnsupportedVersion",
    "WireError",
)


class WireError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it travels: everything a caller needs to decide, nothing of our insides."""

    code: str
    family: str
    message: str
    hint: str | None = None
    retry_after_ms: int | None = None
    attributes: dict[str, Any] = {}


class RuntaraError(Exception):
    """The root. Never raised itself; catch it to catch everything that Runtara raises on purpose."""

    code: ClassVar[str] = ""
    family: ClassVar[str] = ""
    retryable: ClassVar[bool] = False

    _by_code: ClassVar[dict[str, type[RuntaraError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            taken = RuntaraError._by_code.setdefault(cls.code, cls)
            assert taken is cls or taken.__qualname__ == cls.__qualname__, f"code {cls.code!r} is used twice"

    def __init__(
        self, message: str, /, *, hint: str | None = None, retry_after_ms: int | None = None, **attributes: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after_ms = retry_after_ms
        self.attributes = attributes

    def to_wire(self) -> WireError:
        """The error as data. Attributes must be plain JSON-like values."""
        return WireError(
            code=self.code,
            family=self.family,
            message=self.message,
            hint=self.hint,
            retry_after_ms=self.retry_after_ms,
            attributes=self.attributes,
        )

    @staticmethod
    def from_wire(wire: WireError) -> RuntaraError:
        """The same error again; an unknown code of a newer peer becomes its family, an unknown family a bug."""
        known = RuntaraError._by_code.get(wire.code) or _FAMILIES.get(wire.family, InternalError)
        error = known(wire.message, hint=wire.hint, retry_after_ms=wire.retry_after_ms)
        # Set, not passed: a peer may name them as it likes, ``hint`` included.
        error.attributes = dict(wire.attributes)
        error.__dict__["code"] = wire.code
        return error

    @classmethod
    def codes(cls) -> dict[str, type[RuntaraError]]:
        """Every code that this process can raise, with its class."""
        return dict(cls._by_code)


class InvalidRequest(RuntaraError):
    """The caller's fault; the same request never works."""

    code = "request.invalid"
    family = "invalid_request"


class Conflict(RuntaraError):
    """The state forbids it now: look again before asking again."""

    code = "state.conflict"
    family = "conflict"


class Unavailable(RuntaraError):
    """Ours or the world's fault, and nothing was changed: ask again, not before ``retry_after_ms``."""

    code = "server.unavailable"
    family = "unavailable"
    retryable = True


class InternalError(RuntaraError):
    """A bug in Runtara. Please report it with the ``correlation_id`` among the attributes."""

    code = "internal.bug"
    family = "internal"


class CheckpointCorrupt(InternalError):
    """A stored state is not what was saved: its length, checksum or compression is wrong."""

    code = "checkpoint.corrupt"


_FAMILIES: dict[str, type[RuntaraError]] = {
    family.family: family for family in (InvalidRequest, Conflict, Unavailable, InternalError)
}


class NotFound(InvalidRequest):
    """There is no such thing, or it belongs to another tenant: the two answers are the same on purpose."""

    code = "request.not_found"


class LimitExceeded(InvalidRequest):
    """A documented limit would be passed; ``limit``, ``unit``, ``maximum`` and ``actual`` are attributes."""

    code = "request.limit_exceeded"


class FrameMalformed(InvalidRequest):
    """The bytes are not a frame or not a message of this protocol."""

    code = "request.malformed_frame"


class UnsupportedVersion(InvalidRequest):
    """The two sides share no protocol version, or an artifact needs another base runtime."""

    code = "request.unsupported_version"


class BadCredential(InvalidRequest):
    """No credential, or one that is wrong, used up or expired."""

    code = "request.bad_credential"


class PermissionDenied(InvalidRequest):
    """The credential is good, and does not allow this."""

    code = "request.permission_denied"


class ImageDigestMismatch(InvalidRequest):
    """The bytes that arrived are not the bytes that were announced; nothing was registered."""

    code = "image.digest_mismatch"


class ScenarioInvalid(InvalidRequest):
    """The scenario has errors; all of them are in the attribute ``diagnostics``."""

    code = "scenario.invalid"


class AlreadyExists(Conflict):
    """The name or id is taken by something else."""

    code = "state.already_exists"


class IllegalTransition(Conflict):
    """The status of the instance does not allow this change; ``status`` and ``change`` are attributes."""

    code = "state.illegal_transition"


class AttemptFenced(Conflict):
    """This attempt of the instance has a successor: it may not write any more and must end."""

    code = "state.attempt_fenced"


class ImageInUse(Conflict):
    """An instance that has not ended needs this image."""

    code = "image.in_use"


class SchemaTooNew(Conflict):
    """The database was migrated by a newer Runtara; this one must not touch it."""

    code = "database.schema_too_new"


class Overloaded(Unavailable):
    """A bounded queue is full; come back after ``retry_after_ms``."""

    code = "server.overloaded"


class DiskFull(Unavailable):
    """The server's disk cannot hold it; nothing of it is left there."""

    code = "server.disk_full"


class OutcomeUnknown(Unavailable):
    """It may have happened. Read before writing again, or repeat an idempotent request."""

    code = "server.outcome_unknown"
