"""Where a region's token service is: from region names to hosts. Pure, but for the variable that describes a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..endpoints import REGIONS, check_endpoint, check_region
from ..errors import ConfigError
from .config import extra_regions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..endpoints import Region
    from .config import Setting

_HTTP: Final = ("http://", "https://")


def find_region(name: str, environ: Mapping[str, str] | None = None) -> Region | None:
    """The region of this name or short code, if ``OCI_REGION_METADATA`` or the built-in table has it."""
    wanted = check_region(name)
    known = (*extra_regions(environ), *REGIONS)
    return next((region for region in known if wanted in (region.identifier, region.key)), None)


def region_name(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The full name of a region that is given by name or short code, in lower case."""
    found = find_region(name, environ)
    return found.identifier if found else check_region(name)


def auth_url(region: Region) -> str:
    """The token service of *region*: ``auth.{region}.{domain}``, unlike other services without ``oci.``."""
    return f"https://auth.{region.identifier}.{region.domain}"


def require_region(name: str, environ: Mapping[str, str] | None = None) -> Region:
    """As `find_region`; raises `ConfigError` for a region that nobody knows."""
    found = find_region(name, environ)
    if found is None:
        raise ConfigError(f"region {name!r} is not known; describe it in OCI_REGION_METADATA")
    return found


def check_service_url(argument: str | None, setting: Setting | None = None) -> str | None:
    """*argument*, else the variable's value, as `check_endpoint` returns it; ``None`` if neither is there."""
    if argument is not None:
        return check_endpoint(argument)
    return setting.parse(check_endpoint) if setting else None


def check_metadata_url(url: str) -> str:
    """*url* without a slash at its end; instances are served over plain HTTP. Raises `ValueError` for anything else."""
    if not url.lower().startswith(_HTTP) or any(character.isspace() for character in url):
        raise ValueError(f"metadata URL {url!r} must be http://host/opc/v2, or https")
    return url.rstrip("/")
