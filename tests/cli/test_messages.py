"""What the command says on standard error: warnings, attempts with --debug, and the way on after a first run."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions.cli.wording import in_options
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import forget_settings, invoke, lines, point_to, start, wire

if TYPE_CHECKING:
    from pathlib import Path

OCID = "ocid1.aidataplatform.oc1.iad.a"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("analytics", [wire("a")])
    return service


async def test_a_key_file_that_others_can_read_is_one_line_of_warning(platform: LocalService, tmp_path: Path) -> None:
    key = tmp_path / "oci_api_key.pem"
    key.chmod(0o644)

    result = await invoke("list")

    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: key_file of profile 'DEFAULT' in ")
    assert line.endswith(f": private key file {key} can be read by others; run: chmod 600 {key}")
    assert [line["id"] for line in lines(result.stdout)] == ["a"]


async def test_without_debug_a_retry_is_silent(platform: LocalService) -> None:
    platform.fail("analytics", Fault(status=503, retry_after=0.01))

    result = await invoke("list")

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [("list", "--debug"), ("list", "--debug", "-o", "table")])
async def test_debug_shows_each_attempt_with_its_id_status_and_time_and_each_pause(
    platform: LocalService, arguments: tuple[str, ...]
) -> None:
    platform.fail("analytics", Fault(status=503, retry_after=0.01))

    result = await invoke(*arguments)

    text = result.stderr
    stamp = r"^debug: [-0-9]{10}T[:0-9]{8}\.[0-9]+[+-][:0-9]{5} "
    get = stamp + r"GET /\S+/workspaces/analytics/notebook/api/sessions: "
    assert re.search(get + "503 ServiceError in [0-9]+ ms, attempt 1, opc-request-id [0-9A-F]{28}$", text, re.MULTILINE)
    assert re.search(stamp + r"list_sessions: attempt 1 failed, next in 0\.\d+ s: ", text, re.MULTILINE)
    assert re.search(get + "200 in [0-9]+ ms, attempt 2, opc-request-id [0-9A-F]{28}-2$", text, re.MULTILINE)
    assert "info: " in text
    assert " signing as api_key, because of " in text


async def test_debug_shows_no_secrets(platform: LocalService) -> None:
    secret = "".join(platform.oci_config()["key_content"].splitlines()[1:-1])

    proxy = "http://user:s3cret@127.0.0.1:9"
    shown = (await invoke("list", "--debug")).stderr + (await invoke("whoami", "--debug", "--proxy", proxy)).stderr

    assert shown.count("opc-request-id") > 3
    assert "s3cret" not in shown
    assert secret[:40] not in shown
    assert "PRIVATE KEY" not in shown
    assert "Signature" not in shown


async def test_debug_ends_with_the_command(platform: LocalService) -> None:
    log = logging.getLogger("aidp_sessions")
    before = log.level, list(log.handlers)

    await invoke("list", "--debug")

    assert (log.level, log.handlers) == before


async def test_an_outage_in_watch_is_one_line(platform: LocalService) -> None:
    """The library logs a warning too."""
    platform.fail("analytics", Fault(status=403, times=None))
    platform.add_workspace("other", [wire("b")])
    process = await start("watch", "--every", "1s")
    assert process.stderr is not None
    assert process.stdout is not None

    failure = (await process.stderr.readline()).decode()
    await process.stdout.readline()
    process.terminate()
    rest = (await process.stderr.read()).decode()
    await process.communicate()

    assert failure.startswith("failed: list_sessions of workspace 'analytics': 403 ")
    assert rest == ""


@pytest.mark.parametrize("command", ["list", "idle --since 1h", "workspaces", "whoami", "watch", "cull --since 1h"])
async def test_a_first_run_says_in_three_lines_how_to_go_on(command: str) -> None:
    result = await invoke(*command.split())

    assert result.exit_code == 4
    assert result.stderr == (
        "failed: no AI Data Platform is named\n"
        "  to look around: add --demo, which shows a made-up platform; no account is needed\n"
        "  for your own platform: set AIDP_INSTANCE_ID (or --instance-id) to the OCID of its AI Data Platform instance;"
        " ~/.oci/config needs user, tenancy, fingerprint, key_file and region, which `oci setup config` writes\n"
    )


@pytest.mark.parametrize(
    ("arguments", "variable", "text"),
    [
        (("--instance-id", "x"), None, "Error: --instance-id 'x' is not an OCID; "),
        ((), "x", "failed: AIDP_INSTANCE_ID: instance id 'x' is not an OCID; "),
        (("--endpoint", "example.com"), OCID, "Error: --endpoint 'example.com' has no scheme; did you mean "),
        (("--workspace", ".."), None, "Error: --workspace '..' must not be blank, "),
        ((), OCID, "failed: no credentials were found: --auth and OCI_CLI_AUTH are not given; "),
    ],
)
async def test_messages_name_the_options_of_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], variable: str | None, text: str
) -> None:
    async with LocalService() as service:
        if variable is None:
            point_to(service, monkeypatch, tmp_path)
        else:
            monkeypatch.setenv("AIDP_INSTANCE_ID", variable)
        shown = (await invoke("list", *arguments)).stderr.splitlines()[-1]

    assert shown.startswith(text)
    assert not re.search(r"platform_id|\b(auth|endpoint|region)=", shown)


async def test_the_region_that_is_missing_is_asked_for_as_an_option(platform: LocalService, tmp_path: Path) -> None:
    config = tmp_path / "without_region"
    config.write_text(re.sub("region ?=.*", "", platform.write_config(tmp_path).read_text()))
    arguments = ("--instance-id", "ocid1.aidataplatform.oc1..a", "--config-file", str(config))

    result = await invoke("list", *arguments, env={"AIDP_ENDPOINT": ""})

    assert result.stderr == (
        "failed: no region: 'ocid1.aidataplatform.oc1..a' names none; pass --region or --endpoint, set OCI_REGION, "
        "or add region to the profile\n"
    )


def test_caps_of_a_plan_are_named_as_options() -> None:
    assert in_options("candidates: 2, more than max_kernels=1") == "candidates: 2, more than --max 1"
    assert in_options("2 of 4, more than max_share=0.3") == "2 of 4, more than --max-share 30%"


@given(st.text())
def test_text_without_names_of_arguments_is_left_alone(text: str) -> None:
    assert in_options(f"the service said {text!r}") == f"the service said {text!r}"
