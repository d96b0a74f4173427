"""From an OCID, a region and a realm to the URL of the service. Pure: never touches the disk or the environment.

Sources: "Regions and Availability Domains" and "Resource Identifiers" of the OCI documentation; the host name
``aidp.{region}.oci.{domain}`` is the one of the AI Data Platform REST reference.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import urlsplit

from ._checks import check_string
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_log = logging.getLogger("aidp_sessions")

# Patterns, here and elsewhere, are compiled by `re` on first use: most programs never need most of them.
_OCID: Final = r"(?ai)ocid1\.[a-z0-9]+\.(?P<realm>[a-z0-9]+)\.(?P<region>[a-z0-9-]*)(\.[\w-]*)?\.[\w-]+"
# DNS allows 63 characters in a label and 253 in a name; resolvers raise UnicodeError for more.
_REGION: Final = r"(?!.{64})[a-z0-9]+(-[a-z0-9]+)*"
_DOMAIN: Final = r"(?!.{254})[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+"
_HOST: Final = r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*"
_VISIBLE: Final = r"[!-~]+"
_BASE_PATH: Final = r"(?ai)(/([\w.~!$&'()*+,;=:@-]|%[0-9a-f]{2})+)*"
_METADATA: Final = {
    "regionIdentifier": _REGION,
    "regionKey": _REGION,
    "realmKey": _REGION,
    "realmDomainComponent": _DOMAIN,
}
DEFAULT_PORTS: Final = {"https": 443, "http": 80}

# Realm, its domain, then short code = region of each of its regions.
_TABLE: Final = """
oc1 oraclecloud.com
  yny=ap-chuncheon-1 hyd=ap-hyderabad-1 mel=ap-melbourne-1 bom=ap-mumbai-1 kix=ap-osaka-1 icn=ap-seoul-1
  syd=ap-sydney-1 nrt=ap-tokyo-1 yul=ca-montreal-1 yyz=ca-toronto-1 ams=eu-amsterdam-1 fra=eu-frankfurt-1
  zrh=eu-zurich-1 jed=me-jeddah-1 dxb=me-dubai-1 gru=sa-saopaulo-1 cwl=uk-cardiff-1 lhr=uk-london-1 iad=us-ashburn-1
  phx=us-phoenix-1 sjc=us-sanjose-1 vcp=sa-vinhedo-1 scl=sa-santiago-1 mtz=il-jerusalem-1 mrs=eu-marseille-1
  sin=ap-singapore-1 auh=me-abudhabi-1 lin=eu-milan-1 arn=eu-stockholm-1 jnb=af-johannesburg-1 cdg=eu-paris-1
  qro=mx-queretaro-1 mad=eu-madrid-1 ord=us-chicago-1 mty=mx-monterrey-1 aga=us-saltlake-2 bog=sa-bogota-1
  vap=sa-valparaiso-1 xsp=ap-singapore-2 ruh=me-riyadh-1 onm=ap-delhi-1 hsg=ap-batam-1 orf=eu-madrid-3 nrq=eu-turin-1
  jbp=ap-kulai-2 lej=af-casablanca-1
oc2 oraclegovcloud.com lfi=us-langley-1 luf=us-luke-1
oc3 oraclegovcloud.com ric=us-gov-ashburn-1 pia=us-gov-chicago-1 tus=us-gov-phoenix-1
oc4 oraclegovcloud.uk ltn=uk-gov-london-1 brs=uk-gov-cardiff-1
oc8 oraclecloud8.com nja=ap-chiyoda-1 ukb=ap-ibaraki-1
oc9 oraclecloud9.com mct=me-dcc-muscat-1 ibr=me-ibri-1
oc10 oraclecloud10.com wga=ap-dcc-canberra-1
oc14 oraclecloud14.com bgy=eu-dcc-milan-1 mxp=eu-dcc-milan-2 snn=eu-dcc-dublin-2 dtm=eu-dcc-rating-2
  dus=eu-dcc-rating-1 ork=eu-dcc-dublin-1
