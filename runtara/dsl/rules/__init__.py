"""What a well-formed scenario must also be, one module per subject. Each rule finds everything, and raises nothing."""

__all__ = ()
