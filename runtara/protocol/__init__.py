"""The wire protocol, sans-I/O: bytes in, events out; values in, bytes out. See ``schema/protocol.md``."""

__all__ = ()
