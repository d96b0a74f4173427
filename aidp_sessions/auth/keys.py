"""RSA private keys.

Importing `cryptography` takes about a twentieth of the package's own import time, so this module is imported when the
first key is needed.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ..errors import CredentialsError
from .secrets import NotPicklable


class PrivateKey(NotPicklable):
    """An RSA private key, which neither ``repr`` nor pickle gives away."""

    __slots__ = ("_key", "_scheme", "bits")

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key
        self._scheme = PKCS1v15(), SHA256()
        self.bits: Final = key.key_size

    @classmethod
    def load(
        cls, pem: str | bytes, pass_phrase: str | bytes | None = None, *, source: str = "private key"
    ) -> PrivateKey:
        """Read a PEM key (PKCS#1 or PKCS#8, encrypted or not); *source* names it in errors.

        A passphrase for a key that is not encrypted is ignored, as the OCI tools do: profiles inherit them.
        Raises `CredentialsError` for anything that is not a usable RSA private key.
        """
        data = _in_lines(_to_bytes(pem).replace(b"\\r", b"").replace(b"\\n", b"\n").strip())
        if b" PRIVATE KEY-----" not in data or b" OPENSSH " in data:
            problem = _describe_other_pem(data)
            raise CredentialsError(f"{source} {problem}; the RSA private key itself is needed, in PEM form")
        secret = None if pass_phrase is None else _to_bytes(pass_phrase)
        encrypted = b"ENCRYPTED" in data
        if encrypted and not secret:
            raise CredentialsError(f"{source} is encrypted and no passphrase was given; set pass_phrase")
        try:
            key = load_pem_private_key(
                data,
                secret if encrypted else None,
                # The checks take 0.1 s, or 0.6 s for RSA-4096, and hold the interpreter lock meanwhile.
                unsafe_skip_rsa_key_validation=True,
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            reason = "the passphrase is wrong, or the key is damaged" if encrypted else "the key is damaged"
            raise CredentialsError(f"{source} cannot be read: {reason}") from None
        if not isinstance(key, RSAPrivateKey):
            raise CredentialsError(f"{source} is not an RSA key; OCI signs requests with RSA keys only")
        found = cls(key)
        if not found._matches_itself():
            raise CredentialsError(f"{source} cannot be read: the key is damaged")
        return found

    def _matches_itself(self) -> bool:
        try:
            return self.verifies(self.sign(b""), b"")
        except (ValueError, UnsupportedAlgorithm):
            return False

    @classmethod
    def generate(cls, bits: int = 2048) -> PrivateKey:
        return cls(generate_private_key(public_exponent=65537, key_size=bits))

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, *self._scheme)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this key made *signature* for *data*."""
        try:
            self._key.public_key().verify(signature, data, *self._scheme)
        except InvalidSignature:
            return False
        return True

    @property
    def fingerprint(self) -> str:
        """The fingerprint that OCI shows: MD5 of the DER public key, lower-case hex pairs joined by colons."""
        return hashlib.md5(b64decode(self.public_key_base64), usedforsecurity=False).digest().hex(":")

    @property
    def public_key_base64(self) -> str:
        """The public key as token services expect it: SubjectPublicKeyInfo in base64, on one line."""
        public = self._key.public_key()
        return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()

    def to_pem(self, pass_phrase: str | None = None) -> str:
        """Return the key as PKCS#8 PEM, encrypted if a passphrase is given."""
        encryption: KeySerializationEncryption = NoEncryption()
        if pass_phrase is not None:
            encryption = BestAvailableEncryption(pass_phrase.encode())
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()

    def __repr__(self) -> str:
        return f"<PrivateKey RSA-{self._key.key_size}>"


KeySource = str | bytes | os.PathLike[str] | PrivateKey
"""A private key: its PEM text, the path of a file that holds it, or the loaded key."""


def _in_lines(data: bytes) -> bytes:
    """*data* as a PEM file; variables often hold a key on one line, or in quotes. Encrypted keys may have headers."""
    found = re.search(rb"(-----BEGIN ([A-Z0-9 ]+)-----)(.*)(-----END \2-----)", data, re.DOTALL)
    if found is None:
        return data
    if b":" in found[3]:
        return found[0] + b"\n"
    text = b"".join(found[3].split())
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([found[1], *lines, found[4], b""])


def _to_bytes(text: str | bytes) -> bytes:
    # surrogateescape restores the bytes of an environment variable; the error of a failed encode would hold the secret.
    return text.encode(errors="surrogateescape") if isinstance(text, str) else text


def _describe_other_pem(data: bytes) -> str:
    if b"PUBLIC KEY-----" in data or data.startswith(b"ssh-"):
        return "is a public key"
    if b"CERTIFICATE-----" in data:
        return "is a certificate"
    if b" OPENSSH " in data:
        return "is in OpenSSH's own format (`ssh-keygen -p -m PEM -f <file>` converts it)"
    return "is empty" if not data else "is not a PEM private key"
