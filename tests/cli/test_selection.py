"""``--workspace`` takes names, keys and patterns, and people see names."""

from __future__ import annotations

import csv
import io
import json
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs
import pytest
from rich.console import Console

from aidp_sessions import CullPolicy, RetryPolicy, SessionChange, SessionSummary
from aidp_sessions.cli.cull_run import Run
from aidp_sessions.cli.live import LineView, LiveView
from aidp_sessions.cli.report import error_console
from aidp_sessions.cli.tables import terminal
from aidp_sessions.testing import Fault, LocalService, make_session

from ..helpers.cli_runner import OPTIONS, forget_settings, invoke, lines, point_to, start, wire

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CHURN = "51abe3fa-37fd-46f9-a76f-7961117f9835"
PROD_A = "a1b2c3d4-0000-4000-8000-000000000001"
PROD_B = "a9b8c7d6-0000-4000-8000-000000000002"
GONE = "e15a4ac0-bdc9-4f2a-9a48-c34ffa864bd3"


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """Two workspaces have the same name, and one is being deleted."""
    forget_settings(monkeypatch, tmp_path)
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace(CHURN, [wire("c", id="k")], display_name="Customer churn", created_by_name="Ada Osei")
    service.add_workspace(PROD_A, [wire("a")], display_name="prod-eu")
    service.add_workspace(PROD_B, [wire("b")], display_name="prod-eu")
    service.add_workspace(GONE, display_name="Hackathon", lifecycle_state="DELETING")
    return service


@pytest.mark.parametrize(
    ("named", "keys"),
    [
        (("Customer churn",), {CHURN}),
        (("customer CHURN",), {CHURN}),
        ((CHURN,), {CHURN}),
        (("prod-eu",), {PROD_A, PROD_B}),
        (("prod-*",), {PROD_A, PROD_B}),
        (("a1b2*",), {PROD_A}),
        (("*", CHURN), {CHURN, PROD_A, PROD_B}),
        (("Customer churn", "a9b8*"), {CHURN, PROD_B}),
        (("Hackathon",), {GONE}),
    ],
)
@pytest.mark.parametrize("command", [("list",), ("cull", "--since", "1h", "--max-share", "100%"), ("clusters",)])
async def test_a_workspace_is_named_by_its_key_its_name_or_a_pattern(
    platform: LocalService, command: tuple[str, ...], named: tuple[str, ...], keys: set[str]
) -> None:
    """Every workspace that fits is asked once."""
    result = await invoke(*command, *(part for name in named for part in ("--workspace", name)))

    assert (result.exit_code, result.stderr) == (0, "")
    listed = [request.workspace_key for request in platform.requests if request.target.endswith("/sessions")]
    assert sorted(listed, key=str) == sorted(keys)


@pytest.mark.parametrize(
    ("named", "advice"),
    [
        ("Customer chrun", "did you mean 'Customer churn'?"),
        ("churn", "did you mean 'Customer churn'?"),
        ("PROD", "did you mean 'prod-eu'?"),
        ("nothing like it", "the command workspaces shows all."),
    ],
)
async def test_a_name_that_no_workspace_has_is_refused_with_advice_before_any_session_is_listed(
    platform: LocalService, named: str, advice: str
) -> None:
    result = await invoke("idle", "--since", "1h", "--workspace", named)

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"Error: Invalid value for '--workspace': no workspace has the key or the name {named!r}; {advice}"
    )
    assert {request.workspace_key for request in platform.requests} == {None}


async def test_without_permission_to_list_workspaces_the_names_are_taken_as_keys(platform: LocalService) -> None:
    platform.fail(None, Fault(status=404, times=None))

    result = await invoke("list", "--workspace", CHURN)

    (line,) = lines(result.stdout)
    assert (result.exit_code, line["workspaceKey"], line["workspaceName"]) == (0, CHURN, None)
    assert result.stderr.startswith("warning: the workspaces cannot be listed, so each --workspace is taken as a key: ")


async def test_tables_show_names_and_the_beginning_of_the_key_where_names_repeat(platform: LocalService) -> None:
    result = await invoke("list", "--output", "table", "--sort-by", "id")

    rows = [line.split("  ")[0] for line in result.stdout.splitlines()[2:5]]
    assert rows == ["prod-eu (a1b2c3d4…)", "prod-eu (a9b8c7d6…)", "Customer churn"]
    assert CHURN not in result.stdout


async def test_failures_show_the_name_and_the_key(platform: LocalService) -> None:
    platform.fail(CHURN, Fault(status=404))

    result = await invoke("list", "--workspace", "Customer churn")

    assert result.stderr.startswith(f"failed: list_sessions of workspace 'Customer churn' ({CHURN}): 404 ")


async def test_json_has_the_key_and_the_name_and_csv_also_who_created_the_workspace(platform: LocalService) -> None:
    as_json = await invoke("list", "--workspace", "Customer churn")
    as_csv = await invoke("list", "--workspace", "Customer churn", "--output", "csv")

    (line,) = lines(as_json.stdout)
    (row,) = csv.DictReader(io.StringIO(as_csv.stdout))
    assert (line["workspaceKey"], line["workspaceName"]) == (CHURN, "Customer churn")
    assert (row["workspace_key"], row["workspace_name"]) == (CHURN, "Customer churn")
    assert row["workspace_created_by"] == "Ada Osei"


