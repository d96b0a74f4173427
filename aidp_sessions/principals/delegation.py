"""The signer that acts on behalf of a user, as in Cloud Shell: another signer, and the user's token on top.

Source: "Cloud Shell" of the OCI documentation; the header and its place in the signature are the official SDKs'.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from ..auth.files import file_signature, read_text
from ..auth.signing import Renewing, Signer
from ..errors import CredentialsError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from ..auth.files import FileSignature
    from ..auth.signing import SigningRequest

_HEADER: Final = "opc-obo-token"
_VISIBLE: Final = r"[!-~]+"
_SIGNED: Final = r'headers="([^"]*)"'


class DelegationTokenSigner(Signer):
    """Signs as *signer* does, on behalf of the user that a delegation token names.

    Args:
        signer: an instance or resource principal, or any other signer of this package.
        token: the delegation token itself; or
        token_file: the path of a file that holds it (``delegation_token_file`` of a profile), read at the first
            signature, again whenever it changes, and after a refusal.

    Raises `TypeError` unless exactly one of *token* and *token_file* is given. `sign` raises `ConfigError` if the file
    cannot be read, `CredentialsError` if it holds no token or if *signer* does not sign further headers.
    """

    def __init__(
        self, signer: Signer, *, token: str | None = None, token_file: str | os.PathLike[str] | None = None
    ) -> None:
        if (token is None) == (token_file is None):
            raise TypeError("give either token or token_file")
        self._signer = signer
        self._file = token_file
        self._token = None if token is None else _checked(token, "delegation token")
        self._seen: FileSignature = None

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        token = await self._current()
        signed = await self._signer.sign(attrs.evolve(request, extra=(*request.extra, (_HEADER, token))))
        names = re.search(_SIGNED, signed.get("authorization", ""))
        if signed.get(_HEADER) != token or not names or _HEADER not in names[1].split():
            raise CredentialsError(
                f"{self._signer!r} leaves the delegation token unsigned; use a signer of this package inside"
            )
        return signed

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Read the token's file again, and let the signer inside renew its own; worth it if either is new."""
        if self._file is not None:
            await asyncio.to_thread(self._read)
        renewed = self._token != rejected.get(_HEADER)
        return await self._signer.refresh(rejected) or renewed

    def attach(self) -> None:
        if isinstance(self._signer, Renewing):
            self._signer.attach()

    async def detach(self) -> None:
        if isinstance(self._signer, Renewing):
            await self._signer.detach()

    async def _current(self) -> str:
        if self._file is not None and (self._token is None or file_signature(self._file) != self._seen):
            await asyncio.to_thread(self._read)
        assert self._token is not None  # noqa: S101  # read just now, or given
        return self._token

    def _read(self) -> None:
        assert self._file is not None  # noqa: S101  # the callers have looked
        seen = file_signature(self._file)
        text = read_text(self._file, "delegation token file")
        self._token = _checked(text, f"delegation token in {self._file}")
        self._seen = seen

    def __repr__(self) -> str:
        return f"DelegationTokenSigner({self._signer!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled, for it holds a private key; build it anew where it is needed")


def _checked(text: str, origin: str) -> str:
    token = text.strip()
    if not re.fullmatch(_VISIBLE, token):
        problem = "holds white space or other characters that no token has" if token else "is empty"
        raise CredentialsError(f"{origin} {problem}; open a new Cloud Shell, or fetch a new delegation token")
    return token
