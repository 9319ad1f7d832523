"""What authors of durable programs import."""

__all__ = ()
