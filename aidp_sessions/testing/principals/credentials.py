"""Certificates and tokens for local services, issued by an authority that is created on the spot."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
import ssl
import tempfile
from base64 import b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ...auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIFETIME: Final = timedelta(days=3650)
_UNIT: Final = NameOID.ORGANIZATIONAL_UNIT_NAME


@functools.cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:  # noqa: ARG001  # the key of the cache
    """One key per *name* and process, because generating one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class PublicKey:
    """The public half of a key, from base64 SubjectPublicKeyInfo; raises `ValueError` for anything else."""

    def __init__(self, text: str) -> None:
        key = serialization.load_der_public_key(b64decode(text, validate=True))
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("not an RSA key")  # noqa: TRY004  # the text is wrong, not its type
        self._key = key

    def verifies(self, signature: bytes, data: bytes) -> bool:
        try:
            self._key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


class Issued:
    """A certificate and its key."""

    def __init__(self, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        form = serialization.PrivateFormat.TraditionalOpenSSL  # as the metadata service gives it
        return self._key.private_bytes(Encoding.PEM, form, serialization.NoEncryption()).decode()


class Authority:
    """A certificate authority."""

    def __init__(self, name: str) -> None:
        self._key = rsa_key(name)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.issued = Issued(self._certificate(self._name, self._key, authority=True), self._key)

    def issue(self, name: str, units: Sequence[str] = (), address: str | None = None) -> Issued:
        """A leaf certificate: *units* are organizational units of its subject, *address* is its IP address."""
        attributes = [x509.NameAttribute(_UNIT, unit) for unit in units]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), *attributes])
        extensions: list[x509.ExtensionType] = []
        if address is not None:
            extensions.append(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]))
        key = rsa_key(name)
        return Issued(self._certificate(subject, key, extensions), key)

    def _certificate(
        self,
        subject: x509.Name,
        key: rsa.RSAPrivateKey,
        extensions: Sequence[x509.ExtensionType] = (),
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + _LIFETIME,
        )
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension in (*extensions, x509.SubjectKeyIdentifier.from_public_key(key.public_key()), ours):
            builder = builder.add_extension(extension, critical=False)
        if authority:
            builder = builder.add_extension(_IS_AUTHORITY, critical=True).add_extension(_MAY_SIGN, critical=True)
        return builder.sign(self._key, hashes.SHA256())


_IS_AUTHORITY: Final = x509.BasicConstraints(ca=True, path_length=None)
_MAY_SIGN: Final = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def issued_by(leaf: bytes, authorities: Sequence[bytes]) -> bool:
    """Whether one of *authorities* signed *leaf*. All of them are in DER form; raises `ValueError` otherwise."""
    certificate = x509.load_der_x509_certificate(leaf)
    for authority in map(x509.load_der_x509_certificate, authorities):
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def server_context(issued: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # ssl reads certificates from files only
        chain = Path(folder) / "chain.pem"
        chain.touch(mode=0o600)
        chain.write_text(issued.key_pem + issued.pem, encoding="ascii")
        context.load_cert_chain(chain)
    return context


_NUMBERS: Final = itertools.count(1)


def make_token(*, issued_at: float, lifetime: float, **claims: object) -> str:
    """A token that expires *lifetime* seconds after *issued_at* (seconds since the epoch)."""
    whole = {"iat": int(issued_at), "exp": int(issued_at + lifetime), "jti": f"token-{next(_NUMBERS)}", **claims}
    return ".".join(_encoded(part) for part in ({"alg": "RS256", "typ": "JWT"}, whole)) + ".c2lnbmF0dXJl"


def expiry(token: str) -> float:
    """The expiry of a *token* of `make_token`, in seconds since the epoch."""
    return Token.parse(token, "the token", "").expires_at.timestamp()


def _encoded(part: object) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
