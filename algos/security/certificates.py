"""Certificates of a cluster: an authority (CA) that the head keeps, and one certificate for each machine that it signs.

Ray checks certificates on both sides of every connection, and clients compare the address that they call with the addresses
in the certificate.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
from typing import Any

from gym_gazebo2.errors import InvalidArgumentError, MissingDependencyError

__all__ = ["Identity", "check_address_of_machine", "get_expiry", "issue", "make_authority"]

AUTHORITY_DAYS, MACHINE_DAYS = 3650, 365
"""How long certificates are valid [d]."""
CLOCK_SKEW = datetime.timedelta(hours=1)
"""Certificates are valid from this long before they are signed, because the clocks of machines differ."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Ray's processes of one machine also call each other by these addresses."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """A certificate and its private key.

    Attributes:
        certificate: PEM.
        key: PEM, not encrypted.
    """

    certificate: str
    key: str = dataclasses.field(repr=False)


def make_authority(days: float = AUTHORITY_DAYS) -> Identity:
    """Return a new authority. It may sign certificates of machines, and no further authorities.

    Raises:
        MissingDependencyError: The package ``cryptography`` is not installed.
    """
    x509, _, _ = _import_cryptography()
    usage = dict.fromkeys(_KEY_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
    extensions = [(x509.BasicConstraints(ca=True, path_length=0), True), (x509.KeyUsage(**usage), True)]
    return _sign("gym_gazebo2 cluster CA", None, days, extensions)


def issue(authority: Identity, address: str, days: float = MACHINE_DAYS) -> Identity:
    """Return a certificate for a machine, with a new key. It serves for both ends of a connection.

    Args:
        authority: Who signs.
        address: IP address or host name of the machine, as the other machines call it.
        days: How long it is valid [d].

    Raises:
        MissingDependencyError: The package ``cryptography`` is not installed.
    """
    x509, _, _ = _import_cryptography()
    names = [_make_name(name) for name in dict.fromkeys((address, *LOOPBACK))]
    usage = dict.fromkeys(_KEY_USAGES, False) | {"digital_signature": True}
    purposes = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.KeyUsage(**usage), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectAlternativeName(names), False),
    ]
    return _sign(address, authority, days, extensions)


def get_expiry(certificate: str) -> datetime.datetime:
    """Return when a certificate (PEM) ends, in UTC.

    Raises:
        InvalidArgumentError: It is not a certificate.
        MissingDependencyError: The package ``cryptography`` is not installed.
    """
    x509, _, _ = _import_cryptography()
    try:
        return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    except ValueError as error:
        raise InvalidArgumentError("certificate", certificate[:40], "a certificate in PEM form") from error


def check_address_of_machine(name: str, address: str) -> str:
    """Return an address that other machines can call.

    Args:
        name: Name of the argument for the error.
        address: IP address or host name.

    Raises:
        InvalidArgumentError: It is neither, or it stands for all addresses.
    """
    expected = "an IP address or host name of the machine, such as 10.0.0.1, without a port"
    try:
        is_valid = not ipaddress.ip_address(address).is_unspecified
    except ValueError:  # a host name
        is_valid = all(part.replace("-", "").isalnum() for part in address.split("."))
    if not is_valid:
        raise InvalidArgumentError(name, address, expected)
    return address


_KEY_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def _sign(subject: str, authority: Identity | None, days: float, extensions: list[tuple[Any, bool]]) -> Identity:
    """Return a certificate with a new key, signed by an authority or by itself."""
    x509, ec, serialization = _import_cryptography()
    from cryptography.hazmat.primitives import hashes

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject[:64])])  # X.520 allows no more
    issuer, signer = name, key
    if authority is not None:
        issuer = x509.load_pem_x509_certificate(authority.certificate.encode()).subject
        signer = serialization.load_pem_private_key(authority.key.encode(), None)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
    begin = now + min(datetime.timedelta(days=days), datetime.timedelta()) - CLOCK_SKEW
    builder = builder.not_valid_before(begin).not_valid_after(now + datetime.timedelta(days=days))
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    signed = builder.sign(signer, hashes.SHA256())
    return Identity(signed.public_bytes(encoding).decode(), key.private_bytes(encoding, form, plain).decode())


def _make_name(name: str) -> Any:
    x509, _, _ = _import_cryptography()
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _import_cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MissingDependencyError("cryptography", "cluster") from error
    return x509, ec, serialization
