"""The options that choose rows, columns, their order and their format."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions.cli.options import ShapeOptions
from aidp_sessions.cli.shaping import Rows

from ..helpers.cli_runner import forget_settings, invoke, lines, point_to, wire

if TYPE_CHECKING:
    from pathlib import Path

    from aidp_sessions.testing import LocalService


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A service with one session in each of six states."""
    point_to(service, monkeypatch, tmp_path)
    states = ("busy", "idle", "restarting", "terminating", "hibernating")
    sessions = [wire(state, execution_state=state, connections=number) for number, state in enumerate(states)]
    service.add_workspace("one", sessions)
    service.add_workspace("two", [{"id": "kernel-less"}, wire("older", last_activity="2026-01-01T00:00:00Z")])
    return service


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("idle",), {"idle", "older"}),
        (("busy",), {"busy"}),
        (("starting",), {"restarting"}),
        (("restarting",), {"restarting"}),
        (("dead",), {"terminating"}),
        (("unknown",), {"hibernating"}),
        (("no_kernel",), {"kernel-less"}),
        (("dead", "starting"), {"terminating", "restarting"}),
        (("autorestarting",), set()),
    ],
)
async def test_list_shows_only_the_states_that_are_asked_for(
    platform: LocalService, states: tuple[str, ...], expected: set[str]
) -> None:
    result = await invoke("list", *(word for state in states for word in ("--state", state)))

    assert result.exit_code == 0
    assert {str(line["id"]) for line in lines(result.stdout)} == expected


async def test_the_summary_line_names_the_states(platform: LocalService) -> None:
    result = await invoke("list", "--state", "dead", "--state", "no_kernel", "--output", "table")

    assert result.stdout.splitlines()[-1] == "2 dead or no kernel of 7 sessions in 2 workspaces"


@pytest.mark.parametrize("output", ["json", "csv", "jsonl"])
async def test_rows_come_with_the_longest_idle_time_first_and_then_by_workspace_and_path(
    platform: LocalService, output: str
) -> None:
    result = await invoke("list", "--output", output, "--limit", "99")

    if output == "csv":
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
    else:
        rows = json.loads(result.stdout) if output == "json" else lines(result.stdout)
    expected = ["older", "idle", "busy", "hibernating", "restarting", "terminating", "kernel-less"]
    assert [row["id"] for row in rows] == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("id", ["busy", "hibernating", "idle", "kernel-less", "older", "restarting", "terminating"]),
        ("-id", ["terminating", "restarting", "older", "kernel-less", "idle", "hibernating", "busy"]),
        ("connections", ["older", "busy", "idle", "restarting", "terminating", "hibernating", "kernel-less"]),
        ("-connections", ["hibernating", "terminating", "restarting", "idle", "older", "busy", "kernel-less"]),
        ("last-activity", ["older", "idle", "busy", "hibernating", "restarting", "terminating", "kernel-less"]),
    ],
)
async def test_rows_can_be_sorted_by_any_column_and_those_without_a_value_come_last(
    platform: LocalService, order: str, expected: list[str]
) -> None:
    result = await invoke("list", "--sort-by", order)

    assert [line["id"] for line in lines(result.stdout)] == expected


@pytest.mark.parametrize("output", ["json", "jsonl"])
async def test_json_says_what_each_session_does_and_for_how_long(platform: LocalService, output: str) -> None:
    result = await invoke("list", "--output", output, "--workspace", "two")

    found: list[Any] = json.loads(result.stdout) if output == "json" else [*lines(result.stdout)]
    by_id = {line["id"]: line for line in found}
    assert by_id["older"]["activity"] == "idle"
    assert int(by_id["older"]["idleSeconds"]) > 300 * 24 * 3600
    assert (by_id["kernel-less"]["activity"], by_id["kernel-less"]["idleSeconds"]) == ("no_kernel", None)


async def test_columns_are_those_of_csv_in_the_order_that_was_given(platform: LocalService) -> None:
    result = await invoke("list", "--state", "idle", "--columns", "id, activity,Workspace-Key", "--output", "csv")

    assert result.stdout == "id,activity,workspace_key\nolder,idle,two\nidle,idle,one\n"


async def test_columns_without_a_heading_in_a_pipe_are_one_value_per_line(platform: LocalService) -> None:
    """For ``xargs``: the format elsewhere than on a terminal is then CSV."""
    result = await invoke("list", "--state", "idle", "--columns", "id", "--no-header")

    assert result.stdout == "older\nidle\n"


async def test_the_columns_of_a_table_can_be_chosen_too(platform: LocalService) -> None:
    result = await invoke("list", "--state", "idle", "--columns", "id,last_activity,name", "--output", "table")

    assert [line.rstrip() for line in result.stdout.splitlines()[:5]] == [
        "id     last_activity         name",
        "─────────────────────────────────",
        "older  2026-01-01T00:00:00Z",
        "idle   2026-01-05T08:00:00Z",
        "",
    ]