async def test_the_report_shows_names_and_who_created_the_workspaces(platform: LocalService, tmp_path: Path) -> None:
    await invoke("list", "--html", str(tmp_path / "report.html"))

    page = (tmp_path / "report.html").read_text()
    assert "Customer churn" in page
    assert "Ada Osei" in page


async def test_a_plan_shows_names(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "1h", "--workspace", "Customer churn", "--output", "table")

    assert "Customer churn" in result.stdout
    assert CHURN not in result.stdout


@pytest.mark.parametrize("command", [("watch",), ("get", "c"), ("clusters",), ("cull", "--since", "1h")])
async def test_every_command_refuses_a_name_that_no_workspace_has(
    platform: LocalService, command: tuple[str, ...]
) -> None:
    result = await invoke(*command, "--workspace", "Customer chrun")

    assert result.exit_code == 2
    assert {request.operation for request in platform.requests} == {"list_workspaces"}


async def test_a_workspace_is_protected_by_its_name(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "1h", "--protect", "Customer*", "--output", "jsonl")

    reasons = {
        record["workspaceKey"]: (record["workspaceName"], record.get("reason")) for record in lines(result.stdout)
    }
    assert reasons[CHURN] == ("Customer churn", "protected")


async def test_who_created_a_workspace_is_in_the_table_and_in_csv(platform: LocalService) -> None:
    in_table = (await invoke("workspaces", "--output", "table")).stdout.splitlines()
    as_csv = (await invoke("workspaces", "--output", "csv")).stdout

    assert in_table[0].rstrip().endswith("Created by")
    assert in_table[2].rstrip().endswith("Ada Osei")
    assert [row["created_by_name"] for row in csv.DictReader(io.StringIO(as_csv))] == ["Ada Osei", "", "", ""]


def session(key: str, name: str) -> SessionSummary:
    made = make_session("n.ipynb", idle_for=timedelta(days=2), now=NOW)
    return attrs.evolve(made, workspace_key=key, workspace_name=name)


def test_the_view_of_watch_shows_names_and_tells_workspaces_of_the_same_name_apart() -> None:
    """Also if only one of them has sessions; a workspace that is not listed any more has its name still."""
    view, screen = LiveView(title="All", clock=lambda: NOW), terminal()
    view.named({PROD_A: "prod-eu", PROD_B: "prod-eu", CHURN: "Customer churn"})
    for key, name in ((PROD_A, "prod-eu"), (CHURN, "Customer churn"), (GONE, "Hackathon")):
        view.changed(SessionChange(kind="appeared", session=session(key, name)), NOW)

    with screen.capture() as captured:
        screen.print(view)

    text = captured.get()
    assert [text.count(name) for name in ("prod-eu (a1b2c3d4…)", "Customer churn", "Hackathon")] == [2, 2, 2]
    assert not any(key in text for key in (PROD_A, CHURN, GONE))


def test_a_line_of_watch_has_the_label_of_the_workspace_as_it_is_known_then() -> None:
    written: list[str] = []
    view = LineView(lambda *change: written.append(change[2]), Console())

    for names in ({PROD_A: "prod-eu"}, {PROD_B: "prod-eu"}):
        view.named(names)
        view.changed(SessionChange(kind="appeared", session=session(PROD_A, "prod-eu")), NOW)

    assert written == ["prod-eu", "prod-eu (a1b2c3d4…)"]


async def test_watch_names_the_workspaces_of_the_demo() -> None:
    process = await start("watch", "--demo", "--workspace", "Customer churn", "--output", "table")
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    process.send_signal(signal.SIGINT)

    await process.communicate()
    assert "  Customer churn  Workspace/" in line


async def test_a_repeated_cull_goes_on_when_a_workspace_that_it_names_is_no_longer_listed(
    platform: LocalService,
) -> None:
    """What the first round found stays; a workspace that is gone is a failure of its round."""
    run = Run({**OPTIONS, "workspace": ("Customer churn",)}, "jsonl", error_console())  # type: ignore[typeddict-item]
    policy = CullPolicy(since=timedelta(hours=1))
    async with platform.client(retry=RetryPolicy.none()) as client:
        first = await run._plan(client, policy)
        platform.fail(None, Fault(status=500, times=None))
        second = await run._plan(client, policy)

    assert [len(plan.candidates) for plan in (first, second)] == [1, 1]
    assert second.candidates[0].sessions[0].workspace_name == "Customer churn"


async def test_the_keys_of_the_demo_are_like_those_of_real_platforms_and_always_the_same() -> None:
    found, again = [json.loads((await invoke("workspaces", "--demo", "--output", "json")).stdout) for _ in range(2)]

    assert {len(each["key"]) for each in found} == {36}
    assert [(each["key"], each["displayName"]) for each in found] == [(e["key"], e["displayName"]) for e in again]
    assert "Customer churn" in {each["displayName"] for each in found}
