"""The signer for a user's API key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .._checks import check_string
from ..auth.files import read_key
from ..auth.secrets import NotPicklable, shown
from ..auth.signing import Signer, SigningThreads
from ..errors import CredentialsError

if TYPE_CHECKING:
    from ..auth.keys import KeySource
    from ..auth.signing import SigningRequest

# The older OCIDs have colons instead of dots; both together are an OCID and the line after it.
_OCID: Final = r"(?a)[\w-]+([.:])([\w-]*\1){3,}[\w-]+"
_FINGERPRINT: Final = r"([0-9a-f]{2}:){15}[0-9a-f]{2}"


def check_tenancy(tenancy: str) -> str:
    return _check("tenancy", tenancy, _OCID, "an OCID such as 'ocid1.tenancy.oc1..…'")


def check_user(user: str) -> str:
    return _check("user", user, _OCID, "an OCID such as 'ocid1.user.oc1..…'")


def check_fingerprint(fingerprint: str) -> str:
    return _check("fingerprint", fingerprint, _FINGERPRINT, "16 pairs of lower-case hex digits joined by colons")


def _check(name: str, value: str, shape: str, description: str) -> str:
    if not re.fullmatch(shape, check_string(value, name)):
        raise ValueError(f"{name} {shown(value)} is not valid; it must be {description}")
    return value


class ApiKeySigner(NotPicklable, Signer):
    """Signs as *user* of *tenancy* with the private half of an API key.

    Source: "Required Keys and OCIDs" of the OCI documentation. Can be created outside an event loop and shared between
    loops.

    Args:
        tenancy: OCID of the tenancy.
        user: OCID of the user.
        fingerprint: the fingerprint that OCI shows for the key.
        private_key: PEM text, bytes, the path of a PEM file (``~`` is expanded) or a loaded key; read once.
        pass_phrase: the passphrase of the key; ignored if the key is not encrypted.
        verify_fingerprint: refuse a *fingerprint* that is not the key's. Without the check, the service answers 401.

    Raises `ValueError` for a malformed OCID or fingerprint, `ConfigError` if the file cannot be read, and
    `CredentialsError` if it holds no usable key, or one with another fingerprint.
    """

    def __init__(
        self,
        *,
        tenancy: str,
        user: str,
        fingerprint: str,
        private_key: KeySource,
        pass_phrase: str | bytes | None = None,
        verify_fingerprint: bool = True,
    ) -> None:
        self.tenancy: Final = check_tenancy(tenancy)
        self.user: Final = check_user(user)
        self.fingerprint: Final = check_fingerprint(fingerprint)
        self._key_id: Final = f"{tenancy}/{user}/{fingerprint}"
        self._key: Final = read_key(private_key, pass_phrase)
        self._threads: Final = SigningThreads()
        if verify_fingerprint and self._key.fingerprint != fingerprint:
            raise CredentialsError(
                f"fingerprint {fingerprint} does not belong to the private key, whose fingerprint is "
                f"{self._key.fingerprint}; correct the fingerprint, or use the other key (key_file)"
            )

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        return await self._threads.sign(request, self._key, self._key_id)

    def __repr__(self) -> str:
        return f"ApiKeySigner(tenancy={self.tenancy!r}, user={self.user!r}, fingerprint={self.fingerprint!r})"
