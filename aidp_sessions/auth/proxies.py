"""HTTP proxies: which one the environment names for a URL, and what can be used as one.

Variables are read as curl, requests and httpx read them.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from .._checks import check_string
from ..endpoints import DEFAULT_PORTS, check_url
from ..errors import ConfigError

_SOCKS: Final = (
    "is a SOCKS proxy, which aiohttp does not support; use an HTTP proxy, or pass an http_session whose connector "
    "supports SOCKS"
)
_FORM: Final = (
    "must be http://[user:password@]host[:port], with special characters in user and password percent-encoded"
)


def environment_proxy(url: str) -> str | None:
    """The proxy that ``HTTPS_PROXY``, ``HTTP_PROXY`` or ``ALL_PROXY`` names for *url*, unless ``NO_PROXY`` exempts it.

    Raises `ConfigError` if it cannot be used.
    """
    proxies = getproxies()
    scheme = urlsplit(url).scheme
    kind = scheme if proxies.get(scheme) else "all"
    proxy = proxies.get(kind)
    if not proxy or _is_exempt(url, proxies.get("no", "")):
        return None
    try:
        return check_proxy(proxy, f"{kind.upper()}_PROXY")
    except ValueError as error:
        problem = str(error)
    raise ConfigError(problem)


def check_proxy(proxy: str, name: str = "proxy") -> str:
    """Return the URL of an HTTP proxy in full; without a scheme, it is ``http``.

    Raises `ValueError`, which does not repeat the URL, because it may contain a password.
    """
    scheme, separator, rest = check_string(proxy, name).partition("://")
    if not separator:
        scheme, rest = "http", proxy
    if scheme.lower().startswith("socks"):
        raise ValueError(f"{name} {_SOCKS}")
    credentials, at, host = rest.removesuffix("/").rpartition("@")
    try:
        return _join(check_url(f"{scheme}://{host}", name, plain_http=True), f"{_encode(credentials)}{at}")
    except ValueError:
        problem = f"{name} {_FORM}"
    raise ValueError(problem)


def _encode(credentials: str) -> str:
    """Percent-encode user and password; raises `ValueError` for what Basic authentication cannot carry."""
    if re.search(r"[/?#\[\]]", credentials):
        raise ValueError
    user, colon, password = credentials.partition(":")
    if ":" in unquote(user):
        raise ValueError
    unquote(credentials).encode("latin-1")
    return quote(unquote(user), safe="") + colon + quote(unquote(password), safe="")


def _join(url: str, credentials: str) -> str:
    scheme, _, host = url.partition("://")
    if "/" in host:
        raise ValueError
    return f"{scheme}://{credentials}{host}"


def _is_exempt(url: str, exceptions: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    # The system's own settings are asked too, where it has some.
    if proxy_bypass(f"{bracketed}:{parts.port or DEFAULT_PORTS[parts.scheme]}"):
        return True
    return any(_matches(entry, host) for entry in re.split(r"[\s,]+", exceptions) if entry)


def _matches(entry: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(re.sub(r"[\[\]]", "", entry), strict=False)
    except ValueError:
        name = entry.lower().lstrip("*.")
        return entry == "*" or host == name or (name != "" and host.endswith(f".{name}"))
