"""The durable core: instances, attempts, checkpoints, signals and events over one persistence seam."""

__all__ = ()
