"""The server's certificate, signed by an authority of its own that lives in the data directory and that clients pin.

Both are made at the first start and kept. The certificate is renewed at a start when it has less than two years left
or does not name a host that it should, so a server may run for two years without one; the authority stays, so clients
that pinned it notice nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtara.datadir import DataDir
from runtara.errors import Conflict
from runtara.server.data_directory import write_private

__all__ = ("Certificates", "CertificatesDamaged", "ensure_certificates")

AUTHORITY_VALIDITY: Final = timedelta(days=20 * 365)
CERTIFICATE_VALIDITY: Final = timedelta(days=5 * 365)
RENEW_BEFORE: Final = timedelta(days=2 * 365)
# The clocks of two machines differ; a certificate made "now" must be good on the slower one.
BACKDATED: Final = timedelta(days=1)

_Names: TypeAlias = frozenset[x509.GeneralName]


class CertificatesDamaged(Conflict):
    """A file of the data directory's authority cannot be read; ``path`` is an attribute. Nothing was changed."""

    code = "certificates.damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What a listener shows, and what clients pin."""

    ca_pem: bytes
    certificate_pem: bytes
    private_key_pem: bytes


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_certificates(data: DataDir, *, hosts: Sequence[str], now: datetime) -> Certificates:
    """The certificates of this directory, made or renewed as needed. Safe to repeat.

    Raises:
        CertificatesDamaged: the authority's files are there and no good. Making new ones would lock every client
            out that pinned them, so a person decides.
    """
    authority = _load(data.ca_certificate, data.ca_key)
    if authority is None:
        authority = _make_authority(now)
        _store(authority, data.ca_certificate, data.ca_key)
    names = _names(hosts)
    server = _find(data.certificate, data.certificate_key)
    if server is None or not _is_good(server.certificate, authority, names, now):
        server = _make_certificate(authority, names, now)
        _store(server, data.certificate, data.certificate_key)
    return Certificates(
        ca_pem=_pem(authority.certificate),
        certificate_pem=_pem(server.certificate),
        private_key_pem=_key_pem(server.key),
    )


def _names(hosts: Sequence[str]) -> _Names:
    return frozenset(_name(host) for host in ("localhost", "127.0.0.1", "::1", *hosts) if host)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_good(certificate: x509.Certificate, authority: _Pair, names: _Names, now: datetime) -> bool:
    if certificate.not_valid_after_utc - now < RENEW_BEFORE or certificate.issuer != authority.certificate.subject:
        return False
    return names <= set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number in the name: two authorities never look like the same one.
    serial = x509.random_serial_number()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Runtara data directory {serial:x}"[:64])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(subject, subject, key, now, AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _make_certificate(authority: _Pair, names: _Names, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "runtara server")])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(subject, authority.certificate.subject, key, now, CERTIFICATE_VALIDITY)
        .add_extension(x509.SubjectAlternativeName(sorted(names, key=repr)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, validity: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + validity)
    )


def _load(certificate: Path, key: Path) -> _Pair | None:
    if not certificate.exists():
        return None
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        pair = x509.load_pem_x509_certificate(certificate.read_bytes()), private
    except (OSError, ValueError) as error:
        raise _damaged(certificate, str(error)) from error
    if not isinstance(pair[1], ec.EllipticCurvePrivateKey) or pair[0].public_key() != pair[1].public_key():
        raise _damaged(certificate, "the key is another certificate's")
    return _Pair(pair[0], pair[1])


def _find(certificate: Path, key: Path) -> _Pair | None:
    # Nobody pins the server's own certificate, so a damaged one is simply replaced.
    try:
        return _load(certificate, key)
    except CertificatesDamaged:
        return None


def _damaged(certificate: Path, reason: str) -> CertificatesDamaged:
    return CertificatesDamaged(
        f"{str(certificate)!r} or its key cannot be used: {reason}",
        hint="Restore both files; or remove both, and hand the new ca.pem to everybody who pinned the old one.",
        path=str(certificate),
    )


def _store(pair: _Pair, certificate: Path, key: Path) -> None:
    # If we die halfway there is no certificate, and both are made anew.
    certificate.unlink(missing_ok=True)
    write_private(key, _key_pem(pair.key))
    write_private(certificate, _pem(pair.certificate))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
