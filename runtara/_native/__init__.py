"""The C extension and its pure Python reference behind one door, ``runtara._native.api``."""

__all__ = ()
