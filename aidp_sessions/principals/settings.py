"""From settings to a signer: which kind of principal is meant, and why. Reads nothing itself.

Sources: "SDK and CLI Configuration File" and, for the values of *auth*, "CLI Environment Variables" of the OCI
documentation.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from ..auth.config import Source, from_environment, load_profile
from ..endpoints import check_endpoint, check_platform_id, check_region
from ..errors import ConfigError
from .factories import MAKERS
from .oke import OkeWorkloadIdentitySigner
from .resource import ResourcePrincipalSigner

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from ..auth.config import Profile
    from ..auth.signing import Signer

_VERSION: Final = "OCI_RESOURCE_PRINCIPAL_VERSION"
_OF_AN_API_KEY: Final = ("user", "fingerprint", "key_file", "key_content")

_log = logging.getLogger("aidp_sessions")


@attrs.frozen(kw_only=True, eq=False, repr=False)
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


@attrs.frozen(eq=False, repr=False)
class _Choice:
    """A kind of principal, and the place that named it."""

    kind: str
    because_of: str


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

    *auth* is one of the words of ``OCI_CLI_AUTH``. Without either, the profile decides by ``authentication_type``,
    ``delegation_token_file``, ``security_token_file`` or its API key, whatever is closest at hand, and without any of
    these the variables of a resource principal. One line is logged that says which it is, and why.

    Raises `ValueError` for a malformed argument, `ConfigError` for what is missing or malformed elsewhere, and
    `CredentialsError` for a key or token that cannot be used.
    """
    platform_id = _platform_id(platform_id, environ)
    endpoint = _endpoint(endpoint, environ)
    asked = _asked_auth(auth, environ)
    found = load_profile(profile, config_file, environ)
    region = found.get("region")
    choice = asked or _implied(found, environ)
    signer = MAKERS[choice.kind](found, environ)
    _log.info("signing as %s, because of %s", choice.kind, choice.because_of)
    return Settings(
        platform_id=platform_id,
        signer=signer,
        region=region.parse(check_region) if region else _own_region(signer),
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


def _asked_auth(argument: str | None, environ: Mapping[str, str] | None) -> _Choice | None:
    if argument is not None:
        return _Choice(_check_auth(argument), "the argument auth")
    setting = from_environment(environ, "OCI_CLI_AUTH")
    return _Choice(setting.parse(_check_auth), setting.origin) if setting else None


def _check_auth(auth: str) -> str:
    if auth not in MAKERS:
        raise ValueError(f"auth {auth!r} is not known; use one of {', '.join(MAKERS)}")
    return auth


def _implied(profile: Profile, environ: Mapping[str, str] | None) -> _Choice:
    # A session profile often inherits `user`, and an API-key profile a token file: the setting closest at hand decides.
    user = profile.source("user")

    def prevails(key: str) -> bool:
        return profile.source(key) >= max(user, Source.PROFILE) or profile.source(key) > user

    named = profile.get("authentication_type")
    delegation = profile.get("delegation_token_file")
    if named and named.source >= user:
        kind = named.parse(_check_auth)
        if delegation and prevails("delegation_token_file") and kind in ("instance_principal", "resource_principal"):
            return _Choice("instance_obo_user", f"{named.origin} and {delegation.origin}")
        return _Choice(kind, named.origin)
    for key, kind in (("delegation_token_file", "instance_obo_user"), ("security_token_file", "security_token")):
        setting = profile.get(key)
        if setting and prevails(key):
            return _Choice(kind, setting.origin)
    for key in _OF_AN_API_KEY:
        if setting := profile.get(key):
            return _Choice("api_key", setting.origin)
    if version := from_environment(environ, _VERSION):
        return _Choice("resource_principal", version.origin)
    if setting := profile.get("tenancy"):
        return _Choice("api_key", setting.origin)
    raise _nothing_found(profile)


def _nothing_found(profile: Profile) -> ConfigError:
    file = str(profile) if profile.file else "no config file at ~/.oci/config or ~/.oraclebmc/config"
    return ConfigError(
        "no credentials were found; tried auth= and OCI_CLI_AUTH (neither is given), authentication_type, "
        f"delegation_token_file, security_token_file and an API key of the profile ({file}) and of the OCI_CLI_ "
        f"variables (not there), and {_VERSION} (not set); run `oci setup config`, set OCI_CLI_TENANCY, OCI_CLI_USER, "
        "OCI_CLI_FINGERPRINT and OCI_CLI_KEY_FILE, or pass auth=, such as 'instance_principal' on a compute instance"
    )


def _own_region(signer: Signer) -> str | None:
    return signer.region if isinstance(signer, ResourcePrincipalSigner | OkeWorkloadIdentitySigner) else None
