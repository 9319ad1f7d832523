"""The transport seam: ordered bytes between two sides, with credentials. QUIC in ``quic``, a fake in ``memory``."""

__all__ = ()
