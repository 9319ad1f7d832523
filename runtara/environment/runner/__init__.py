"""The runner seam: how an attempt becomes a process. ``process`` is the plain one, ``memory`` the fake."""

__all__ = ()
