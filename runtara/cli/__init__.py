"""The runtara command."""

__all__ = ()
