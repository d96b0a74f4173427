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
    assert facts.pop("clock_difference_seconds") in (-1, 0)
    assert facts == {
        "signer": "ApiKeySigner",
        "tenancy": config["tenancy"],
        "user": config["user"],
        "fingerprint": config["fingerprint"],
        "profile": "DEFAULT",
        "config_file": str(tmp_path / "config"),
        "region": None,
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

    assert re.search(r"^clock difference  \+3(599|600) s$", result.stdout, re.MULTILINE)
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


async def test_it_names_the_profile_and_the_file_that_were_chosen(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(service, monkeypatch, tmp_path)
    monkeypatch.delenv("OCI_CONFIG_FILE")
    file = service.write_config(tmp_path, profile="TEAM")

    result = await invoke("whoami", "--profile", "TEAM", "--config-file", str(file))

    facts = json.loads(result.stdout)
    assert (facts["profile"], facts["config_file"]) == ("TEAM", str(file))


@pytest.mark.parametrize(
    ("options", "region"),
    [((), "us-ashburn-1"), (("--region", "fra"), "eu-frankfurt-1"), (("--region", "us-nowhere-1"), "us-nowhere-1")],
)
async def test_the_region_is_that_of_the_endpoint(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...], region: str
) -> None:
    point_to(service, monkeypatch, tmp_path)
    monkeypatch.delenv("AIDP_ENDPOINT")

    result = await invoke("whoami", "--proxy", "http://127.0.0.1:9", *options)

    facts = json.loads(result.stdout)
    assert result.exit_code == 4
    assert (facts["region"], facts["endpoint"]) == (region, f"https://aidp.{region}.oci.oraclecloud.com")
    assert facts["clock_difference_seconds"] is None


async def test_it_asks_once(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    point_to(service, monkeypatch, tmp_path)
    service.fail(None, Fault(status=503, times=None))

    result = await invoke("whoami")

    assert (result.exit_code, service.request_count) == (4, 1)


async def test_a_misspelled_region_is_one_line_of_warning_before_the_failure(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(service, monkeypatch, tmp_path)
    monkeypatch.delenv("AIDP_ENDPOINT")

    result = await invoke("whoami", "--proxy", "http://127.0.0.1:9", "--region", "us-ashbrn-1")

    warning, failure = result.stderr.splitlines()
    assert warning == "warning: 'us-ashbrn-1' is not a known region; did you mean 'us-ashburn-1'?"
    assert failure.startswith("failed: ")
