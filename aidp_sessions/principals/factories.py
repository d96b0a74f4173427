"""Creates each kind of signer from a profile and the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..auth.config import Precedence, argument_or_variable, warn_if_exposed
from ..auth.files import TextFile, read_key
from ..auth.regions import auth_url, find_region
from ..endpoints import check_endpoint
from ..errors import ConfigError, CredentialsError
from .api_key import ApiKeySigner, check_fingerprint, check_tenancy, check_user
from .delegation import DelegationTokenSigner
from .instance import InstancePrincipalSigner
from .oke import OkeWorkloadIdentitySigner
from .resource import ResourcePrincipalSigner
from .session_token import SessionTokenSigner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..auth.config import Profile
    from ..auth.keys import KeySource
    from ..auth.signing import Signer

    Environ = Mapping[str, str] | None


def _api_key(profile: Profile, environ: Environ) -> Signer:
    tenancy, user, fingerprint, _ = profile.require("tenancy", "user", "fingerprint", _key_name(profile))
    private_key = read_key(_private_key(profile, environ), _pass_phrase(profile))
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
    token_file, _ = profile.require("security_token_file", _key_name(profile))
    region = profile.get("region")
    known = region.parse(lambda name: find_region(name, environ)) if region else None
    return SessionTokenSigner(
        token_file=TextFile(token_file.value, f"{token_file.source}: session token file"),
        private_key=_private_key(profile, environ),
        pass_phrase=_pass_phrase(profile),
        refresh_endpoint=f"{auth_url(known)}/v1/authentication/refresh" if known else None,
    )


def _instance_principal(_: Profile, environ: Environ) -> Signer:
    url = argument_or_variable(None, check_endpoint, environ, "OCI_CLI_FEDERATION_ENDPOINT")
    return InstancePrincipalSigner(federation_endpoint=url, environ=environ)


def _instance_obo_user(profile: Profile, environ: Environ) -> Signer:
    (token_file,) = profile.require("delegation_token_file")
    file = TextFile(token_file.value, f"{token_file.source}: delegation token file")
    file.read()  # for an early error; the signer reads it later
    named = profile.get("authentication_type")
    inner = _resource_principal if named and named.value == "resource_principal" else _instance_principal
    return DelegationTokenSigner(inner(profile, environ), token_file=file)


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


def _private_key(profile: Profile, environ: Environ) -> KeySource:
    name = _key_name(profile)
    (setting,) = profile.require(name)
    label = f"{setting.source}: private key"
    if name == "key_content":
        # As bytes, which are never taken for a path.
        return read_key(setting.value.encode(errors="surrogateescape"), _pass_phrase(profile), label)
    warn_if_exposed(setting.value, f"{label} file", environ)
    return TextFile(setting.value, f"{label} file")


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
