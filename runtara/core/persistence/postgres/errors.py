"""The only place that knows the driver's errors: what PostgreSQL says becomes what our callers can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import psycopg_pool

from runtara.errors import InternalError, OutcomeUnknown, RuntaraError, Unavailable

__all__ = ("Violation", "translated")

# SQLSTATE classes and codes after which the same request may work later, and nothing was changed.
# Source: PostgreSQL documentation, appendix A.
_PASSING: Final = (
    "25006",  # read only: a standby during a failover
    "28",  # credentials
    "3D000",  # the database does not exist (yet)
    "40",  # deadlock, serialization
    "42501",  # a missing privilege
    "53",  # disk full, out of memory, too many connections
    "55P03",  # lock_timeout
    "57014",  # statement_timeout
    "58",  # I/O error
)
_LOST: Final = ("08", "57P0")


class Violation(InternalError):
    """A constraint forbids it; nothing was changed. The verb knows what that means, if it can happen."""

    constraint: str | None = None


@contextmanager
def translated(*, lost: type[Unavailable] = Unavailable) -> Iterator[None]:
    """Raise our errors instead of the driver's.

    ``lost`` is what to raise when the connection broke: ``OutcomeUnknown`` where a commit may have been on its way.
    """
    try:
        yield
    except psycopg_pool.PoolTimeout as error:
        raise _unavailable("no connection to the database could be had in time", error) from error
    except psycopg_pool.PoolClosed as error:
        raise _unavailable("the connections to the database are closed", error) from error
    except psycopg.Error as error:
        raise _translate(error, lost) from error


def _translate(error: psycopg.Error, lost: type[Unavailable]) -> RuntaraError:
    state = error.sqlstate
    if state is None and not isinstance(error, psycopg.OperationalError):
        return _bug(error)
    if state is None or state.startswith(_LOST):
        return _unavailable("the connection to the database was lost", error, kind=lost)
    if state.startswith(_PASSING):
        return _unavailable("the database cannot do it now", error)
    return _bug(error)


def _unavailable(message: str, cause: Exception, *, kind: type[Unavailable] = Unavailable) -> Unavailable:
    detail = str(cause).strip().partition("\n")[0]
    hint = "Look before you write again." if kind is OutcomeUnknown else None
    return kind(f"{message}: {detail}" if detail else message, hint=hint, retry_after_ms=250)


def _bug(error: psycopg.Error) -> InternalError:
    detail = str(error).strip().partition("\n")[0]
    kind = Violation if isinstance(error, psycopg.IntegrityError) else InternalError
    ours = kind(f"the database refused a statement: {detail}", sqlstate=error.sqlstate)
    if isinstance(ours, Violation):
        ours.constraint = error.diag.constraint_name
    return ours
