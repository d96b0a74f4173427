"""The signer of an OCI resource to which OCI gives a token and a key: a function, a job, a container.

Source: "SDK Authentication Methods" of the OCI documentation, version 2.2 of resource principals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..auth.config import argument_or_variable, from_environment
from ..auth.files import TextFile, names_file, read_key
from ..auth.regions import region_name
from ..auth.secrets import shown
from ..auth.threads import run_in_thread
from ..auth.token import Credentials, Token
from ..errors import ConfigError
from ..policies import Clock
from .refresh import TokenSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..auth.keys import PrivateKey

VERSION: Final = "OCI_RESOURCE_PRINCIPAL_VERSION"
_RPST: Final = "OCI_RESOURCE_PRINCIPAL_RPST"
_PRIVATE_PEM: Final = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"
_PEM_PHRASE: Final = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE"
_REGION: Final = "OCI_RESOURCE_PRINCIPAL_REGION"
_TOKEN: Final = f"session token ({_RPST})"
_KEY: Final = f"private key ({_PRIVATE_PEM})"
_PHRASE: Final = f"passphrase ({_PEM_PHRASE})"
_SUPPORTED: Final = "2.2"
_OTHER_VERSIONS: Final = frozenset({"1.1", "2.1", "2.1.1", "2.1.2", "3.0"})
_ONLY_ON_OCI: Final = "OCI sets it where resource principals exist, such as in functions and jobs"
_REMEDY: Final = "OCI replaces it while the resource runs; if it does not, restart the resource"


class ResourcePrincipalSigner(TokenSigner):
    """Signs as the OCI resource that the program runs in.

    Token, key and passphrase may each be the value itself or the absolute path of a file that holds it. OCI replaces
    the files while the resource runs, so they are read at the first signature, again when the token is about to expire,
    and after each 401. A token that was given as a value cannot be refreshed.

    Args:
        session_token: the token; by default ``OCI_RESOURCE_PRINCIPAL_RPST``.
        private_key: its key, in PEM form; by default ``OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM``.
        pass_phrase: the passphrase of the key; by default ``OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE``.
        region: name or short code; by default ``OCI_RESOURCE_PRINCIPAL_REGION``.
        environ: the environment variables; by default those of the process.
        clock: time and sleep; for tests.

    Raises `ConfigError` for a required variable that is not set, and, unless token and key are given, if
    ``OCI_RESOURCE_PRINCIPAL_VERSION`` is not 2.2. `sign` raises `ConfigError` if a file cannot be read, and
    `CredentialsError` if token or key cannot be used.
    """

    def __init__(
        self,
        *,
        session_token: str | None = None,
        private_key: str | None = None,
        pass_phrase: str | None = None,
        region: str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock = Clock(),
    ) -> None:
        if session_token is None or private_key is None:
            _check_version(environ)
        self._token = _file_or_value(session_token or _required(environ, _RPST), _TOKEN)
        self._private_key = _file_or_value(private_key or _required(environ, _PRIVATE_PEM), _KEY)
        phrase = from_environment(environ, _PEM_PHRASE) if private_key is None else None
        # A passphrase may begin with a slash, so it is not shown.
        self._pass_phrase = _file_or_value(pass_phrase or (phrase.value if phrase else ""), _PHRASE, shows_path=False)
        self._region = argument_or_variable(region, lambda name: region_name(name, environ), environ, _REGION)
        self._source = str(self._token) if isinstance(self._token, TextFile) else _TOKEN
        # Files are read after every 401: that is cheap, and the last time only one of the two may have been replaced.
        super().__init__(self._source, _REMEDY, clock=clock, min_age=0.0)

    async def _obtain(self) -> Credentials:
        return await run_in_thread(self._read, self._refresher.current)

    def _read(self, previous: Credentials | None) -> Credentials:
        token = Token.parse(_text(self._token), self._source, _REMEDY)
        key = self._read_key()
        if previous and previous.token == token and previous.key.fingerprint == key.fingerprint:
            return previous
        return Credentials(token, key)

    def _read_key(self) -> PrivateKey:
        phrase = _text(self._pass_phrase).strip()
        if isinstance(self._private_key, TextFile):
            return read_key(self._private_key, phrase)
        # As bytes, which are never taken for a path.
        return read_key(self._private_key.encode(errors="surrogateescape"), phrase, _KEY)


def _file_or_value(value: str, name: str, *, shows_path: bool = True) -> TextFile | str:
    return TextFile(value, f"{name} file", shows_path=shows_path) if names_file(value) else value


def _text(setting: TextFile | str) -> str:
    return setting.read() if isinstance(setting, TextFile) else setting


def _required(environ: Mapping[str, str] | None, name: str) -> str:
    setting = from_environment(environ, name)
    if setting is None:
        raise ConfigError(f"{name} is not set; {_ONLY_ON_OCI}")
    return setting.value


def _check_version(environ: Mapping[str, str] | None) -> None:
    version = _required(environ, VERSION)
    if version != _SUPPORTED:
        problem = "is not supported" if version in _OTHER_VERSIONS else "is not known"
        raise ConfigError(
            f"{VERSION} is {shown(version)}, which {problem} here, only {_SUPPORTED} is; create that signer with "
            "the oci package: from_oci_signer(oci.auth.signers.get_resource_principals_signer())"
        )