oc15 oraclecloud15.com dac=ap-dcc-gazipur-1
oc19 oraclecloud.eu vll=eu-madrid-2 str=eu-frankfurt-2
oc20 oraclecloud20.com beg=eu-jovanovac-1
oc21 oraclecloud21.com doh=me-dcc-doha-1 vve=me-alrayyan-1
oc23 oraclecloud23.com ebb=us-somerset-1 ebl=us-thames-1
oc24 oraclecloud24.com avz=eu-dcc-zurich-1 avf=eu-crissier-1
oc26 oraclecloud26.com ahu=me-abudhabi-3 rba=me-alain-1
oc29 oraclecloud29.com rkt=me-abudhabi-2 shj=me-abudhabi-4
oc35 oraclecloud35.com dtz=ap-seoul-2 dln=ap-suwon-1 bno=ap-chuncheon-2
oc42 oraclecloud42.com yxj=us-ashburn-2 pgc=us-newark-1
oc51 oraclecloud51.com jsk=eu-budapest-1
oc52 oraclecloud52.com hnw=sa-riodejaneiro-1
"""


class Region(NamedTuple):
    """One region, all in lower case: ``us-ashburn-1``, its short code ``iad``, ``oc1``, ``oraclecloud.com``."""

    identifier: str
    key: str
    realm: str
    domain: str


def _parse_table(table: str) -> tuple[Region, ...]:
    regions: list[Region] = []
    realm = domain = ""
    for word in table.split():
        key, equals, identifier = word.partition("=")
        if equals:
            regions.append(Region(identifier, key, realm, domain))
        elif "." in word:
            domain = word
        else:
            realm = word
    return tuple(regions)


REGIONS: Final = _parse_table(_TABLE)


def parse_region_metadata(text: str, source: str) -> Region:
    """Read a region that the table does not know from JSON, in the form of ``OCI_REGION_METADATA``.

    The object must hold ``regionIdentifier``, ``regionKey``, ``realmKey`` and ``realmDomainComponent``. Raises
    `ConfigError` that begins with *source*, the place where the text was found.
    """
    return _region(_parse_json(text), source)


def parse_region_list(text: str, source: str) -> tuple[Region, ...]:
    """Read a JSON array of such regions, in the form of ``regions-config.json``."""
    found = _parse_json(text)
    if not isinstance(found, list):
        raise ConfigError(f"{source} must be a JSON array of objects with the keys {', '.join(_METADATA)}")
    entries = cast("list[object]", found)
    return tuple(_region(entry, f"{source}, entry {number}") for number, entry in enumerate(entries, 1))


def _parse_json(text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _region(found: object, source: str) -> Region:
    if not isinstance(found, dict):
        raise ConfigError(f"{source} must be one JSON object with the keys {', '.join(_METADATA)}")
    fields = cast("dict[str, object]", found)
    values: list[str] = []
    for name, shape in _METADATA.items():
        value = fields.get(name)
        if not isinstance(value, str) or not re.fullmatch(shape, value.strip().lower()):
            raise ConfigError(f"{source}: {name} is {value!r}; it must be a string such as those of us-ashburn-1")
        values.append(value.strip().lower())
    return Region(*values)


def check_platform_id(platform_id: str) -> str:
    """Return *platform_id* unchanged if it has the shape of an OCID; raises `ValueError` if not."""
    _parse_ocid(platform_id)
    return platform_id


def _parse_ocid(platform_id: str) -> tuple[str, str]:
    match = re.fullmatch(_OCID, check_string(platform_id, "platform_id"))
    if not match:
        raise ValueError(
            f"platform_id {platform_id!r} is not an OCID; copy the one of the AI Data Platform instance, "
            "which looks like 'ocid1.aidataplatform.oc1.iad.…'"
        )
    return match["realm"].lower(), match["region"].lower()


def check_region(region: str) -> str:
    """Return *region* (an identifier or a short code) in lower case; raises `ValueError` if it can be neither."""
    name = check_string(region, "region").strip().lower()
    if not re.fullmatch(_REGION, name):
        raise ValueError(
            f"region {region!r} is not a region name such as 'us-ashburn-1'; for a host of your own, pass endpoint="
        )
    return name


def base_url(
    platform_id: str,
    *,
    region: str | None = None,
    endpoint: str | None = None,
    default_region: str | None = None,
    extra_regions: Sequence[Region] = (),
) -> str:
    """The URL in front of the API version, without a slash at its end.

    *endpoint* decides alone. Otherwise the region is *region*, else the one named in the OCID, else *default_region*;
    each may be a short code. *extra_regions* go before the built-in table. A region in neither is taken to lie in the
    realm that the OCID names.

    Raises `ValueError` for a malformed argument, and `ConfigError` if no region is given or its domain is unknown.
    """
    realm, own_region = _parse_ocid(platform_id)
    if endpoint is not None:
        return check_endpoint(endpoint)
    chosen = region if region is not None else own_region or default_region
    if chosen is None:
        raise ConfigError(
            f"no region: {platform_id!r} names none; pass region= or endpoint=, set OCI_REGION, "
            "or add region to the profile"
        )
    name = check_region(chosen)
    known = (*extra_regions, *REGIONS)
    found = find_region(name, known)
    if found is None and "-" in name:  # a name without a dash is a short code, from which no host name can be made
        found = next((entry._replace(identifier=name) for entry in known if entry.realm == realm), None)
        if similar := _similar_region(name, [entry for entry in known if entry.realm == realm]):
            _log.warning("%r is not a known region; did you mean %r?", name, similar)
    if found is None:
        raise ConfigError(
            f"region {name!r} of realm {realm!r} is not known; describe it in OCI_REGION_METADATA, or pass endpoint="
        )
    return f"https://aidp.{found.identifier}.oci.{found.domain}"


def find_region(name: str, known: Iterable[Region]) -> Region | None:
    """The region in *known* with this name or short code, in lower case."""
    return next((region for region in known if name in (region.identifier, region.key)), None)


def _similar_region(name: str, known: Iterable[Region]) -> str | None:
    """The region whose name *name* seems to misspell. Another number is no misspelling: regions are added."""
    places = {entry.identifier.rstrip("0123456789"): entry.identifier for entry in known}
    place = name.rstrip("0123456789")
    found = [] if place in places else get_close_matches(place, places, n=1, cutoff=0.85)
    return places[found[0]] if found else None


def region_of(url: str) -> str | None:
    """The region that a URL made by `base_url` leads to; ``None`` for another URL."""
    found = re.match(r"https://aidp\.([a-z0-9-]+)\.oci\.", url)
    return found[1] if found else None


def check_endpoint(endpoint: str) -> str:
    """Return *endpoint* as it is signed and sent: host in lower case, no default port, no slash at the end.

    ``https://host[:port][/base/path]``; plain ``http`` is for loopback addresses only. Raises `ValueError` otherwise.
    """
    return check_url(endpoint, "endpoint")


def check_url(url: str, name: str, *, plain_http: bool = False) -> str:
    """Do what `check_endpoint` does; errors call the URL *name*, and *plain_http* allows ``http`` for any host."""
    check_string(url, name)
    # These come first: what they refuse may hold a secret, so it is not repeated.
    if "@" in url.partition("://")[2].partition("/")[0] or ("://" not in url and "@" in url):
        raise ValueError(f"{name} must not contain a user name or password; requests are signed instead")
    if "?" in url or "#" in url:
        raise ValueError(f"{name} must not contain a query or a fragment; give https://host[:port][/base/path]")
    if "://" not in url:
        scheme = "http" if plain_http else "https"
        raise ValueError(f"{name} {url!r} has no scheme; did you mean '{scheme}://{url}'?")
    try:
        parts = urlsplit(url)
        host, port = _check_host(parts.hostname or ""), parts.port
    except ValueError as error:
        if "@" in url:  # after a password with a slash in it
            raise ValueError(f"{name} is not a URL, or contains a user name and password") from None
        raise ValueError(f"{name} {url!r} is not a URL: {error}") from None
    path = parts.path.rstrip("/")
    if (
        not re.fullmatch(_VISIBLE, url)
        or not re.fullmatch(_BASE_PATH, path)
        or {".", ".."} & set(path.split("/"))
        or port == 0
    ):
        raise ValueError(f"{name} {url!r} is not a plain URL; give https://host[:port][/base/path]")
    if parts.scheme != "https" and not (parts.scheme == "http" and (plain_http or _is_loopback(host))):
        raise ValueError(f"{name} {url!r} must use https; http is for loopback addresses such as 127.0.0.1 only")
    suffix = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}{path}"


def _check_host(host: str) -> str:
    if ":" in host and "%" not in host:
        return f"[{ipaddress.IPv6Address(host)}]"
    if not re.fullmatch(_HOST, host):
        raise ValueError(f"{host!r} is not a host name or an address")
    return host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
