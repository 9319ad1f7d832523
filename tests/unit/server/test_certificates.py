from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from runtara.datadir import DataDir
from runtara.server.certificates import (
    CERTIFICATE_VALIDITY,
    RENEW_BEFORE,
    Certificates,
    CertificatesDamaged,
    ensure_certificates,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def ensure(data, *, now=NOW, hosts=("build-host",)) -> Certificates:
    return ensure_certificates(data, hosts=hosts, now=now)


def verify(server: bytes, authority: bytes, name: str, *, at=NOW) -> None:
    store = Store([x509.load_pem_x509_certificate(authority)])
    verifier = PolicyBuilder().store(store).time(at.replace(tzinfo=None)).build_server_verifier(x509.DNSName(name))
    verifier.verify(x509.load_pem_x509_certificate(server), [])


@pytest.mark.parametrize("name", ["localhost", "build-host"])
def test_the_certificate_holds_for_its_names_under_its_authority(data, name):
    made = ensure(data)
    verify(made.certificate_pem, made.ca_pem, name)


def test_it_holds_for_no_other_name_and_under_no_other_authority(data, tmp_path):
    (tmp_path / "other").mkdir()
    made, other = ensure(data), ensure(DataDir(tmp_path / "other"))
    with pytest.raises(VerificationError):
        verify(made.certificate_pem, made.ca_pem, "elsewhere")
    with pytest.raises(VerificationError):
        verify(made.certificate_pem, other.ca_pem, "localhost")


def test_it_names_the_loopback_addresses_and_the_bind_host(data):
    made = ensure(data, hosts=("10.1.2.3", "build-host", ""))
    names = x509.load_pem_x509_certificate(made.certificate_pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert {str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1", "10.1.2.3"}
    assert set(names.value.get_values_for_type(x509.DNSName)) == {"localhost", "build-host"}


def test_both_are_made_once(data):
    assert ensure(data) == ensure(data, now=NOW + timedelta(days=30))


def test_keys_are_readable_by_the_owner_only(data):
    ensure(data)
    assert {path.stat().st_mode & 0o777 for path in (data.ca_key, data.certificate_key)} == {0o600}
    assert data.ca_key.parent.stat().st_mode & 0o777 == 0o700


def test_a_certificate_near_its_end_is_renewed_under_the_same_authority(data):
    former = ensure(data)
    just_good = NOW + CERTIFICATE_VALIDITY - RENEW_BEFORE
    assert ensure(data, now=just_good) == former
    renewed = ensure(data, now=just_good + timedelta(seconds=1))
    assert renewed.ca_pem == former.ca_pem
    assert renewed.certificate_pem != former.certificate_pem
    verify(renewed.certificate_pem, former.ca_pem, "localhost", at=NOW + CERTIFICATE_VALIDITY + timedelta(days=1))


def test_a_new_host_renews_the_certificate_and_a_vanished_one_does_not(data):
    former = ensure(data, hosts=("a.example",))
    assert ensure(data, hosts=()) == former
    renewed = ensure(data, hosts=("b.example",))
    assert renewed.certificate_pem != former.certificate_pem
    verify(renewed.certificate_pem, former.ca_pem, "b.example")


def test_a_damaged_server_certificate_is_replaced(data):
    former = ensure(data)
    data.certificate.write_bytes(b"rubbish")
    renewed = ensure(data)
    assert renewed.ca_pem == former.ca_pem
    verify(renewed.certificate_pem, former.ca_pem, "localhost")


@pytest.mark.parametrize("damage", ["rubbish certificate", "rubbish key", "no key", "another key"])
def test_a_damaged_authority_is_an_error_and_nothing_is_changed(data, damage):
    ensure(data)
    match damage:
        case "rubbish certificate":
            data.ca_certificate.write_bytes(b"rubbish")
        case "rubbish key":
            data.ca_key.write_bytes(b"rubbish")
        case "no key":
            data.ca_key.unlink()
        case "another key":
            data.ca_key.write_bytes(data.certificate_key.read_bytes())
    before = data.ca_certificate.read_bytes()
    with pytest.raises(CertificatesDamaged) as caught:
        ensure(data)
    assert caught.value.attributes["path"] == str(data.ca_certificate)
    assert data.ca_certificate.read_bytes() == before


def test_an_authority_of_which_only_the_key_was_written_is_made_anew(data):
    ensure(data)
    data.ca_certificate.unlink()
    made = ensure(data)
    verify(made.certificate_pem, made.ca_pem, "localhost")


def test_a_certificate_of_a_former_authority_is_replaced(data):
    ensure(data)
    data.ca_certificate.unlink()
    data.ca_key.unlink()
    made = ensure(data)
    verify(made.certificate_pem, made.ca_pem, "localhost")


def test_the_private_key_is_the_certificates(data):
    made = ensure(data)
    key = serialization.load_pem_private_key(made.private_key_pem, password=None)
    assert key.public_key() == x509.load_pem_x509_certificate(made.certificate_pem).public_key()
