"""Chooses the kind of signer that arguments, environment and config file ask for.

Sources: "SDK and CLI Configuration File" and, for the values of *auth*, "CLI Environment Variables" of the OCI
documentation.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from ..auth.config import Precedence, argument_or_variable, from_environment, load_profile
from ..auth.secrets import shown
from ..endpoints import check_endpoint, check_platform_id, check_region
from ..errors import ConfigError
from .factories import SIGNER_FACTORIES
from .refresh import TokenSigner
from .resource import VERSION

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from ..auth.config import Profile
    from ..auth.signing import Signer

NO_PLATFORM: Final = "no AI Data Platform is named; pass platform_id, or set AIDP_INSTANCE_ID to its OCID"
_API_KEY_SETTINGS: Final = ("user", "fingerprint", "key_file", "key_content")

_log = logging.getLogger("aidp_sessions")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """What a client needs, from arguments, environment and config file.

    Attributes:
        region: the region of the environment or the profile, in lower case; a region in *platform_id* overrides it.
        endpoint: checked by `endpoints.check_endpoint`.
    """

    platform_id: str
    signer: Signer
    region: str | None = None
    endpoint: str | None = None


@attrs.frozen(eq=False, repr=False)
class _Choice:
    """A kind of signer, and the setting that decided for it."""

    kind: str
    reason: str


def load_settings(
    platform_id: str | None = None,
    *,
    profile: str | None = None,
    config_file: str | os.PathLike[str] | None = None,
    auth: str | None = None,
    endpoint: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Collect the settings; an argument overrides the environment, and the environment the profile.

    *auth* takes the values of ``OCI_CLI_AUTH``. Without both, ``authentication_type``, ``delegation_token_file``,
    ``security_token_file`` or the API key of the profile decides; without these, the variables of a resource principal.
    The choice and its reason are logged.

    Raises `ValueError` for a malformed argument, `ConfigError` for a missing or malformed setting, and
    `CredentialsError` for a key or token that cannot be used.
    """
    platform_id = argument_or_variable(platform_id, check_platform_id, environ, "AIDP_INSTANCE_ID", "INSTANCE_ID")
    if platform_id is None:
        raise ConfigError(NO_PLATFORM)
    endpoint = argument_or_variable(endpoint, check_endpoint, environ, "AIDP_ENDPOINT", "OCI_CLI_ENDPOINT")
    requested = _requested_auth(auth, environ)
    found = load_profile(profile, config_file, environ)
    region = found.get("region")
    choice = requested or _infer_auth(found, environ)
    signer = SIGNER_FACTORIES[choice.kind](found, environ)
    _log.info("signing as %s, because of %s", choice.kind, choice.reason)
    return Settings(
        platform_id=platform_id,
        signer=signer,
        region=region.parse(check_region) if region else signer.region if isinstance(signer, TokenSigner) else None,
        endpoint=endpoint,
    )


def _requested_auth(argument: str | None, environ: Mapping[str, str] | None) -> _Choice | None:
    if argument is not None:
        return _Choice(_check_auth(argument), "the argument auth")
    setting = from_environment(environ, "OCI_CLI_AUTH")
    return _Choice(setting.parse(_check_auth), setting.source) if setting else None


def _check_auth(auth: str) -> str:
    if auth not in SIGNER_FACTORIES:
        raise ValueError(f"auth {shown(str(auth))} is not known; use one of {', '.join(SIGNER_FACTORIES)}")
    return auth


def _infer_auth(profile: Profile, environ: Mapping[str, str] | None) -> _Choice:
    # Session profiles often inherit `user`, and API-key profiles a token file: the one of higher precedence decides.
    user = profile.precedence("user")

    def takes_precedence(key: str) -> bool:
        return profile.precedence(key) >= max(user, Precedence.PROFILE) or profile.precedence(key) > user

    named = profile.get("authentication_type")
    delegation = profile.get("delegation_token_file")
    if named and named.precedence >= user:
        kind = named.parse(_check_auth)
        if (
            delegation
            and takes_precedence("delegation_token_file")
            and kind in ("instance_principal", "resource_principal")
        ):
            return _Choice("instance_obo_user", f"{named.source} and {delegation.source}")
        return _Choice(kind, named.source)
    for key, kind in (("delegation_token_file", "instance_obo_user"), ("security_token_file", "security_token")):
        setting = profile.get(key)
        if setting and takes_precedence(key):
            return _Choice(kind, setting.source)
    for key in _API_KEY_SETTINGS:
        if setting := profile.get(key):
            return _Choice("api_key", setting.source)
    if version := from_environment(environ, VERSION):
        return _Choice("resource_principal", version.source)
    if setting := profile.get("tenancy"):
        return _Choice("api_key", setting.source)
    raise _nothing_found(profile)


def _nothing_found(profile: Profile) -> ConfigError:
    file = str(profile) if profile.file else "no config file at ~/.oci/config or ~/.oraclebmc/config"
    return ConfigError(
        f"no credentials were found: auth= and OCI_CLI_AUTH are not given; the profile ({file}) and the OCI_CLI_ "
        "variables have no authentication_type, delegation_token_file, security_token_file or API key; "
        f"{VERSION} is not set. Run `oci setup config`, set OCI_CLI_TENANCY, OCI_CLI_USER, "
        "OCI_CLI_FINGERPRINT and OCI_CLI_KEY_FILE, or pass auth=, such as 'instance_principal' on a compute instance"
    )
