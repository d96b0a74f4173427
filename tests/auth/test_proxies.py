"""A proxy is used as other tools use it, or refused when the client is created, without its password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from aidp_sessions import ConfigError, SessionsClient
from aidp_sessions.auth.proxies import check_proxy, environment_proxy
from aidp_sessions.testing import LocalService

from ..helpers.exception_chains import exception_chain

if TYPE_CHECKING:
    from collections.abc import Callable

PLATFORM = "ocid1.aidataplatform.oc1.iad.aaaa"
HTTPS = "https://aidp.us-ashburn-1.oci.oraclecloud.com"
REFUSED = (
    "http://me:hunter2/x@proxy:9",
    "http://me:hunter2#x@proxy:9",
    "http://me:hunter2?x@proxy:9",
    "http://me:hunter2[x@proxy:9",
    "http://me:hunter2]x@proxy:9",
    "http://me:hunter2@proxy:port",
    "http://me:hunter2@proxy:99999",
    "http://me:hunter2@",
    "http://me:hunter2@pro xy:9",
    "http://me:hunter2@proxy:9/path",
    "http://me:hunter2@proxy:9?query",
    "http://me%3Ahunter2:x@proxy:9",
    "http://me:hunter2€@proxy:9",
    '"http://me:hunter2@proxy:9"',
    "http//me:hunter2@proxy:9",
    "ftp://me:hunter2@proxy:9",
    "socks5://me:hunter2@proxy:9",
    "SOCKS5h://me:hunter2@proxy:9",
    "http://",
    "https://:9",
)
USED = {
    "http://proxy": "http://proxy",
    "HTTP://Proxy:3128/": "http://proxy:3128",
    "https://proxy:3129": "https://proxy:3129",
    "proxy:3128": "http://proxy:3128",
    "me:hunter2@proxy:3128": "http://me:hunter2@proxy:3128",
    r"http://CORP\me:hunter2@proxy:3128": "http://CORP%5Cme:hunter2@proxy:3128",
    "http://me:p%40ss%2Fword@proxy:3128": "http://me:p%40ss%2Fword@proxy:3128",
    "http://me:a@b@proxy:3128": "http://me:a%40b@proxy:3128",
    "http://me@proxy": "http://me@proxy",
    "http://[::1]:3128": "http://[::1]:3128",
}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def from_argument(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    SessionsClient(PLATFORM, signer=LocalService().signer, proxy=url)


def from_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    SessionsClient(PLATFORM, signer=LocalService().signer, trust_env=True)


@pytest.mark.parametrize("url", REFUSED)
@pytest.mark.parametrize(
    ("create", "error", "name"),
    [(from_argument, ValueError, "proxy "), (from_environment, ConfigError, "HTTPS_PROXY ")],
)
def test_anything_but_an_http_proxy_is_refused_when_the_client_is_created(
    url: str,
    create: Callable[[str, pytest.MonkeyPatch], None],
    error: type[Exception],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(error, match=f"^{name}") as caught:
        create(url, monkeypatch)

    assert "hunter2" not in "".join(f"{link}{link!r}" for link in exception_chain(caught.value))


def test_a_socks_proxy_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError) as caught:
        check_proxy("socks5://proxy:1080")

    assert str(caught.value) == (
        "proxy is a SOCKS proxy, which aiohttp does not support; use an HTTP proxy, or pass an http_session whose "
        "connector supports SOCKS"
    )


def test_an_empty_proxy_is_refused_but_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "")

    assert environment_proxy(HTTPS) is None
    with pytest.raises(ValueError, match=r"^proxy must be http://"):
        check_proxy("")


def test_a_proxy_must_be_a_string() -> None:
    with pytest.raises(TypeError, match=r"^proxy must be a string, not URL$"):
        check_proxy(URL("http://proxy"))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(("given", "used"), USED.items())
def test_other_proxies_are_used_in_full(given: str, used: str) -> None:
    assert check_proxy(given) == used


latin1 = st.text(st.characters(codec="latin-1"), min_size=1)


@given(user=latin1.filter(lambda text: ":" not in text), password=latin1)
def test_user_and_password_survive(user: str, password: str) -> None:
    url = URL(check_proxy(f"http://{quote(user, safe='')}:{quote(password, safe='')}@proxy:1"))

    assert (url.user, url.password, url.host, url.port) == (user, password, "proxy", 1)


@given(text=st.text())
def test_every_text_is_a_proxy_or_a_value_error(text: str) -> None:
    try:
        url = URL(check_proxy(text))
    except ValueError:
        return

    assert url.scheme in ("http", "https")
    assert url.host


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://plain"}, None),
        ({"HTTPS_PROXY": "http://upper"}, "http://upper"),
        ({"https_proxy": "http://lower", "HTTPS_PROXY": "http://upper"}, "http://lower"),
        ({"ALL_PROXY": "http://all"}, "http://all"),
        ({"all_proxy": "all:8080"}, "http://all:8080"),
        ({"HTTPS_PROXY": "http://upper", "ALL_PROXY": "http://all"}, "http://upper"),
    ],
)
def test_the_environment_names_a_proxy(
    variables: dict[str, str], used: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert environment_proxy(HTTPS) == used


@pytest.mark.parametrize(
    ("exceptions", "url", "is_exempt"),
    [
        ("*", HTTPS, True),
        ("example.com, oraclecloud.com", HTTPS, True),
        (".oraclecloud.com", HTTPS, True),
        ("*.OracleCloud.com", HTTPS, True),
        ("example.com oraclecloud.com", HTTPS, True),
        ("aidp.us-ashburn-1.oci.oraclecloud.com:443", HTTPS, True),
        ("aidp.us-ashburn-1.oci.oraclecloud.com:8443", HTTPS, False),
        ("cloud.com", HTTPS, False),
        ("", HTTPS, False),
        (" , .", HTTPS, False),
        ("127.0.0.0/8", "http://127.0.0.1:9", True),
        ("10.0.0.0/8,127.0.0.1/32", "http://127.0.0.1:9", True),
        ("127.0.0.1:9", "http://127.0.0.1:9", True),
        ("10.0.0.0/8", "http://127.0.0.1:9", False),
        ("10.0.0.0/8", HTTPS, False),
        ("::1", "http://[::1]:9", True),
        ("[::1]", "http://[::1]:9", True),
        ("fd00::/8", "https://[fd00::17]", True),
        ("[fd00::]/8", "https://[fd00::17]", True),
        ("127.0.0.0/8", "https://[fd00::17]", False),
    ],
)
def test_names_addresses_and_networks_are_exempt(
    exceptions: str, url: str, is_exempt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy")
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert environment_proxy(url) == (None if is_exempt else "http://proxy")
