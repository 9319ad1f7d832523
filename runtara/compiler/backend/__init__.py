"""The forms of artifacts: a seam; see ``base``."""

__all__ = ()
