"""OCI request signatures, and the protocol of everything that makes them. No clock, no disk, no network.

Source: "Request Signatures" of the OCI documentation, which profiles draft-cavage-http-signatures-08:
RSA PKCS#1 v1.5 over SHA-256, signature version 1.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import attrs

from .threads import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import PrivateKey

_MAX_BITS_ON_LOOP: Final = 2048
BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
METHODS = BODY_METHODS | {"GET", "HEAD", "DELETE"}


@attrs.frozen
class SigningRequest:
    """What a signature covers, exactly as it is sent.

    Attributes:
        method: ``GET``, ``HEAD``, ``DELETE``, ``POST``, ``PUT`` or ``PATCH``.
        host: lower-case host, with the port when it is not the scheme's default.
        target: path and query, percent-encoded.
        date: RFC 1123 in GMT; the service refuses more than five minutes of skew.
        body: the raw body; signed for POST, PUT and PATCH only, even if it is empty.
        content_type: the type of the body.
        extra: further headers to send and sign, such as ``opc-obo-token``; names in lower case.
    """

    method: str
    host: str
    target: str
    date: str
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = "application/json"
    extra: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)


class Signer(Protocol):
    r"""An authentication method: signs requests.

    Subclass it to inherit `refresh`, or implement both methods. A signer of the `oci` package is adapted by
    `from_oci_signer`. The one below leaves the private key in a device, and signs requests without a body:

    ```python
    from base64 import b64encode
    from pathlib import Path

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    def sign_on_device(data: bytes) -> bytes:  # a stand-in: call the device here
        pem = Path("~/.oci/oci_api_key.pem").expanduser().read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the service takes RSA keys only")
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    class DeviceSigner(Signer):
        def __init__(self, key_id: str) -> None:
            self.key_id = key_id  # tenancy OCID/user OCID/fingerprint

        async def sign(self, request: SigningRequest) -> dict[str, str]:
            target = f"{request.method.lower()} {request.target}"
            text = f"date: {request.date}\n(request-target): {target}\nhost: {request.host}"
            signature = b64encode(await asyncio.to_thread(sign_on_device, text.encode())).decode()
            authorization = (
                f'Signature version="1",keyId="{self.key_id}",algorithm="rsa-sha256",'
                f'headers="date (request-target) host",signature="{signature}"'
            )
            return {"date": request.date, "host": request.host, "authorization": authorization}

    platform_id, endpoint = os.environ["AIDP_INSTANCE_ID"], os.environ.get("AIDP_ENDPOINT")
    signer = DeviceSigner(os.environ["KEY_ID"])
    async with SessionsClient(platform_id, signer=signer, endpoint=endpoint) as client:
        print(len(await client.sessions().collect()), "sessions")
    ```
    """

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """Return the headers to send with *request*, including ``authorization``; names in lower case.

        Called once per attempt, right before it is sent. Raises `CredentialsError` if there is no valid credential.
        """
        ...

    async def refresh(self, rejected: Mapping[str, str]) -> bool:  # noqa: ARG002  # for subclasses
        """Called after a 401 to a request with the headers *rejected*: whether to sign and send it once more."""
        return False


def content_headers(request: SigningRequest) -> dict[str, str]:
    """The headers about the body, which POST, PUT and PATCH sign even if it is empty; none for other methods."""
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
    """The string to sign: one ``name: value`` line per field, in order, joined by LF."""
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

    *extra* headers are sent and signed too, after those of the request. Without *sign_host* the host is sent but not
    signed, as the token service for certificates requires. The names and the parameters of ``authorization`` have the
    order of the official Python SDK, so that both can be compared byte by byte.
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


class SigningThreads(ThreadPool):
    """Makes the signatures of long keys in threads, one per core.

    An RSA-2048 signature takes as much CPU as passing work to a thread and back, so it is made on the event loop. A
    longer one would block the loop; OpenSSL releases the interpreter lock meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(os.cpu_count(), "aidp-sessions")

    async def sign(self, request: SigningRequest, key: PrivateKey, key_id: str) -> dict[str, str]:
        """Return what `signed_headers` returns."""
        if key.bits <= _MAX_BITS_ON_LOOP:
            return signed_headers(request, key, key_id)
        return await self.run(signed_headers, request, key, key_id)


@runtime_checkable
class SharedSigner(Protocol):
    """A signer with a background task, which ends when the last client releases it."""

    def retain(self) -> None: ...

    async def release(self) -> None: ...
