"""The cluster's own certificate authority and the certificates it signs.

Python 3.13 verifies strictly, so certificates carry key identifiers, usages and every name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devstack.layout import write_private

LIFETIME = timedelta(days=3650)
SERVER_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
SERVER_ADDRESSES = ("127.0.0.1", "10.0.0.1")


@dataclass(frozen=True)
class Pki:
    """Paths of the cluster's keys and certificates."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.crt"

    def certificate(self, name: str) -> Path:
        """A certificate: `server` or `kubelet-client`."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """A private key: `server`, `kubelet-client` or `service-accounts`."""
        return self.folder / f"{name}.key"


def ensure(folder: Path) -> Pki:
    """Make what is missing; the authority is written last, so half a set is made again."""
    pki = Pki(folder)
    if pki.ca.exists():
        return pki
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("slipway local stack")
    authority = _authority(subject, key)
    _issue(pki, "server", authority, key, _name("local"), ExtendedKeyUsageOID.SERVER_AUTH)
    client = _name("kube-apiserver-kubelet-client", organisation="system:masters")
    _issue(pki, "kubelet-client", authority, key, client, ExtendedKeyUsageOID.CLIENT_AUTH)
    _write_key(pki.key("service-accounts"), ec.generate_private_key(ec.SECP256R1()))
    write_private(pki.ca, _pem(authority))
    return pki


def _authority(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _builder(subject, subject, key.public_key(), key)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _issue(
    pki: Pki,
    name: str,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    purpose: x509.ObjectIdentifier,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject, authority.subject, key.public_key(), authority_key)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    if purpose == ExtendedKeyUsageOID.SERVER_AUTH:
        builder = builder.add_extension(_server_names(), critical=False)
    _write_key(pki.key(name), key)
    write_private(pki.certificate(name), _pem(builder.sign(authority_key, hashes.SHA256())))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer_id, critical=False)
    )


def _server_names() -> x509.SubjectAlternativeName:
    names: Sequence[x509.GeneralName] = [
        *(x509.DNSName(name) for name in SERVER_NAMES),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in SERVER_ADDRESSES),
    ]
    return x509.SubjectAlternativeName(names)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation is not None:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,  # as kube-apiserver reads both halves
        serialization.NoEncryption(),
    )
    write_private(path, pem.decode())
