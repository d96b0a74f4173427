"""The signer that acts on behalf of a user, as in Cloud Shell: adds the user's token to the requests of another signer.

Source: "Cloud Shell" of the OCI documentation; header and signature are those of the official SDKs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from ..auth.files import TextFile
from ..auth.secrets import NotPicklable
from ..auth.signing import SharedSigner, Signer
from ..auth.threads import run_in_thread
from ..errors import CredentialsError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from ..auth.files import FileVersion
    from ..auth.signing import SigningRequest

_HEADER: Final = "opc-obo-token"
_VISIBLE: Final = r"[!-~]+"
_SIGNED: Final = r'headers="([^"]*)"'


class DelegationTokenSigner(NotPicklable, Signer):
    """Signs as *signer* does, on behalf of the user that a delegation token names.

    Args:
        signer: an instance or resource principal, or any other signer of this package.
        token: the delegation token.
        token_file: instead of *token*, the path of a file that holds it (``delegation_token_file`` of a profile). It is
            read at the first signature, again whenever it changes, and after a 401.

    Raises `TypeError` unless exactly one of *token* and *token_file* is given. `sign` raises `ConfigError` if the file
    cannot be read, `CredentialsError` if it holds no token or if *signer* does not sign additional headers.
    """

    def __init__(
        self, signer: Signer, *, token: str | None = None, token_file: str | os.PathLike[str] | None = None
    ) -> None:
        if (token is None) == (token_file is None):
            raise TypeError("give either token or token_file")
        self._signer = signer
        self._file = None if token_file is None else TextFile.at(token_file, "delegation token file")
        self._token = "" if token is None else _check_token(token, "delegation token")
        self._version: FileVersion = None

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
        """Read the file again and refresh the other signer; whether either token is new."""
        if self._file is not None:
            await run_in_thread(self._read, self._file)
        is_new = self._token != rejected.get(_HEADER)
        return await self._signer.refresh(rejected) or is_new

    def retain(self) -> None:
        if isinstance(self._signer, SharedSigner):
            self._signer.retain()

    async def release(self) -> None:
        if isinstance(self._signer, SharedSigner):
            await self._signer.release()

    async def _current(self) -> str:
        if self._file is not None and (not self._token or self._file.version != self._version):
            await run_in_thread(self._read, self._file)
        return self._token

    def _read(self, file: TextFile) -> None:
        version = file.version
        self._token = _check_token(file.read(), str(file))
        self._version = version

    def __repr__(self) -> str:
        return f"DelegationTokenSigner({self._signer!r})"


def _check_token(text: str, source: str) -> str:
    token = text.strip()
    if not re.fullmatch(_VISIBLE, token):
        problem = "holds white space or other characters that tokens cannot contain" if token else "is empty"
        raise CredentialsError(f"{source} {problem}; open a new Cloud Shell, or get a new delegation token")
    return token
