"""OCI request signatures, computed from values alone: no clock, no disk, no network.

Source: "Request Signatures" of the OCI documentation, which profiles draft-cavage-http-signatures-08:
RSA PKCS#1 v1.5 over SHA-256, signature version 1.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import PrivateKey

_QUICK_BITS: Final = 2048
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


class Signatures:
    """Makes those of one signer.

    The way to a thread and back costs as much CPU as an RSA-2048 signature. OpenSSL lets go of the interpreter, so
    longer ones run beside the loop, and on several cores: one thread for each, made on first use, and by whatever
    process it is used in, for a fork inherits no threads.
    """

    def __init__(self) -> None:
        self._threads: concurrent.futures.ThreadPoolExecutor | None = None
        self._process = 0

    async def make(self, request: SigningRequest, key: PrivateKey, key_id: str) -> dict[str, str]:
        """As `signed_headers`."""
        if key.bits <= _QUICK_BITS:
            return signed_headers(request, key, key_id)
        if self._threads is None or self._process != os.getpid():
            self._threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="aidp-sessions")
            self._process = os.getpid()
        return await asyncio.get_running_loop().run_in_executor(self._threads, signed_headers, request, key, key_id)


@runtime_checkable
class Renewing(Protocol):
    """A signer with work of its own, which ends with the last client that uses it."""

    def attach(self) -> None:
        """Count a client that uses this signer."""
        ...

    async def detach(self) -> None:
        """Discount it; the last one ends what runs in the background."""
        ...
