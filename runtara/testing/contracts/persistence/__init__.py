"""What every ``Persistence`` must do. Subclass ``PersistenceContract`` and give it one, and a hand on its clock.

The suite never waits: time goes forward when a test says so, for the database too.
"""

from runtara.testing.contracts.persistence.changes import ChangeContract
from runtara.testing.contracts.persistence.claims import ClaimContract
from runtara.testing.contracts.persistence.history import HistoryContract
from runtara.testing.contracts.persistence.host import PENDING_MAX, Advance, Host
from runtara.testing.contracts.persistence.instances import InstanceContract
from runtara.testing.contracts.persistence.servers import ServerContract
from runtara.testing.contracts.persistence.signals import SignalContract

__all__ = ("PENDING_MAX", "Advance", "Host", "PersistenceContract")


class PersistenceContract(
    ServerContract, InstanceContract, ClaimContract, HistoryContract, ChangeContract, SignalContract
):
    """Override the fixture ``host``."""
