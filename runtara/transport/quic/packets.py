"""The few things about QUIC packets that an endpoint must know before any connection: headers, versions, resets.

Source: RFC 8999 (what holds for every version), RFC 9000 §17.2 (Initial packets) and §10.3 (stateless resets).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = (
    "CONNECTION_ID_BYTES",
    "INITIAL_BYTES_MIN",
    "RESET_BYTES",
    "RESET_TOKEN_BYTES",
    "SHORTEST_PACKET_BYTES",
    "LongHeader",
    "ResetTokens",
    "parse_long_header",
    "version_negotiation",
)

CONNECTION_ID_BYTES: Final = 8
"""Length of the connection ids that we choose; a short header does not say it."""

INITIAL_BYTES_MIN: Final = 1200
"""A datagram that opens a connection is at least so long, so that our answers amplify nothing."""

SHORTEST_PACKET_BYTES: Final = 21
"""No QUIC packet is shorter; see RFC 9000 §10.3."""

RESET_TOKEN_BYTES: Final = 16
RESET_BYTES: Final = SHORTEST_PACKET_BYTES
"""As short as can be: a reset must be shorter than what caused it, or two endpoints could answer each other forever."""

_LONG, _FIXED, _TYPE, _INITIAL = 0x80, 0x40, 0x30, 0x00
_CONNECTION_ID_BYTES_MAX: Final = 20


class LongHeader(NamedTuple):
    """The part of a long header that is the same in every version."""

    version: int
    destination: bytes
    source: bytes
    is_initial: bool
    """In version 1, the only one that we speak."""


def parse_long_header(datagram: bytes) -> LongHeader | None:
    """The header of a datagram's first packet; None when it has none or is cut off."""
    size = len(datagram)
    if size < 7 or not datagram[0] & _LONG:
        return None
    at, ids = 5, []
    for _ in range(2):
        if at >= size:
            return None
        length = datagram[at]
        if length > _CONNECTION_ID_BYTES_MAX or at + 1 + length > size:
            return None
        ids.append(datagram[at + 1 : at + 1 + length])
        at += 1 + length
    is_initial = datagram[0] & (_FIXED | _TYPE) == _FIXED | _INITIAL
    return LongHeader(int.from_bytes(datagram[1:5], "big"), ids[0], ids[1], is_initial)


def version_negotiation(header: LongHeader, versions: Sequence[int]) -> bytes:
    """The answer to a packet of a version that we do not speak. Never answer one of these with another."""
    return b"".join(
        (
            bytes([_LONG | os.urandom(1)[0]]),
            bytes(4),
            bytes([len(header.source)]),
            header.source,
            bytes([len(header.destination)]),
            header.destination,
            *(version.to_bytes(4, "big") for version in versions),
        )
    )


class ResetTokens:
    """Proofs that a connection is gone, made from the connection id and a key that outlives the process.

    A server that was restarted knows nothing of its former connections, but everything to tell their clients so:
    they need not wait for a timeout. The libraries draw their own tokens at random, so ours are handed to the client
    in the first bytes of the stream. Nobody without the key can end a connection.
    """

    def __init__(self, secret: bytes, *, port: int) -> None:
        # The port is part of it: a second listener with the same secret must not give away the tokens of the first.
        self._key = hmac.digest(secret, b"runtara reset %d" % port, "sha256")

    def token(self, connection_id: bytes) -> bytes:
        """The token of the connection that our id ``connection_id`` names."""
        return hmac.digest(self._key, connection_id, "sha256")[:RESET_TOKEN_BYTES]

    def reset(self, datagram: bytes) -> bytes | None:
        """The answer to a short-header datagram of a connection that we do not know; None when it is too short."""
        if len(datagram) <= RESET_BYTES:
            return None
        noise = bytearray(os.urandom(RESET_BYTES - RESET_TOKEN_BYTES))
        noise[0] = _FIXED | noise[0] & 0x3F
        return bytes(noise) + self.token(datagram[1 : 1 + CONNECTION_ID_BYTES])