@pytest.mark.parametrize("output", ["table", "csv"])
async def test_local_time_is_shown_with_its_offset(
    platform: LocalService, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        result = await invoke("list", "--local-time", "--columns", "last_activity", "--limit", "1", "-o", output)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    assert "2026-01-01T05:30:00+05:30" in result.stdout
    assert output == "csv" or re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d IST; ", result.stdout, re.MULTILINE)


async def test_a_limit_says_how_many_rows_it_leaves_out_and_changes_no_total(platform: LocalService) -> None:
    result = await invoke("list", "--limit", "2", "--output", "table")

    shown = result.stdout.splitlines()
    assert [line.split()[0] for line in shown[2:4]] == ["two", "one"]
    assert shown[4] == "… and 5 more"
    assert shown[-1] == "7 sessions in 2 workspaces"
    assert re.search(r"^All workspaces +7 +2 ", result.stdout, re.MULTILINE)


async def test_no_header_leaves_the_heading_out_of_a_table(platform: LocalService) -> None:
    result = await invoke("list", "--state", "busy", "--no-header", "--output", "table")

    assert result.stdout.startswith("one  Workspace/busy.ipynb ")


async def test_summary_shows_the_totals_alone_in_a_pipe_too(platform: LocalService) -> None:
    result = await invoke("list", "--summary")

    shown = result.stdout.splitlines()
    assert shown[0] == "Workspace       Sessions  idle  busy  starting  dead  no kernel  unknown"
    assert shown[-1] == "7 sessions in 2 workspaces"
    assert "ipynb" not in result.stdout


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("length(@)", 7),
        ("[?activity=='idle'].id", ["older", "idle"]),
        ("[?kernel.connections>`2`].{id: id, n: kernel.connections}", [{"id": "hibernating", "n": 4}, None]),
        ("[0].workspaceKey", "two"),
        ("nothing", None),
    ],
)
async def test_a_query_selects_from_the_array_of_json(
    platform: LocalService, expression: str, expected: object
) -> None:
    result = await invoke("list", "--query", expression, "--output", "json")

    assert result.exit_code == 0
    if isinstance(expected, list) and None in expected:
        assert json.loads(result.stdout) == [expected[0], {"id": "terminating", "n": 3}]
    else:
        assert json.loads(result.stdout) == expected


async def test_a_query_in_a_pipe_prints_one_json_value_per_line(platform: LocalService) -> None:
    as_lines = await invoke("list", "--query", "[?activity=='idle'].id")
    as_number = await invoke("list", "--query", "length(@)")

    assert (as_lines.stdout, as_number.stdout) == ('"older"\n"idle"\n', "7\n")


async def test_workspaces_take_the_same_options(platform: LocalService) -> None:
    platform.add_workspace("three", display_name="A name", lifecycle_state="DELETED")

    named = await invoke("workspaces", "--sort-by", "-key", "--columns", "key,display_name", "--limit", "2")
    queried = await invoke("workspaces", "--query", "[?lifecycleState=='DELETED'].key | [0]", "-o", "json")
    counted = await invoke("workspaces", "--summary")

    assert named.stdout == "key,display_name\ntwo,two\nthree,A name\n"
    assert queried.stdout == '"three"\n'
    assert counted.stdout == "3 workspaces\n"


async def test_the_page_is_not_shaped(platform: LocalService, tmp_path: Path) -> None:
    result = await invoke("list", "--limit", "1", "--html", str(tmp_path / "page.html"))

    assert len(lines(result.stdout)) == 1
    page = (tmp_path / "page.html").read_text()
    assert all(f"Workspace/{name}.ipynb" in page for name in ("busy", "idle", "older"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--sort-by", "idle"), "'idle' is not a column; the columns are workspace_key, workspace_name, id, "),
        (("--columns", "id,,path"), "'' is not a column; "),
        (("--columns", "id", "--output", "json"), "--columns needs --output table or csv"),
        (("--query", "[*].id", "--output", "csv"), "--query needs --output json or jsonl"),
        (("--query", "[*].id", "--columns", "id"), "--query cannot be combined with --columns"),
        (("--summary", "--output", "csv"), "--summary needs --output table"),
        (("--query", "foo("), "'foo(' is not a JMESPath expression: "),
        (("--limit", "-1"), "-1 is not in the range x>=0"),
        (("--state", "asleep"), "'asleep' is not one of 'idle', 'busy', "),
    ],
)
async def test_options_that_cannot_be_used_are_wrong_usage_and_send_nothing(
    platform: LocalService, arguments: tuple[str, ...], reason: str
) -> None:
    result = await invoke("list", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert platform.request_count == 0


async def test_a_query_that_fails_on_the_result_is_one_line_and_status_1(platform: LocalService) -> None:
    """Status 2 would say that nothing was asked."""
    result = await invoke("list", "--query", "[*].id | sum(@)")

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: --query: In function sum\(\), invalid type for value: .+\n", result.stderr)


@given(st.lists(st.none() | st.integers()), st.booleans(), st.none() | st.integers(0, 5))
def test_sorting_and_limiting_lose_no_other_rows(numbers: list[int | None], down: bool, limit: int | None) -> None:
    options = ShapeOptions(
        sort_by="-n" if down else "n",
        limit=limit,
        columns=None,
        query=None,
        summary=False,
        no_header=False,
        local_time=False,
    )
    rows = Rows(items=numbers, columns=["n"], record=lambda number: {"n": number}, document=lambda number: {})

    known = sorted((number for number in numbers if number is not None), reverse=down)
    assert rows.chosen(options) == [*known, *[None] * numbers.count(None)][:limit]
