"""``aidp-sessions whoami``: credentials, endpoint, and whether the service accepts them, without a secret."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, invoke, point_to

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


async def test_it_names_the_user_of_the_configuration_and_the_platform(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(service, monkeypatch, tmp_path)
    config = service.oci_config()

    result = await invoke("whoami")

    facts = json.loads(result.output)
    assert facts.pop("service_clock") in ("-1 s from ours", "+0 s from ours")
    assert facts == {
        "signer": "ApiKeySigner",
        "tenancy": config["tenancy"],
        "user": config["user"],
        "fingerprint": config["fingerprint"],
        "region": "iad",
        "platform": service.platform_id,
        "endpoint": service.url,
        "token_expires": None,
    }
    assert result.exit_code == 0
    assert service.request_count == 1


async def test_after_a_401_it_names_the_user_and_the_difference_of_the_clocks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with LocalService(clock=lambda: time.time() + 3600) as service:
        point_to(service, monkeypatch, tmp_path)
        service.fail(None, Fault(status=404, times=None))
        result = await invoke("whoami", "--output", "table")

    assert re.search(r"^service's clock  \+3(599|600) s from ours$", result.stdout, re.MULTILINE)
    assert service.oci_config()["user"] in result.stdout
    warning, failure = result.stderr.splitlines()
    assert re.fullmatch("warning: this machine's clock is -(3599|3600) s off the service's; .+", warning)
    assert failure.startswith("failed: list_workspaces: 404 ")
    assert result.exit_code == 4


async def test_without_settings_it_says_what_is_missing() -> None:
    result = await invoke("whoami")

    assert (result.stdout, result.exit_code) == ("", 4)
    assert "AIDP_INSTANCE_ID" in result.stderr


async def test_nothing_secret_is_printed(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(service, monkeypatch, tmp_path)
    secret = "".join(service.oci_config()["key_content"].splitlines()[1:-1])

    for output in ("table", "json"):
        result = await invoke("whoami", "--output", output)
        assert secret[:40] not in result.output
        assert "PRIVATE KEY" not in result.output


async def test_the_demo_has_a_user() -> None:
    result = await invoke("whoami", "--demo")

    assert json.loads(result.output)["signer"] == "ApiKeySigner"
    assert result.exit_code == 0
