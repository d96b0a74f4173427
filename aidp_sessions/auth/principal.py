"""From settings to a signer: which kind of principal a profile means, and what it needs. Reads nothing itself.

Sources: "SDK and CLI Configuration File" and, for the values of *auth*, "CLI Environment Variables" of the OCI
documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from ..endpoints import check_endpoint, check_platform_id, check_region
from ..errors import ConfigError, CredentialsError
from .api_key import ApiKeySigner, check_fingerprint, check_tenancy, check_user
from .config import Source, from_environment, load_profile, read_key, read_text
from .session_token import SessionTokenSigner

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from .config import KeySource, Profile, Setting
    from .signing import PrivateKey, Signer

_ELSEWHERE: Final = ("instance_principal", "instance_obo_user", "resource_principal", "oke_workload_identity")


@attrs.frozen(kw_only=True)
class Settings:
    """What a client needs, from arguments, environment and config file.

    Attributes:
        region: of the environment or the profile, in lower case: weaker than the region named in *platform_id*.
        endpoint: as `endpoints.check_endpoint` returns it.
    """

    platform_id: str
    signer: Signer
    region: str | None = None
    endpoint: str | None = None


def load_settings(
    platform_id: str | None = None,
    *,
    profile: str | None = None,
    config_file: str | os.PathLike[str] | None = None,
    auth: str | None = None,
    endpoint: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Gather the settings: an argument wins over the environment, and that over the profile.

    *auth* is ``api_key`` or ``security_token``; without it and ``OCI_CLI_AUTH``, the profile's own keys decide.
    Raises `ValueError` for a malformed argument, `ConfigError` for what is missing or malformed elsewhere, and
    `CredentialsError` for a key or token that cannot be used.
    """
    platform_id = _platform_id(platform_id, environ)
    endpoint = _endpoint(endpoint, environ)
    kind = _asked_auth(auth, environ)
    found = load_profile(profile, config_file, environ)
    region = found.get("region")
    return Settings(
        platform_id=platform_id,
        signer=_SIGNERS[kind or _implied_auth(found)](found),
        region=region.parse(check_region) if region else None,
        endpoint=endpoint,
    )


def _platform_id(argument: str | None, environ: Mapping[str, str] | None) -> str:
    if argument is not None:
        return check_platform_id(argument)
    setting = from_environment(environ, "AIDP_INSTANCE_ID", "INSTANCE_ID")
    if setting is None:
        raise ConfigError("no AI Data Platform is named; pass platform_id, or set AIDP_INSTANCE_ID to its OCID")
    return setting.parse(check_platform_id)


def _endpoint(argument: str | None, environ: Mapping[str, str] | None) -> str | None:
    if argument is not None:
        return check_endpoint(argument)
    setting = from_environment(environ, "AIDP_ENDPOINT", "OCI_CLI_ENDPOINT")
    return setting.parse(check_endpoint) if setting else None


def _asked_auth(argument: str | None, environ: Mapping[str, str] | None) -> str | None:
    if argument is not None:
        return _check_auth(argument)
    setting = from_environment(environ, "OCI_CLI_AUTH")
    return setting.parse(_check_auth) if setting else None


def _check_auth(auth: str) -> str:
    if auth in _ELSEWHERE:
        raise _elsewhere(f"auth {auth!r}")
    if auth not in _SIGNERS:
        raise ValueError(f"auth {auth!r} is not known; use one of {', '.join(_SIGNERS)}")
    return auth


def _elsewhere(what: str) -> ConfigError:
    return ConfigError(
        f"{what} is not read from settings; make that signer with the oci package and pass signer=from_oci_signer(…)"
    )


def _implied_auth(profile: Profile) -> str:
    # A session profile often inherits `user`, and an API-key profile a token file: the setting closest at hand decides.
    user = profile.source("user")

    def prevails(key: str) -> bool:
        return profile.source(key) >= max(user, Source.PROFILE) or profile.source(key) > user

    if prevails("delegation_token_file"):
        raise _elsewhere(f"delegation_token_file of {profile}")
    return "security_token" if prevails("security_token_file") else "api_key"


def _api_key(profile: Profile) -> Signer:
    key_name = _key_name(profile)
    tenancy, user, fingerprint, _ = profile.require("tenancy", "user", "fingerprint", key_name)
    private_key = _read_key(profile, key_name)
    try:
        return ApiKeySigner(
            tenancy=tenancy.parse(check_tenancy),
            user=user.parse(check_user),
            fingerprint=fingerprint.parse(check_fingerprint),
            private_key=private_key,
        )
    except CredentialsError as error:
        raise CredentialsError(f"{profile}: {error.message}") from None


def _security_token(profile: Profile) -> Signer:
    key_name = _key_name(profile)
    token_file, key = profile.require("security_token_file", key_name)
    # Read here for the sake of errors that name the profile; the signer reads them itself, now and when they change.
    read_text(token_file.value, f"{token_file.origin}: session token file")
    _read_key(profile, key_name)
    try:
        return SessionTokenSigner(
            token_file=token_file.value, private_key=_key_source(key_name, key), pass_phrase=_pass_phrase(profile)
        )
    except CredentialsError as error:
        raise CredentialsError(f"{token_file.origin}: {error.message}") from None


def _key_name(profile: Profile) -> str:
    content = profile.get("key_content")
    if content is None:
        return "key_file"
    if content.source is not Source.ENVIRONMENT:
        raise ConfigError(f"{content.origin}: a config file cannot hold the key; put it into a file named by key_file")
    return "key_content"


def _key_source(name: str, setting: Setting) -> KeySource:
    # Bytes, so that text which is no key is not taken for a path.
    return setting.value.encode(errors="surrogateescape") if name == "key_content" else Path(setting.value)


def _read_key(profile: Profile, name: str) -> PrivateKey:
    (setting,) = profile.require(name)
    return read_key(_key_source(name, setting), _pass_phrase(profile), f"{setting.origin}: private key")


def _pass_phrase(profile: Profile) -> str | None:
    setting = profile.get("pass_phrase")
    return setting.value if setting else None


_SIGNERS: Final[Mapping[str, Callable[[Profile], Signer]]] = {"api_key": _api_key, "security_token": _security_token}
