"""The text of the command: tables, idle times, totals, and names that must not control a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO, StringIO, TextIOWrapper
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from aidp_sessions import Activity, AidpError, KernelSummary, SessionSummary
from aidp_sessions._display.text import format_duration, strip_control_chars
from aidp_sessions._version import __version__
from aidp_sessions.cli.formats import json_lines
from aidp_sessions.cli.report import Report, describe_idle, error_console, print_failure, source_facts
from aidp_sessions.cli.report_tables import print_report
from aidp_sessions.cli.tables import LeftTruncated, terminal

from ..golden import assert_golden

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NAMES_THAT_PEOPLE_USE = (
    "Screenshot 3.45\N{NARROW NO-BREAK SPACE}PM",
    "v\N{NO-BREAK SPACE}13",
    "\u0646\u06cc\u0645\N{ZERO WIDTH NON-JOINER}\u0641",
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    "\u6771\u4eac\N{IDEOGRAPHIC SPACE}\u5206\u6790",
    "co\N{SOFT HYPHEN}op",
    "an emoji newer than this Python: \U0001fac8",
    "private use: \uf8ff",
)


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
        SessionSummary(name="warming up", workspace_key="churn", id="4a5b"),
        session("Workspace/odd.ipynb", "hibernating", 3, workspace="churn"),
    ],
    seen={
        "churn": Counter({Activity.IDLE: 199, Activity.UNKNOWN: 1}),
        "pricing": Counter({Activity.IDLE: 4, Activity.BUSY: 9, Activity.NO_KERNEL: 1}),
        "nothing-runs": Counter(),
    },
    failures=[AidpError("down")],
)


def render(report: Report, width: int, *, terminal: bool = True, encoding: str = "utf-8") -> str:
    buffer = BytesIO()
    file = TextIOWrapper(buffer, encoding=encoding, write_through=True)
    print_report(report, Console(file=file, width=width, force_terminal=terminal, color_system=None))
    return buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 60, 72, 125])
def test_a_table_fits_its_terminal_sorted_by_idle_time(width: int) -> None:
    shown = render(REPORT, width)

    assert_golden(f"mixed-{width}", shown)
    assert max(map(cell_len, shown.splitlines()[:-1])) <= width


def test_a_narrow_table_omits_id_kernel_connections_and_bar_in_this_order_but_keeps_the_idle_time() -> None:
    headings = [" ".join(render(REPORT, width).splitlines()[0].split()) for width in range(130, 50, -1)]

    assert list(dict.fromkeys(headings)) == [
        "Workspace Session Kernel State Idle for Conn. Id",
        "Workspace Session Kernel State Idle for Conn.",
        "Workspace Session State Idle for Conn.",
        "Workspace Session State Idle for",
    ]


def test_ids_and_keys_are_complete_in_80_columns() -> None:
    key = "2f9d7c1e-0b44-4f6e-9a39-6f1f5b1c7f10"
    kept = [session("Workspace/a_notebook_with_a_name.ipynb", "idle", 5, workspace=key)]

    row = render(Report(now=NOW, kept=kept), 80).splitlines()[2]

    assert row == f"{key}  …tebook_with_a_name.ipynb  idle      5 min"


@given(st.text("a\u6771\u0301\u200d\ufe0f\u2764\U0001f469", min_size=1, max_size=60), st.integers(3, 40))
def test_a_shortened_path_is_the_end_of_the_path_and_fits(path: str, width: int) -> None:
    console = Console(file=StringIO(), width=width)

    with console.capture() as capture:
        console.print(LeftTruncated(path))

    shown = capture.get().removesuffix("\n")
    assert cell_len(shown) <= width
    assert path.endswith(shown.removeprefix("…"))
    assert shown == path or shown.startswith("…")


def test_shortening_a_path_takes_time_in_proportion_to_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = 0

    def counting(text: str) -> int:
        nonlocal measured
        measured += len(text)
        return cell_len(text)

    monkeypatch.setattr("aidp_sessions.cli.tables.cell_len", counting)

    shown = render(Report(now=NOW, kept=[session("/" + "a" * 100_000, "idle", 5)]), 80)

    assert "…aaaa" in shown
    assert measured < 5 * 100_000


def test_a_table_in_a_file_is_never_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    file = StringIO()
    monkeypatch.setattr("sys.stdout", file)
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("FORCE_COLOR", "1")

    print_report(REPORT, terminal())

    assert_golden("mixed-125", re.sub("\x1b[^m]*m", "", file.getvalue()))


def test_a_terminal_without_unicode_gets_bars_and_lines_of_ascii() -> None:
    kept = [session("Workspace/" + "long" * 20, "idle", 300)]

    assert_golden("ascii-80", render(Report(now=NOW, kept=kept, seen={"churn": Counter()}), 80, encoding="ascii"))


def test_without_sessions_only_the_totals_are_shown() -> None:
    seen = {"a": Counter({Activity.BUSY: 1}), "b": Counter[Activity]()}

    assert render(Report(now=NOW, adjective="idle", seen=seen), 80) == "0 idle of 1 session in 2 workspaces\n"


def test_one_line_says_when_what_where_and_by_whom_it_was_asked() -> None:
    report = Report(
        now=NOW,
        selection=describe_idle(timedelta(hours=2), connected=False),
        source={"Platform": "ocid1.x", "Endpoint": "https://x", "Asked by": "user u"},
        seen={"a": Counter({Activity.BUSY: 1})},
    )

    assert render(report, 20) == (
        "2026-11-23 12:00 UTC; idle for 2 h or longer, not connected; ocid1.x; https://x; user u; "
        f"aidp_sessions {__version__}\n1 session in 1 workspace\n"
    )


@pytest.mark.parametrize(
    ("since", "connected", "text"),
    [
        (timedelta(hours=2), None, "idle for 2 h or longer"),
        (timedelta(days=1, seconds=61), True, "idle for 1 d 1 min 1 s or longer, connected"),
        (timedelta(0), None, "idle for 0 s or longer"),
        (NOW.astimezone(timezone(timedelta(hours=1))), False, "idle since 2026-11-23 12:00:00 UTC, not connected"),
    ],
)
def test_a_threshold_is_described_exactly(since: datetime | timedelta, connected: bool | None, text: str) -> None:
    assert describe_idle(since, connected=connected) == text


@pytest.mark.parametrize(
    ("signer", "text"),
    [
        (SimpleNamespace(user="ocid1.user", tenancy="t"), "user ocid1.user (SimpleNamespace)"),
        (SimpleNamespace(tenancy="ocid1.tenancy"), "SimpleNamespace of tenancy ocid1.tenancy"),
        (SimpleNamespace(tenancy=None), "SimpleNamespace"),
    ],
)
def test_a_signer_is_described_without_secrets(signer: SimpleNamespace, text: str) -> None:
    client = SimpleNamespace(platform_id="p", endpoint="e", signer=signer)

    facts = source_facts(client)  # type: ignore[arg-type]  # what it reads of a client

    assert facts == {"Platform": "p", "Endpoint": "e", "Asked by": text}


def test_the_totals_say_how_many_workspaces_failed_and_if_it_was_interrupted() -> None:
    report = Report(now=NOW, failures=[AidpError("down")] * 2, unlisted=AidpError("down"), interrupted=True)

    assert report.summary() == (
        "0 sessions in 0 workspaces; 2 workspaces failed; not all workspaces are known; interrupted"
    )
    assert report.facts()["Asked"] == "2 workspaces, 2 failed; not all workspaces are known; interrupted"


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
def test_an_idle_time_is_shown_in_its_two_largest_units_and_not_rounded(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def harmless(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in BIDI_CONTROLS


@given(st.text(st.characters(exclude_categories=[]) | st.sampled_from(BIDI_CONTROLS)))
def test_only_characters_that_control_a_terminal_or_its_direction_are_removed(text: str) -> None:
    shown = strip_control_chars(text)

    assert all(map(harmless, shown))
    assert [new if harmless(old) else "" for old, new in zip(text, shown, strict=True)] == [
        old if harmless(old) else "" for old in text
    ]
    assert {new for old, new in zip(text, shown, strict=True) if not harmless(old)} <= {" ", "\ufffd"}


@pytest.mark.parametrize("path", NAMES_THAT_PEOPLE_USE)
def test_the_invisible_characters_of_names_are_kept_in_a_table(path: str) -> None:
    assert path in render(Report(now=NOW, kept=[session(path, "idle", 5)]), 200)


def test_names_cannot_control_the_terminal_or_colour_the_table() -> None:
    tricky = session("\x1b[2J[red]:smile:\n\u202egone", "idle\x1b]0;title\x07", 5, workspace="[/]\x9b1m")

    shown = render(Report(now=NOW, kept=[tricky]), 200)

    assert "\ufffd[2J[red]:smile: \ufffdgone" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_json_lines_are_ascii_for_any_locale() -> None:
    odd = SessionSummary(name="深\x1b\u2028", workspace_key="ü")

    assert json_lines([odd], NOW) == (
        '{"workspaceKey": "\\u00fc", "workspaceName": null, "activity": "no_kernel", "idleSeconds": null, '
        '"name": "\\u6df1\\u001b\\u2028"}\n'
    )


def test_a_failure_is_one_line_of_plain_text_if_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_failure(AidpError("<html>\n[bold]" + "x" * 300 + "\x1b[0m"), error_console())

    assert capsys.readouterr().err == "failed: <html> [bold]" + "x" * 300 + "\ufffd[0m\n"


def test_a_column_that_says_the_same_in_every_row_is_the_first_to_go() -> None:
    """A single row keeps its state, which nothing else says."""
    kept = [session("Workspace/a_notebook_with_a_long_name.ipynb", "idle", minutes) for minutes in (300, 90)]
    wide, narrow, one = (
        render(Report(now=NOW, kept=rows), width) for rows, width in [(kept, 120), (kept, 70), (kept[:1], 70)]
    )

    headings = [text.splitlines()[0].split() for text in (wide, narrow, one)]
    assert [("State" in heading, "Kernel" in heading) for heading in headings] == [
        (True, True),
        (False, False),
        (True, False),
    ]
