"""Minted credentials of launched attempts: single-use TLS pre-shared keys that name an instance and its epoch.

Nothing is stored. The label, which travels in the clear, says whom it is for, until when, and which one it is; its
last 16 bytes prove that we made it, and the secret is derived from it with a key that only the servers of this
database know. So a credential of a former process of the server, or of a peer, is as good as one of our own, and
running instances survive a kill -9 of the server.

Used up: an attempt's credentials carry growing sequence numbers, and each number is good for one registration and
only while no higher one was spent. It is spent when the program registers, in the moment in which it is given the
next one, and not at the handshake: a connection that is lost before leaves the program what it needs to come again,
and a stranger who saw the label, which proves nothing, cannot use it up. The memory of that is this process's; after
a restart a spent one is refused because it is older than its validity, or, within it, because the attempt has
connected with a newer one by then.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from typing import Final

from runtara.clock import Clock
from runtara.errors import BadCredential
from runtara.ids import InstanceNo
from runtara.protocol.launch import Psk
from runtara.transport.base import PskIdentity

__all__ = ("CREDENTIAL_VALIDITY_S", "CredentialMint")

CREDENTIAL_VALIDITY_S: Final = 3600.0
"""Longer than any server may be away before its instances give up waiting for it."""

#   version  instance_no  epoch  sequence  not_after_ms  nonce
_BODY: Final = struct.Struct(">BQIQQ8s")
_MAC_BYTES: Final = 16
_VERSION: Final = 1


class CredentialMint:
    """Makes credentials and, as a ``CredentialSource``, recognises them."""

    def __init__(self, key: bytes, *, clock: Clock) -> None:
        self._mac_key = hmac.digest(key, b"runtara instance label", "sha256")
        self._secret_key = hmac.digest(key, b"runtara instance secret", "sha256")
        self._clock = clock
        self._sequence = 0
        self._spent: dict[int, tuple[int, int]] = {}

    def mint(self, instance_no: InstanceNo, epoch: int) -> Psk:
        """A fresh credential; earlier unspent ones of the attempt stay good until a later one is spent."""
        now_s = self._clock.now().timestamp()
        # Never back, and after a restart beyond everything that the former process gave out.
        self._sequence = max(self._sequence + 1, int(now_s * 1000))
        not_after_s = now_s + CREDENTIAL_VALIDITY_S
        body = _BODY.pack(_VERSION, instance_no, epoch, self._sequence, int(not_after_s * 1000), secrets.token_bytes(8))
        label = body + self._mac(body)
        return Psk(label=label, secret=self._secret(label), not_after_s=not_after_s)

    def find(self, label: bytes) -> tuple[Psk, PskIdentity] | None:
        """See ``CredentialSource.find``."""
        if len(label) != _BODY.size + _MAC_BYTES:
            return None
        body, mac = label[: _BODY.size], label[_BODY.size :]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        version, instance_no, epoch, sequence, not_after_ms, _ = _BODY.unpack(body)
        if version != _VERSION or not_after_ms <= self._clock.now().timestamp() * 1000:
            return None
        identity = PskIdentity(instance_no=instance_no, epoch=epoch, sequence=sequence)
        if self._is_spent(identity):
            return None
        return Psk(label=label, secret=self._secret(label), not_after_s=not_after_ms / 1000), identity

    def spend(self, identity: PskIdentity) -> None:
        """Use it up, and all earlier ones of the instance. Raises ``BadCredential`` when it is spent already."""
        if self._is_spent(identity):
            raise BadCredential("the credential was used before")
        self._spent[identity.instance_no] = (identity.epoch, identity.sequence)

    def forget(self, instance_no: InstanceNo, *, epoch: int) -> None:
        """The attempt has ended for good: no credential of it is good any more, whatever the label says.

        The fence of the database would refuse it too; this keeps the memory small. Safe twice.
        """
        spent = self._spent.get(instance_no)
        if spent is not None and spent[0] <= epoch:
            del self._spent[instance_no]

    def _is_spent(self, identity: PskIdentity) -> bool:
        return self._spent.get(identity.instance_no, (-1, -1)) >= (identity.epoch, identity.sequence)

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._mac_key, body, "sha256")[:_MAC_BYTES]

    def _secret(self, label: bytes) -> bytes:
        return hmac.new(self._secret_key, label, hashlib.sha384).digest()
