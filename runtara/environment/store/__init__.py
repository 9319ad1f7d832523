"""The store seam of the environment: images and access tokens."""

__all__ = ()
