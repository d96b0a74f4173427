"""X.509 certificates, as far as they say who an instance is. Values alone: no clock, no disk, no network."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .keys import PrivateKey

_TENANCY_MARKS: Final = (b"opc-tenant:", b"opc-identity:")
_VERSION_TAG: Final = 0xA0
_SUBJECT: Final = 4  # after serial number, algorithm, issuer and validity


@attrs.frozen
class Certificate:
    """A certificate in DER form, and its public key as base64 SubjectPublicKeyInfo."""

    der: bytes = attrs.field(repr=False)
    public_text: str = attrs.field(repr=False)
    tenancy: str | None

    @classmethod
    def load(cls, pem: str | bytes, origin: str) -> Certificate:
        """The first certificate of *pem*; raises `CredentialsError`, beginning with *origin*, if there is none."""
        return cls.load_all(pem, origin)[0]

    @classmethod
    def load_all(cls, pem: str | bytes, origin: str) -> tuple[Certificate, ...]:
        data = pem.encode() if isinstance(pem, str) else pem
        if not data.strip():
            raise CredentialsError(f"{origin} is empty; a certificate in PEM form is needed")
        try:
            found = x509.load_pem_x509_certificates(data)
            return tuple(cls._of(certificate) for certificate in found)
        except ValueError:
            raise CredentialsError(f"{origin} is not a certificate in PEM form, or is damaged") from None

    @classmethod
    def _of(cls, certificate: x509.Certificate) -> Certificate:
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        tenancy = _tenancy(certificate.tbs_certificate_bytes)
        return cls(certificate.public_bytes(Encoding.DER), b64encode(public).decode(), tenancy)

    @property
    def text(self) -> str:
        """As token services want it: base64 on one line, without the PEM markers."""
        return b64encode(self.der).decode()

    @property
    def sha1(self) -> str:
        """Upper-case hex pairs joined by colons: how a key id of the kind ``fed-x509`` names the certificate."""
        return hashlib.sha1(self.der, usedforsecurity=False).digest().hex(":").upper()

    @property
    def sha256(self) -> str:
        """Lower-case hex pairs joined by colons: how a key id of the kind ``fed-x509-sha256`` names it."""
        return hashlib.sha256(self.der).digest().hex(":")

    def belongs_to(self, key: PrivateKey) -> bool:
        return self.public_text == key.public_text


def _tenancy(tbs: bytes) -> str | None:
    # Read by hand: x509.Name warns about each common name over 64 characters, and every instance's is longer. Muting
    # warnings is not safe beside other threads.
    ((_, body),) = _elements(tbs)
    subject = [content for tag, content in _elements(body) if tag != _VERSION_TAG][_SUBJECT]
    for _, names in _elements(subject):
        for _, name in _elements(names):
            _, (_, value) = _elements(name)
            for mark in _TENANCY_MARKS:
                if value.startswith(mark):
                    return value.removeprefix(mark).decode("utf-8", "replace")
    return None


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and content of each element of *der*, which must be well-formed."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        yield tag, der[at : at + length]
        at += length
