"""The X.509 certificates of compute instances. Imported with the first instance principal, like `keys`."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .keys import PrivateKey

_TENANCY_PREFIXES: Final = (b"opc-tenant:", b"opc-identity:")
_VERSION_TAG: Final = 0xA0
_SUBJECT: Final = 4  # after serial number, algorithm, issuer and validity


@attrs.frozen
class Certificate:
    """A certificate.

    Attributes:
        public_key_base64: the public key as SubjectPublicKeyInfo.
        tenancy: the OCID of the instance's tenancy, if the subject names it.
    """

    der: bytes = attrs.field(repr=False)
    public_key_base64: str = attrs.field(repr=False)
    tenancy: str | None

    @classmethod
    def load(cls, pem: str | bytes, source: str) -> Certificate:
        """Return the first certificate in *pem*; raises `CredentialsError`, which names *source*, if there is none."""
        return cls.load_all(pem, source)[0]

    @classmethod
    def load_all(cls, pem: str | bytes, source: str) -> tuple[Certificate, ...]:
        data = pem.encode() if isinstance(pem, str) else pem
        if not data.strip():
            raise CredentialsError(f"{source} is empty; a certificate in PEM form is needed")
        try:
            found = x509.load_pem_x509_certificates(data)
            return tuple(cls._from_x509(certificate) for certificate in found)
        except (ValueError, IndexError, UnsupportedAlgorithm, x509.InvalidVersion):
            raise CredentialsError(f"{source} is not a certificate in PEM form, or is damaged") from None

    @classmethod
    def _from_x509(cls, certificate: x509.Certificate) -> Certificate:
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        tenancy = _tenancy(certificate.tbs_certificate_bytes)
        return cls(certificate.public_bytes(Encoding.DER), b64encode(public).decode(), tenancy)

    @property
    def base64(self) -> str:
        """The certificate as token services expect it: base64 on one line, without the PEM markers."""
        return b64encode(self.der).decode()

    @property
    def sha1(self) -> str:
        """The fingerprint in a ``fed-x509`` key id: upper-case hex pairs joined by colons."""
        return hashlib.sha1(self.der, usedforsecurity=False).digest().hex(":").upper()

    @property
    def sha256(self) -> str:
        """The fingerprint in a ``fed-x509-sha256`` key id: lower-case hex pairs joined by colons."""
        return hashlib.sha256(self.der).digest().hex(":")

    def belongs_to(self, key: PrivateKey) -> bool:
        return self.public_key_base64 == key.public_key_base64


def _tenancy(tbs: bytes) -> str | None:
    # Not parsed by x509.Name, which warns about common names over 64 characters: those of instances always are longer.
    # Suppressing warnings would not be thread-safe.
    ((_, body),) = _elements(tbs)
    subject = [content for tag, content in _elements(body) if tag != _VERSION_TAG][_SUBJECT]
    for _, names in _elements(subject):
        for _, name in _elements(names):
            _, (_, value) = _elements(name)
            for prefix in _TENANCY_PREFIXES:
                if value.startswith(prefix):
                    return value.removeprefix(prefix).decode("utf-8", "replace")
    return None


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element of *der*, which must be well-formed."""
    position = 0
    while position < len(der):
        tag, length = der[position], der[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[position : position + size], "big")
            position += size
        yield tag, der[position : position + length]
        position += length
