"""Runtara: durable execution of business processes. See ``docs/ARCHITECTURE.md`` for the map."""

__all__ = ("__version__",)

__version__ = "0.1.0"
