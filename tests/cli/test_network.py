"""The command's way to the service: proxies, certificate authorities and the time limit."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest
import trustme

from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, invoke, lines, point_to, wire
from ..helpers.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "aidp.us-ashburn-1.oci.oraclecloud.com"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("analytics", [wire("a")])
    return service


@pytest.fixture
async def tunnel(
    platform: LocalService, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Tunnel]:
    """A proxy that leads to the platform at the host name of its region, which has no other address here."""
    monkeypatch.delenv("AIDP_ENDPOINT")
    async with Tunnel(authority, {HOST: int(platform.url.rpartition(":")[2])}) as proxy:
        yield proxy


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(
    tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, tunnel.url)

    result = await invoke("list", "--ca-bundle", str(tmp_path / "ca.pem"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert [line["id"] for line in lines(result.stdout)] == ["a"]


async def test_the_proxy_of_the_command_line_goes_before_that_of_the_environment(
    tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "*")

    result = await invoke("list", "--proxy", tunnel.url, "--ca-bundle", str(tmp_path / "ca.pem"))

    assert (result.exit_code, result.stderr) == (0, "")


async def test_no_proxy_exempts_a_host(platform: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert (await invoke("list")).exit_code == 0


async def test_the_demo_needs_no_proxy(platform: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", NOWHERE)

    assert (await invoke("list", "--demo")).exit_code == 0


async def test_without_the_ca_bundle_the_certificate_is_refused_at_once(tunnel: Tunnel) -> None:
    result = await invoke("list", "--proxy", tunnel.url)

    assert result.exit_code == 4
    assert re.fullmatch("failed: .*certificate verify failed.*\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--proxy", "socks5://h:1"), "--proxy is a SOCKS proxy, which aiohttp does not support; use an HTTP proxy"),
        (("--proxy", "http://h/path"), "--proxy must be http://[user:password@]host[:port], with special "),
        (("--ca-bundle", "/no/such/file"), "Invalid value for '--ca-bundle': '/no/such/file': No such file or "),
        (("--ca-bundle", __file__), "no certificate or crl found"),
        (("--timeout", "0"), "0.0 is not in the range x>0"),
        (("--demo", "--proxy", NOWHERE), "--demo cannot be combined with --proxy"),
        (("--demo", "--ca-bundle", "x"), "--demo cannot be combined with --ca-bundle"),
    ],
)
async def test_values_that_cannot_be_used_are_wrong_usage(
    platform: LocalService, arguments: tuple[str, ...], reason: str
) -> None:
    result = await invoke("list", *arguments)

    assert result.exit_code == 2
    assert reason in result.stderr.splitlines()[-1]
    assert platform.request_count == 0


@pytest.mark.parametrize("command", ["list", "whoami"])
async def test_timeout_limits_the_call_with_its_repetitions(platform: LocalService, command: str) -> None:
    platform.fail(None, Fault(delay=math.inf))

    result = await invoke(command, "--timeout", "0.2")

    assert result.exit_code == 4
    assert "the total of 0.2 s for the call ran out" in result.stderr
