"""The environment: images, launches, wakes, monitoring and recovery, on top of the core."""

__all__ = ()
