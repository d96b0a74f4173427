"""OCI request signatures, computed from values alone: no clock, no disk, no network.

Source: "Request Signatures" of the OCI documentation, which profiles draft-cavage-http-signatures-08:
RSA PKCS#1 v1.5 over SHA-256, signature version 1. Only this module and `certificates` import `cryptography`, and only
when a key is made: it takes a twentieth of the time of importing this package.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Protocol

import attrs

from ..errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
METHODS = BODY_METHODS | {"GET", "HEAD", "DELETE"}


@attrs.frozen
class SigningRequest:
    """What a signature covers, exactly as it goes over the wire.

    Attributes:
        method: ``GET``, ``HEAD``, ``DELETE``, ``POST``, ``PUT`` or ``PATCH``.
        host: lower-case host, with the port when it is not the scheme's default.
        target: path and query, percent-encoded.
        date: RFC 1123 in GMT; the service refuses more than five minutes of skew.
        body: the raw body; signed for POST, PUT and PATCH only, where ``b""`` counts as a body too.
        content_type: of the body.
        extra: further headers to send and sign, names in lower case, such as ``opc-obo-token``.
    """

    method: str
    host: str
    target: str
    date: str
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = "application/json"
    extra: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)


class Signer(Protocol):
    """Whatever can prove who we are. Subclass it for the default `refresh`, or bring any object of this shape."""

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """Return the headers to send with *request*, ``authorization`` among them, names in lower case.

        Called once per attempt, after the wait for a slot. Raises `CredentialsError` if there is nothing to sign with.
        """
        ...

    async def refresh(self, rejected: Mapping[str, str]) -> bool:  # noqa: ARG002  # for those who override it
        """Answer a 401 to a request that carried the headers *rejected*: is a second attempt worth it?"""
        return False


class PrivateKey:
    """An RSA private key that never shows itself: neither ``repr`` nor pickle gives it away."""

    __slots__ = ("_key", "_scheme")

    def __init__(self, key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415  # see above
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


def content_headers(request: SigningRequest) -> dict[str, str]:
    """The body headers that POST, PUT and PATCH sign, even for an empty body; none for other methods."""
    if request.method not in METHODS:
        raise ValueError(f"cannot sign method {request.method!r}; use one of {', '.join(sorted(METHODS))}")
    if request.method not in BODY_METHODS:
        return {}
    return {
        "content-length": str(len(request.body)),
        "content-type": request.content_type,
        "x-content-sha256": b64encode(hashlib.sha256(request.body).digest()).decode(),
    }


def signing_string(fields: Mapping[str, str]) -> str:
    """One ``name: value`` line for each of the *fields*, in their order, joined by LF."""
    return "\n".join([f"{name}: {value}" for name, value in fields.items()])


def signed_headers(
    request: SigningRequest,
    key: PrivateKey,
    key_id: str,
    extra: Mapping[str, str] | None = None,
    *,
    sign_host: bool = True,
) -> dict[str, str]:
    """Sign *request* and return the headers to send with it, names in lower case.

    *extra* headers (such as ``opc-obo-token``) are sent and signed too, after those of the request. Without
    *sign_host* the host is sent only, as the token service for certificates wants it. The order of names and of the
    parameters of ``authorization`` is that of the official Python SDK, so the two can be compared byte by byte.
    """
    more = {**dict(request.extra), **(extra or {})}
    content = content_headers(request)
    fields = {"date": request.date, "(request-target)": f"{request.method.lower()} {request.target}"}
    if sign_host:
        fields["host"] = request.host
    fields.update(more)
    fields.update(content)
    signature = b64encode(key.sign(signing_string(fields).encode("ascii"))).decode()
    authorization = (
        f'Signature algorithm="rsa-sha256",headers="{" ".join(fields)}",keyId="{key_id}",'
        f'signature="{signature}",version="1"'
    )
    return {"date": request.date, "host": request.host, **more, **content, "authorization": authorization}
