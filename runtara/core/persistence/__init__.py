"""The persistence seam: the contract in ``base``, PostgreSQL in ``postgres``, a verified fake in ``memory``."""

__all__ = ()
