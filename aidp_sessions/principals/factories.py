"""Creates each kind of signer from a profile and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..auth.config import Precedence, from_environment, warn_if_exposed
from ..auth.files import read_key, read_text
from ..auth.regions import auth_url, check_service_url, find_region
from ..errors import ConfigError, CredentialsError
from .api_key import ApiKeySigner, check_fingerprint, check_tenancy, check_user
from .delegation import DelegationTokenSigner
from .instance import InstancePrincipalSigner
from .oke import OkeWorkloadIdentitySigner
from .resource import ResourcePrincipalSigner
from .session_token import SessionTokenSigner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.config import Profile, Setting
    from ..auth.keys import KeySource, PrivateKey
    from ..auth.signing import Signer

    Environ = Mapping[str, str] | None


def _api_key(profile: Profile, environ: Environ) -> Signer:
    key_name = _key_name(profile)
    tenancy, user, fingerprint, _ = profile.require("tenancy", "user", "fingerprint", key_name)
    private_key = _read_key(profile, key_name, environ)
    try:
        return ApiKeySigner(
            tenancy=tenancy.parse(check_tenancy),
            user=user.parse(check_user),
            fingerprint=fingerprint.parse(check_fingerprint),
            private_key=private_key,
        )
    except CredentialsError as error:
        raise CredentialsError(f"{profile}: {error.message}") from None


def _security_token(profile: Profile, environ: Environ) -> Signer:
    key_name = _key_name(profile)
    token_file, key = profile.require("security_token_file", key_name)
    # The signer reads these files itself; here they are read for errors that name the profile.
    read_text(token_file.value, f"{token_file.source}: session token file")
    _read_key(profile, key_name, environ)
    region = profile.get("region")
    known = region.parse(lambda name: find_region(name, environ)) if region else None
    try:
        return SessionTokenSigner(
            token_file=token_file.value,
            private_key=_key_source(key_name, key),
            pass_phrase=_pass_phrase(profile),
            refresh_endpoint=f"{auth_url(known)}/v1/authentication/refresh" if known else None,
        )
    except CredentialsError as error:
        raise CredentialsError(f"{token_file.source}: {error.message}") from None


def _instance_principal(_: Profile, environ: Environ) -> Signer:
    setting = from_environment(environ, "OCI_CLI_FEDERATION_ENDPOINT")
    return InstancePrincipalSigner(federation_endpoint=check_service_url(None, setting), environ=environ)


def _instance_obo_user(profile: Profile, environ: Environ) -> Signer:
    (token_file,) = profile.require("delegation_token_file")
    read_text(token_file.value, f"{token_file.source}: delegation token file")
    named = profile.get("authentication_type")
    inner = _resource_principal if named and named.value == "resource_principal" else _instance_principal
    return DelegationTokenSigner(inner(profile, environ), token_file=token_file.value)


def _resource_principal(_: Profile, environ: Environ) -> Signer:
    return ResourcePrincipalSigner(environ=environ)


def _oke_workload_identity(_: Profile, environ: Environ) -> Signer:
    return OkeWorkloadIdentitySigner(environ=environ)


def _key_name(profile: Profile) -> str:
    content = profile.get("key_content")
    if content is None:
        return "key_file"
    if content.precedence is not Precedence.ENVIRONMENT:
        raise ConfigError(f"{content.source}: a config file cannot hold the key; put it into a file named by key_file")
    return "key_content"


def _key_source(name: str, setting: Setting) -> KeySource:
    # As bytes, which are never taken for a path.
    return setting.value.encode(errors="surrogateescape") if name == "key_content" else Path(setting.value)


def _read_key(profile: Profile, name: str, environ: Environ) -> PrivateKey:
    (setting,) = profile.require(name)
    if name == "key_file":
        warn_if_exposed(setting.value, f"{setting.source}: private key file", environ)
    return read_key(_key_source(name, setting), _pass_phrase(profile), f"{setting.source}: private key")


def _pass_phrase(profile: Profile) -> str | None:
    setting = profile.get("pass_phrase")
    return setting.value if setting else None


SIGNER_FACTORIES: Final[Mapping[str, Callable[[Profile, Environ], Signer]]] = {
    "api_key": _api_key,
    "security_token": _security_token,
    "instance_principal": _instance_principal,
    "instance_obo_user": _instance_obo_user,
    "resource_principal": _resource_principal,
    "oke_workload_identity": _oke_workload_identity,
}
"""The keys are the values of ``OCI_CLI_AUTH``."""
