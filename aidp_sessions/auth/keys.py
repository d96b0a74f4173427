"""RSA private keys.

Only this module and `certificates` import `cryptography`, and only when a key is made: it takes a twentieth of the
time of importing this package.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from ..errors import CredentialsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


class PrivateKey:
    """An RSA private key that never shows itself: neither ``repr`` nor pickle gives it away."""

    __slots__ = ("_key", "_scheme")

    def __init__(self, key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415  # as said at the top
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        self._key = key
        self._scheme = PKCS1v15(), SHA256()

    @classmethod
    def load(
        cls, pem: str | bytes, pass_phrase: str | bytes | None = None, *, origin: str = "private key"
    ) -> PrivateKey:
        """Read a PEM key (PKCS#1 or PKCS#8, encrypted or not); *origin* names it in errors.

        A passphrase for a key that is not encrypted is ignored, as the OCI tools do: profiles inherit them.
        Raises `CredentialsError` for anything that is not a usable RSA private key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        data = _to_bytes(pem).strip()
        if b" PRIVATE KEY-----" not in data or b" OPENSSH " in data:
            raise CredentialsError(f"{origin} {_what_else(data)}; the RSA private key itself is needed, in PEM form")
        secret = None if pass_phrase is None else _to_bytes(pass_phrase)
        encrypted = b"ENCRYPTED" in data
        if encrypted and not secret:
            raise CredentialsError(f"{origin} is encrypted and no passphrase was given; set pass_phrase")
        try:
            key = load_pem_private_key(
                data,
                secret if encrypted else None,
                # Its checks take a tenth of a second, or six for RSA-4096, and hold up all threads meanwhile.
                unsafe_skip_rsa_key_validation=True,
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            reason = "the passphrase is wrong, or the key is damaged" if encrypted else "the key is damaged"
            raise CredentialsError(f"{origin} cannot be read: {reason}") from None
        if not isinstance(key, RSAPrivateKey):
            raise CredentialsError(f"{origin} is not an RSA key; OCI signs requests with RSA keys only")
        found = cls(key)
        if not found._works():
            raise CredentialsError(f"{origin} cannot be read: the key is damaged")
        return found

    def _works(self) -> bool:
        try:
            return self.verifies(self.sign(b""), b"")
        except ValueError:
            return False

    @classmethod
    def generate(cls, bits: int = 2048) -> PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key  # noqa: PLC0415

        return cls(generate_private_key(public_exponent=65537, key_size=bits))

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, *self._scheme)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Was *signature* made by this key over *data*?"""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        try:
            self._key.public_key().verify(signature, data, *self._scheme)
        except InvalidSignature:
            return False
        return True

    @property
    def fingerprint(self) -> str:
        """As OCI shows it: MD5 over the DER public key, lower-case hex pairs joined by colons."""
        return hashlib.md5(b64decode(self.public_text), usedforsecurity=False).digest().hex(":")

    @property
    def bits(self) -> int:
        return self._key.key_size

    @property
    def public_text(self) -> str:
        """The public half as token services want it: SubjectPublicKeyInfo in base64, on one line."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

        public = self._key.public_key()
        return b64encode(
            public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        ).decode()

    def to_pem(self, pass_phrase: str | None = None) -> str:
        """PKCS#8 PEM, encrypted if a passphrase is given: for writing a key that was generated here."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if pass_phrase is not None:
            encryption = serialization.BestAvailableEncryption(pass_phrase.encode())
        pkcs8 = serialization.PrivateFormat.PKCS8
        return self._key.private_bytes(serialization.Encoding.PEM, pkcs8, encryption).decode()

    def __repr__(self) -> str:
        return f"<PrivateKey RSA-{self._key.key_size}>"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled; build the signer anew where it is needed")


def _to_bytes(text: str | bytes) -> bytes:
    # surrogateescape gives back the bytes of an environment variable; a failed encode would carry the secret.
    return text.encode(errors="surrogateescape") if isinstance(text, str) else text


def _what_else(data: bytes) -> str:
    if b"PUBLIC KEY-----" in data or data.startswith(b"ssh-"):
        return "is a public key"
    if b"CERTIFICATE-----" in data:
        return "is a certificate"
    if b" OPENSSH " in data:
        return "is in OpenSSH's own format (`ssh-keygen -p -m PEM -f <file>` converts it)"
    return "is empty" if not data else "is not a PEM private key"
