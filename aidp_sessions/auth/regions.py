"""Region names to token-service URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..endpoints import REGIONS, check_endpoint, check_region, check_url
from ..errors import ConfigError
from .config import extra_regions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..endpoints import Region
    from .config import Setting


def find_region(name: str, environ: Mapping[str, str] | None = None) -> Region | None:
    """The region with this name or short code, if ``OCI_REGION_METADATA`` or the built-in table lists it."""
    wanted = check_region(name)
    known = (*extra_regions(environ), *REGIONS)
    return next((region for region in known if wanted in (region.identifier, region.key)), None)


def region_name(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The full name, in lower case, of the region with this name or short code."""
    found = find_region(name, environ)
    return found.identifier if found else check_region(name)


def auth_url(region: Region) -> str:
    """The token service of *region*. Other services have ``oci.`` before the domain, this one does not."""
    return f"https://auth.{region.identifier}.{region.domain}"


def require_region(name: str, environ: Mapping[str, str] | None = None) -> Region:
    """The region with this name or short code; raises `ConfigError` if it is not listed."""
    found = find_region(name, environ)
    if found is None:
        raise ConfigError(f"region {name!r} is not known; describe it in OCI_REGION_METADATA")
    return found


def check_service_url(argument: str | None, setting: Setting | None = None) -> str | None:
    """Check *argument*, or else *setting*, with `check_endpoint`; ``None`` if both are."""
    if argument is not None:
        return check_endpoint(argument)
    return setting.parse(check_endpoint) if setting else None


def check_metadata_url(url: str) -> str:
    """Check a URL of the metadata service, which speaks plain HTTP; raises `ValueError`."""
    return check_url(url, "metadata URL", plain_http=True)
