from datetime import UTC, datetime, timedelta

from runtara.core.credentials import CREDENTIAL_VALIDITY_S, CredentialMint
from runtara.ids import InstanceNo
from runtara.testing.clock import ManualClock

KEY = bytes(range(32))
SEVEN = InstanceNo(7)


def mint(clock: ManualClock | None = None, key: bytes = KEY) -> CredentialMint:
    return CredentialMint(key, clock=clock or ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))


def test_a_credential_names_its_instance_and_attempt_and_gives_the_same_secret() -> None:
    credentials = mint()
    psk = credentials.mint(SEVEN, 3)
    taken = credentials.take(psk.label)
    assert taken is not None
    found, identity = taken
    assert (identity.instance_no, identity.epoch) == (7, 3)
    assert found.secret == psk.secret
    assert len(psk.secret) == 48


def test_a_credential_is_good_once() -> None:
    credentials = mint()
    psk = credentials.mint(SEVEN, 1)
    assert credentials.take(psk.label) is not None
    assert credentials.take(psk.label) is None


def test_using_a_later_credential_spends_the_earlier_ones() -> None:
    credentials = mint()
    earlier, later = credentials.mint(SEVEN, 1), credentials.mint(SEVEN, 1)
    assert credentials.take(later.label) is not None
    assert credentials.take(earlier.label) is None


def test_a_label_that_was_touched_is_unknown() -> None:
    credentials = mint()
    label = credentials.mint(SEVEN, 1).label
    for position in range(len(label)):
        changed = bytearray(label)
        changed[position] ^= 1
        assert credentials.take(bytes(changed)) is None
    assert credentials.take(b"") is None
    assert credentials.take(label) is not None


def test_a_credential_expires() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    credentials = mint(clock)
    psk = credentials.mint(SEVEN, 1)
    clock.jump(timedelta(seconds=CREDENTIAL_VALIDITY_S))
    assert credentials.take(psk.label) is None


def test_a_credential_survives_a_restart_of_the_server_and_another_database_knows_nothing_of_it() -> None:
    psk = mint().mint(SEVEN, 1)
    assert mint().take(psk.label) is not None
    assert mint(key=bytes(32)).take(psk.label) is None


def test_after_a_restart_new_credentials_come_after_all_old_ones() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    old = [mint(clock).mint(SEVEN, 1) for _ in range(3)][-1]
    clock.jump(timedelta(seconds=1))
    restarted = mint(clock)
    new = restarted.mint(SEVEN, 1)
    assert restarted.take(new.label) is not None
    assert restarted.take(old.label) is None
