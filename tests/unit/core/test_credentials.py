from datetime import UTC, datetime, timedelta

import pytest

from runtara.core.credentials import CREDENTIAL_VALIDITY_S, CredentialMint
from runtara.errors import BadCredential
from runtara.ids import InstanceNo
from runtara.protocol.launch import Psk
from runtara.testing.clock import ManualClock
from runtara.transport.base import PskIdentity

KEY = bytes(range(32))
SEVEN, EIGHT = InstanceNo(7), InstanceNo(8)


def mint(clock: ManualClock | None = None, key: bytes = KEY) -> CredentialMint:
    return CredentialMint(key, clock=clock or ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))


def test_a_credential_names_its_instance_and_attempt_and_gives_the_same_secret() -> None:
    credentials = mint()
    psk = credentials.mint(SEVEN, 3)
    known = credentials.find(psk.label)
    assert known is not None
    found, identity = known
    assert (identity.instance_no, identity.epoch) == (7, 3)
    assert found.secret == psk.secret
    assert len(psk.secret) == 48


def identity_of(credentials: CredentialMint, psk: Psk) -> PskIdentity:
    found = credentials.find(psk.label)
    assert found is not None
    return found[1]


def test_a_credential_is_good_until_it_is_spent_which_is_once() -> None:
    credentials = mint()
    psk = credentials.mint(SEVEN, 1)
    identity = identity_of(credentials, psk)
    assert identity_of(credentials, psk) == identity
    credentials.spend(identity)
    assert credentials.find(psk.label) is None
    with pytest.raises(BadCredential):
        credentials.spend(identity)


def test_spending_a_later_credential_spends_the_earlier_ones() -> None:
    credentials = mint()
    earlier, later, of_another = credentials.mint(SEVEN, 1), credentials.mint(SEVEN, 1), credentials.mint(EIGHT, 1)
    shown = identity_of(credentials, earlier)
    credentials.spend(identity_of(credentials, later))
    assert credentials.find(earlier.label) is None
    with pytest.raises(BadCredential):
        credentials.spend(shown)
    credentials.spend(identity_of(credentials, of_another))


def test_a_later_attempt_spends_the_credentials_of_the_former_one() -> None:
    credentials = mint()
    of_the_later = credentials.mint(SEVEN, 2)
    of_the_former = credentials.mint(SEVEN, 1)
    credentials.spend(identity_of(credentials, of_the_later))
    assert credentials.find(of_the_former.label) is None


def test_a_label_that_was_touched_is_unknown() -> None:
    credentials = mint()
    label = credentials.mint(SEVEN, 1).label
    for position in range(len(label)):
        changed = bytearray(label)
        changed[position] ^= 1
        assert credentials.find(bytes(changed)) is None
    assert credentials.find(b"") is None
    assert credentials.find(label) is not None


def test_a_credential_expires() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    credentials = mint(clock)
    psk = credentials.mint(SEVEN, 1)
    clock.jump(timedelta(seconds=CREDENTIAL_VALIDITY_S))
    assert credentials.find(psk.label) is None


def test_a_credential_survives_a_restart_of_the_server_and_another_database_knows_nothing_of_it() -> None:
    psk = mint().mint(SEVEN, 1)
    assert mint().find(psk.label) is not None
    assert mint(key=bytes(32)).find(psk.label) is None


def test_after_a_restart_new_credentials_come_after_all_old_ones() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    old = [mint(clock).mint(SEVEN, 1) for _ in range(3)][-1]
    clock.jump(timedelta(seconds=1))
    restarted = mint(clock)
    new = restarted.mint(SEVEN, 1)
    restarted.spend(identity_of(restarted, new))
    assert restarted.find(old.label) is None
