"""Keys and tokens for tests."""

from __future__ import annotations

import functools
import json
import os
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from aidp_sessions.auth.keys import PrivateKey
from aidp_sessions.auth.signing import SigningRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

TENANCY: Final = "ocid1.tenancy.oc1..aaaatenancy"
USER: Final = "ocid1.user.oc1..aaaauser"
DATE: Final = "Thu, 05 Jan 2034 21:31:40 GMT"
GET: Final = SigningRequest("GET", "aidp.us-ashburn-1.oci.oraclecloud.com", "/20260430/x?path=a%2Fb", DATE)
POST: Final = SigningRequest("POST", "127.0.0.1:8443", "/20260430/x", DATE, b'{"a": 1}')


@functools.cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:  # the cache distinguishes the numbers
    """One key per *number* and process, because making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(number: int = 0, pass_phrase: str | None = None, *, pkcs1: bool = False) -> str:
    formats = serialization.PrivateFormat
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if pass_phrase is not None:
        encryption = serialization.BestAvailableEncryption(pass_phrase.encode())
    form = formats.TraditionalOpenSSL if pkcs1 else formats.PKCS8
    return rsa_key(number).private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def key(number: int = 0) -> PrivateKey:
    return PrivateKey(rsa_key(number))


def fingerprint(number: int = 0) -> str:
    return key(number).fingerprint


def jwt(**claims: object) -> str:
    """A token with *claims* and a wrong signature, which only the service would verify."""
    return ".".join(_encode(part) for part in ({"alg": "RS256"}, claims)) + ".c2lnbmF0dXJl"


def _encode(part: object) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@contextmanager
def pipe(text: str) -> Iterator[str]:
    """The path of a pipe that gives *text* once, as ``<(…)`` does in a shell."""
    reader, writer = os.pipe()
    try:
        os.write(writer, text.encode())
        os.close(writer)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
