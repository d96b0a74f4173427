"""How the command words what it found: tables, ages, totals, and text that must not reach a terminal as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aidp_sessions import AidpError, KernelSummary, SessionSummary
from aidp_sessions._report import Report, json_lines, print_failure, print_table
from aidp_sessions._words import age, printable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def session(path: str, state: str | None, minutes: float, *, workspace: str = "churn") -> SessionSummary:
    kernel = KernelSummary(
        name="python3", execution_state=state, last_activity=NOW - timedelta(minutes=minutes), connections=1
    )
    return SessionSummary(path=path, workspace_key=workspace, kernel=kernel)


REPORT = Report(
    now=NOW,
    adjective="interesting",
    kept=[
        session("Workspace/features/a_rather_long_name_of_a_notebook.ipynb", "idle", 192),
        session("Workspace/now.ipynb", "busy", 0.5, workspace="pricing"),
        session("Workspace/just_now.ipynb", "idle", 0.5, workspace="pricing"),
        session("Workspace/深層学習.ipynb", "idle", 60 * 24 * 40 + 60 * 7),
        SessionSummary(name="warming up", workspace_key="churn"),
        session("Workspace/odd.ipynb", "hibernating", 3, workspace="churn"),
    ],
    seen=214,
    answered=12,
    failed=1,
)

UNBOUNDED = """\
Workspace  Session                                                    Kernel   State          Idle for  Conn.
─────────────────────────────────────────────────────────────────────────────────────────────────────────────
churn      Workspace/深層学習.ipynb                                   python3  idle           40 d 7 h      1
churn      Workspace/features/a_rather_long_name_of_a_notebook.ipynb  python3  idle         3 h 12 min      1
pricing    Workspace/just_now.ipynb                                   python3  idle               30 s      1
churn      Workspace/odd.ipynb                                        python3  hibernating                  1
churn      warming up                                                          no kernel
pricing    Workspace/now.ipynb                                        python3  busy                         1
"""
AT_72 = """\
Workspace  Session               Kernel   State          Idle for  Conn.
────────────────────────────────────────────────────────────────────────
churn      …pace/深層学習.ipynb  python3  idle           40 d 7 h      1
churn      …of_a_notebook.ipynb  python3  idle         3 h 12 min      1
pricing    …pace/just_now.ipynb  python3  idle               30 s      1
churn      Workspace/odd.ipynb   python3  hibernating                  1
churn      warming up                     no kernel
pricing    Workspace/now.ipynb   python3  busy                         1
"""
AT_60 = """\
Workspace  Session                   State          Idle for
────────────────────────────────────────────────────────────
churn      Workspace/深層学習.ipynb  idle           40 d 7 h
churn      …ame_of_a_notebook.ipynb  idle         3 h 12 min
pricing    Workspace/just_now.ipynb  idle               30 s
churn      Workspace/odd.ipynb       hibernating
churn      warming up                no kernel
pricing    Workspace/now.ipynb       busy
"""
TOTALS = "\n6 interesting of 214 sessions in 12 workspaces; 1 workspace failed\n"


def render(report: Report, width: int, *, terminal: bool = True, color_system: str | None = None) -> str:
    file = StringIO()
    print_table(report, Console(file=file, width=width, force_terminal=terminal, color_system=color_system))  # type: ignore[arg-type]  # a literal in rich
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def test_a_table_is_sorted_by_idle_time_and_says_only_of_idle_kernels_for_how_long() -> None:
    assert render(REPORT, 120) == UNBOUNDED + TOTALS


def test_a_path_that_finds_no_room_keeps_its_end() -> None:
    assert render(REPORT, 72) == AT_72 + TOTALS


def test_a_narrow_terminal_loses_columns_before_it_loses_readability() -> None:
    assert render(REPORT, 60) == AT_60 + TOTALS


def test_a_table_on_its_way_to_a_file_is_never_cut_off() -> None:
    assert render(REPORT, 10, terminal=False) == UNBOUNDED + TOTALS


def test_a_table_without_rows_is_its_totals() -> None:
    assert render(Report(now=NOW, adjective="idle", seen=1, answered=2), 80) == "0 idle of 1 session in 2 workspaces\n"


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h 0 min"),
        (timedelta(hours=3, minutes=12, seconds=40), "3 h 12 min"),
        (timedelta(hours=23, minutes=59), "23 h 59 min"),
        (timedelta(days=1), "1 d 0 h"),
        (timedelta(days=40, hours=7, minutes=50), "40 d 7 h"),
    ],
)
def test_an_age_is_given_in_its_two_largest_units_cut_off_not_rounded(duration: timedelta, text: str) -> None:
    assert age(duration) == text


@given(st.text())
def test_printable_text_has_no_control_characters_and_keeps_every_printable_one(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert [new for old, new in zip(text, shown, strict=True) if old.isprintable()] == [
        c for c in text if c.isprintable()
    ]


def test_names_cannot_steer_the_terminal_nor_colour_the_table() -> None:
    tricky = session("\x1b[2J[red]:smile:\n\u202egone", "idle\x1b]0;title\x07", 5, workspace="[/]\x9b1m")

    shown = render(Report(now=NOW, kept=[tricky]), 200)

    assert "\ufffd[2J[red]:smile: \ufffdgone" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_json_lines_are_ascii_so_that_no_locale_can_spoil_them() -> None:
    odd = SessionSummary(name="深\x1b\u2028", workspace_key="ü")

    assert json_lines([odd]) == '{"workspaceKey": "\\u00fc", "name": "\\u6df1\\u001b\\u2028"}\n'


def test_a_failure_is_one_line_of_plain_text_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_failure(AidpError("<html>\n[bold]" + "x" * 300 + "\x1b[0m"))

    assert capsys.readouterr().err == "failed: <html> [bold]" + "x" * 300 + "\ufffd[0m\n"
