"""Region names to token-service URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import endpoints
from ..errors import ConfigError
from .config import extra_regions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..endpoints import Region


def find_region(name: str, environ: Mapping[str, str] | None = None) -> Region | None:
    """The region with this name or short code, if ``OCI_REGION_METADATA`` or the built-in table lists it."""
    return endpoints.find_region(endpoints.check_region(name), (*extra_regions(environ), *endpoints.REGIONS))


def region_name(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The full name, in lower case, of the region with this name or short code."""
    found = find_region(name, environ)
    return found.identifier if found else endpoints.check_region(name)


def auth_url(region: Region) -> str:
    """The token service of *region*. Other services have ``oci.`` before the domain, this one does not."""
    return f"https://auth.{region.identifier}.{region.domain}"


def require_region(name: str, environ: Mapping[str, str] | None = None) -> Region:
    """The region with this name or short code; raises `ConfigError` if it is not listed."""
    found = find_region(name, environ)
    if found is None:
        raise ConfigError(f"region {name!r} is not known; describe it in OCI_REGION_METADATA")
    return found
