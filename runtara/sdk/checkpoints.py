"""The checkpoints of an instance as this attempt knows them, so that looking one up costs no round trip.

The attempt is the only writer, so what is known stays true. Beyond a budget of bytes nothing more is kept, and what
is not known has to be asked for.
"""

from __future__ import annotations

from typing import Final

from runtara._native import api as native

__all__ = ("KNOWN_BYTES_MAX", "KnownCheckpoints", "seal", "unseal")

KNOWN_BYTES_MAX: Final = 128 * 1024 * 1024


def seal(state: bytes) -> bytes:
    """The state in its envelope. Raises ``LimitExceeded`` when it is too large."""
    return native.seal((state,))[0]


def unseal(envelope: bytes) -> bytes:
    """The state again. Raises ``CheckpointCorrupt``."""
    return native.unseal((envelope,))[0]


class KnownCheckpoints:
    """Sealed states by key."""

    def __init__(self, *, bytes_max: int = KNOWN_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._envelopes: dict[str, bytes] = {}
        self._are_all_read = False
        self._has_forgotten = False

    @property
    def is_complete(self) -> bool:
        """True when a key that is not known does not exist."""
        return self._are_all_read and not self._has_forgotten

    @property
    def is_full(self) -> bool:
        """True when nothing more is kept."""
        return self._has_forgotten

    def add(self, key: str, envelope: bytes) -> None:
        """It exists."""
        if key in self._envelopes:
            return
        if self._bytes + len(envelope) > self._bytes_max:
            self._has_forgotten = True
            return
        self._envelopes[key] = envelope
        self._bytes += len(envelope)

    def all_read(self) -> None:
        """Everything that was stored before this attempt has been added."""
        self._are_all_read = True

    def find(self, key: str) -> bytes | None:
        """The envelope, if it is known."""
        return self._envelopes.get(key)
