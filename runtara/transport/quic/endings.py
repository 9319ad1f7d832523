"""Why a QUIC connection ended, in our words."""

from __future__ import annotations

from typing import Any, Final

from runtara.errors import BadCredential, RuntaraError, Unavailable

__all__ = ("BROKEN", "ENDED", "NO_CREDENTIAL", "explain")

ENDED: Final = 0
"""The code of an orderly close. Below 0x100, where codes of applications and of QUIC itself do not collide."""
NO_CREDENTIAL: Final = 0x40
"""The listener wants a minted credential, or the one that was shown is not known (any more)."""
BROKEN: Final = 0x41
"""Something failed inside us; the connection cannot go on."""

# RFC 9001 §4.8: a TLS alert travels as 0x100 plus its number.
_TLS_ALERTS: Final = range(0x100, 0x200)


def explain(termination: Any) -> RuntaraError | None:
    """The error of a termination event; None for an orderly close."""
    code, reason = int(termination.error_code), str(termination.reason_phrase)
    is_application = termination.frame_type is None
    if code in _TLS_ALERTS and not is_application:
        return BadCredential(
            f"the handshake was refused: {reason or f'TLS alert {code - _TLS_ALERTS.start}'}",
            hint="Check the credential, the pinned CA and the server's name.",
        )
    if is_application and code == NO_CREDENTIAL:
        return BadCredential(reason or "the server wants a credential")
    if is_application and code == ENDED:
        return None
    return Unavailable(f"the connection was lost: {reason or f'code {code}'}")
