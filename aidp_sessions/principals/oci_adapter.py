"""Adapts signers of the `oci` package by duck typing; the package itself is never imported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from ..auth.secrets import NotPicklable
from ..auth.signing import Signer, content_headers
from ..auth.threads import ThreadPool
from ..errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.signing import SigningRequest

T = TypeVar("T")
_KEY_ID: Final = r'keyId="([^"]*)"'


@attrs.define(eq=False, repr=False)
class _PreparedRequest:
    """The part of a `requests.PreparedRequest` that these signers read; they set the headers."""

    method: str
    url: str
    path_url: str
    body: bytes | None
    headers: dict[str, str]


def from_oci_signer(signer: object) -> Signer:
    """Adapt a signer of the official `oci` package: API key, session token, any principal, delegation tokens, PKCS#11.

    Signers that only hold a key run on the event loop. The others may use the network or a device, so they run in
    a thread, one call at a time. All headers they set are sent.
    Raises `TypeError` if *signer* cannot be one; what it raises later becomes a `CredentialsError`.
    """
    if isinstance(signer, type) or not callable(signer):
        given = f"the class {signer.__name__}" if isinstance(signer, type) else f"{type(signer).__name__!r} object"
        raise TypeError(f"not a signer of the oci package: {given}; pass an instance, such as oci.signer.Signer(…)")
    return OciSignerAdapter(signer)


class OciSignerAdapter(NotPicklable, Signer):
    def __init__(self, signer: Callable[[object], object]) -> None:
        self._signer = signer
        self._refresh: Callable[[], object] | None = getattr(signer, "refresh_security_token", None)
        in_memory = self._refresh is None and hasattr(signer, "private_key")
        # One thread rather than a lock: calls stay exclusive after a cancellation, and across event loops.
        self._thread = None if in_memory else ThreadPool(1, "oci-signer")
        self._key_id: str | None = None

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        headers = {"date": request.date, "host": request.host, **content_headers(request)}
        prepared = _PreparedRequest(
            request.method, f"https://{request.host}{request.target}", request.target, request.body or None, headers
        )
        return await self._run(lambda: self._sign(prepared))

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Have the signer get a new token, unless it did since the rejected request was signed."""
        refresh = self._refresh
        if refresh is None:
            return False
        await self._run(lambda: self._refresh_once(refresh, _key_id(rejected)))
        return True

    def _sign(self, prepared: _PreparedRequest) -> dict[str, str]:
        self._signer(prepared)
        signed = {name.lower(): value for name, value in prepared.headers.items()}
        self._key_id = _key_id(signed)
        if self._key_id is None:
            raise CredentialsError(f"{self!r} left the request unsigned; it is not a signer of the oci package")
        return signed

    def _refresh_once(self, refresh: Callable[[], object], rejected: str | None) -> None:
        # Every 401 of a fan-out calls this, one after the other; only the first may get a token.
        if rejected == self._key_id:
            refresh()
            self._key_id = None

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._thread.run(work) if self._thread else work()
        except CredentialsError:
            raise
        except Exception as error:  # of any class: the oci package's are not imported here
            # Its text is not repeated, because it may quote a header.
            raise CredentialsError(f"{self!r} failed with {type(error).__name__}, see its cause") from error

    def __repr__(self) -> str:
        return f"from_oci_signer(<{type(self._signer).__name__}>)"


def _key_id(headers: Mapping[str, str]) -> str | None:
    match = re.search(_KEY_ID, headers.get("authorization", ""))
    return match[1] if match else None
