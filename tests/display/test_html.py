"""The report page and a notebook show everything that was found, and no text from outside becomes markup."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import aidp_sessions
from aidp_sessions import (
    AidpError,
    ClusterSummary,
    ConnectionFailedError,
    FanOutError,
    KernelSummary,
    NotFoundError,
    SessionCollection,
    SessionSummary,
    WorkspaceOutcome,
)
from aidp_sessions._display.page import page
from aidp_sessions._display.rollup import usage_by_cluster
from aidp_sessions._display.rows import COLUMNS
from aidp_sessions._display.text import strip_control_chars, workspace_labels

from ..helpers.html_reader import Document, Table
from ..helpers.run_notebook import Shown, move_home, run_cells
from ..helpers.strategies import brief, moments, states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aidp_sessions._display.rollup import Cluster

ASSETS: Final = files("aidp_sessions._display")
NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOSTILE: Final = (
    "<script>document.title = 'broken'</script>",
    "</title></style></script></table><img src=http://127.0.0.1/x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)' x='",
    '" style="background: url(http://127.0.0.1/x)',
    "<!-- <![CDATA[ ]]> --> &lt;b&gt; &amp;quot; &#0; &",
    "{{7*7}}${7*7}{0}%s",
    "\0\x1b[31m\r\n\t\u202e\u2028\ud800",
    "javascript:alert(1)",
)
texts: Final = st.sampled_from(HOSTILE) | st.text(max_size=20)
ELEMENTS: Final = {
    ("html", ("lang",)),
    ("head", ()),
    ("meta", ("charset",)),
    ("meta", ("content", "http-equiv")),
    ("meta", ("content", "name")),
    ("title", ()),
    ("style", ()),
    ("body", ()),
    ("header", ()),
    ("h1", ()),
    ("p", ()),
    ("time", ("datetime",)),
    ("main", ()),
    ("dl", ("class",)),
    ("div", ()),
    ("div", ("class",)),
    ("div", ("aria-label", "class", "role", "tabindex")),
    ("div", ("aria-label", "class", "role")),
    ("form", ("hidden", "role")),
    ("label", ("for",)),
    ("kbd", ()),
    ("input", ("autocomplete", "id", "spellcheck", "type")),
    ("output", ()),
    ("button", ("id", "type")),
    ("button", ("hidden", "id", "type")),
    ("section", ("id",)),
    ("span", ()),
    ("small", ()),
    ("dt", ("class",)),
    ("dt", ()),
    ("dd", ()),
    ("dd", ("class",)),
    ("section", ()),
    ("table", ("class",)),
    ("caption", ()),
    ("thead", ()),
    ("tbody", ()),
    ("tr", ()),
    ("th", ("scope",)),
    ("th", ("class", "scope")),
    ("th", ("aria-sort", "class", "scope")),
    ("td", ()),
    ("td", ("class",)),
    ("td", ("data-v",)),
    ("svg", ("aria-hidden",)),
    ("rect", ("class", "height", "width", "x")),
    ("script", ()),
}


def session(workspace: str = "analytics", ago: timedelta | None = None, **values: object) -> SessionSummary:
    """A session whose kernel has been idle since *ago*; *values* are the kernel's."""
    last = None if ago is None else NOW - ago
    kernel = KernelSummary(**{"name": "python3", "execution_state": "idle", "last_activity": last, **values})  # type: ignore[arg-type]  # any field
    return SessionSummary(path=f"/{workspace}.ipynb", kernel=kernel, workspace_key=workspace)


def failure(workspace: str | None, message: str, kind: type[AidpError] = NotFoundError) -> AidpError:
    error = kind(message)
    error.workspace_key = workspace
    return error


def read(
    *sessions: SessionSummary, failures: tuple[AidpError, ...] = (), workspaces: Mapping[str, str] | None = None
) -> Document:
    return Document(page(sessions, failures, title="Kernels", taken=NOW, workspaces=workspaces))


def figures(document: Document) -> dict[str, str]:
    return dict(zip(document.texts["dt"], document.texts["dd"], strict=True))


def histogram(document: Document) -> dict[str, int]:
    """The bins that are drawn."""
    tables = [table for table in document.tables if table.caption == "Idle sessions by idle time"]
    return {label: int(number) for table in tables for label, _, number in table.rows}


def test_the_page_says_everything_that_was_found() -> None:
    found = (
        session("finance", timedelta(hours=3, minutes=12), id="k1", connections=0),
        session("finance", timedelta(minutes=1), id="k2", execution_state="busy", connections=2),
        session("analytics", timedelta(days=8, hours=1), id="k3"),
        SessionSummary(name="warming up", workspace_key="analytics", cluster_id="c", id="s4"),
    )
    failures = (failure("legacy", "gone"), failure(None, "broken off", ConnectionFailedError))

    document = read(*found, failures=failures, workspaces=dict.fromkeys(("empty", "finance", "legacy"), ""))

    assert document.texts["title"] == document.texts["h1"] == ["Kernels"]
    assert document.texts["time"] == ["2026-11-23 12:00 UTC"]
    assert figures(document) == {
        "Sessions": "4",
        "Kernels": "3",
        "Idle": "2",
        "Busy": "1",
        "Other": "1",
        "Workspaces failed": "1",
    }
    (failed, idle_times, by_workspace, everything) = document.tables
    assert failed == Table(
        "2 failures",
        ["Workspace", "What happened"],
        [
            ["legacy", "Not allowed, or gone.\nNotFoundError: of workspace 'legacy': gone"],
            ["The list of workspaces", "No connection.\nConnectionFailedError: broken off"],
        ],
    )
    assert idle_times.head == ["Idle time", "", "Sessions"]
    assert by_workspace == Table(
        "By workspace (3)",
        ["Workspace", "", "Sessions", "Idle", "Busy"],
        [["analytics", "", "2", "1", "0"], ["finance", "", "2", "1", "1"], ["empty", "", "0", "0", "0"]],
    )
    assert everything == Table(
        "Sessions (4)",
        list(COLUMNS),
        [
            ["/analytics.ipynb", "analytics", "no cluster", "idle", "8 d 1 h", "2026-11-15 11:00", "", "k3", ""],
            ["/finance.ipynb", "finance", "no cluster", "idle", "3 h 12 min", "2026-11-23 08:48", "0", "k1", ""],
            ["warming up", "analytics", "c", "no kernel", "", "", "", "", "s4"],
            ["/finance.ipynb", "finance", "no cluster", "busy", "", "2026-11-23 11:59", "2", "k2", ""],
        ],
    )


def test_sessions_that_share_a_kernel_are_one_row_that_says_so() -> None:
    """If they report the same of it; then each has a line for its path and its id."""
    first = attrs.evolve(session("a", timedelta(hours=2), id="k"), path="/b.ipynb", id="1", cluster_id="c")
    second = attrs.evolve(first, path="/a.ipynb", id="2")
    busy = attrs.evolve(first, id="3", kernel=session(ago=timedelta(hours=2), id="k", execution_state="busy").kernel)
    elsewhere = attrs.evolve(first, id="4", workspace_key="w")

    document = read(first, second, busy, elsewhere)

    assert document.tables[-1].caption == "Sessions (4)"
    assert document.tables[-1].rows == [
        [
            "/a.ipynb\n/b.ipynb\n2 sessions share this kernel",
            *("a", "c", "idle", "2 h 0 min", "2026-11-23 10:00", "", "k", "2\n1"),
        ],
        ["/b.ipynb", "w", "c", "idle", "2 h 0 min", "2026-11-23 10:00", "", "k", "4"],
        ["/b.ipynb", "a", "c", "busy", "", "2026-11-23 10:00", "", "k", "3"],
    ]


def test_the_creator_of_a_workspace_is_shown_below_its_name() -> None:
    document = Document(page([session("a"), session("b")], [], title="", taken=NOW, owners={"a": "Ada <Lovelace>"}))

    assert [row[0] for row in document.tables[0].rows] == ["a\ncreated by Ada <Lovelace>", "b"]


def test_a_cluster_is_shown_by_its_name_if_that_is_known() -> None:
    found = [attrs.evolve(session(), cluster_id=key) for key in ("c1", "c2", None)]
    clusters: dict[Cluster, ClusterSummary] = {
        ("analytics", "c1"): ClusterSummary(key="c1", display_name="Nightly", state="ACTIVE")
    }

    document = Document(page(found, [], title="", taken=NOW, clusters=clusters))

    (by_cluster,) = [table for table in document.tables if table.caption == "By cluster (3)"]
    assert sorted(row[0] for row in by_cluster.rows) == ["Nightly", "c2", "no cluster"]
    assert [row[2] for row in document.tables[-1].rows] == ["Nightly", "c2", "no cluster"]


def test_a_cluster_listing_that_failed_is_no_workspace_that_failed() -> None:
    gone = failure("legacy", "gone")
    gone.operation = "list_clusters"

    document = read(failures=(gone,), workspaces={"legacy": "Legacy"})

    assert figures(document)["Workspaces failed"] == "0"
    assert document.tables[0].rows[0][1].startswith("Its clusters could not be listed. Not allowed, or gone.\n")
    assert [row[0] for row in document.tables[1].rows] == ["Legacy"]


def test_the_parts_of_a_bar_stand_side_by_side() -> None:
    """They are shares of the workspace with the most sessions, in the order idle, busy, other."""
    kernels = [("a", "idle"), ("a", "busy"), ("a", "busy"), ("a", "dead"), ("b", "dead"), ("b", "idle")]
    found = [session(workspace, execution_state=state, last_activity=NOW) for workspace, state in kernels]

    document = read(*found)

    bars = [(e["class"], e["x"], e["width"]) for tag, e in document.elements if tag == "rect"]
    assert bars[1:] == [  # the first is that of the idle times
        ("idle", "0.00%", "25.00%"),
        ("busy", "25.00%", "50.00%"),
        ("other", "75.00%", "25.00%"),
        ("idle", "0.00%", "25.00%"),
        ("other", "25.00%", "25.00%"),
    ]


def test_a_report_without_sessions_is_complete() -> None:
    document = read()

    assert set(figures(document).values()) == {"0"}
    assert [len(table.rows) for table in document.tables] == [0, 0]
    assert document.texts["p"] == ["Taken ", ""]  # the second has a button, which the script shows if it is needed


@pytest.mark.parametrize(
    ("start", "label"),
    [
        (timedelta(0), "under 10 min"),
        (timedelta(minutes=10), "10 – 30 min"),
        (timedelta(minutes=30), "30 – 60 min"),
        (timedelta(hours=1), "1 – 2 h"),
        (timedelta(hours=2), "2 – 4 h"),
        (timedelta(hours=4), "4 – 8 h"),
        (timedelta(hours=8), "8 – 24 h"),
        (timedelta(days=1), "1 – 3 d"),
        (timedelta(days=3), "3 – 7 d"),
        (timedelta(days=7), "over 7 d"),
    ],
)
def test_an_idle_time_on_the_border_of_two_bins_counts_to_the_longer(start: timedelta, label: str) -> None:
    tick = timedelta(microseconds=1)

    bins = histogram(read(session(ago=max(start - tick, timedelta(0))), session(ago=start)))

    assert bins[label] == 1 + (not start)


def test_bins_before_the_first_session_are_left_out() -> None:
    """They lie below the threshold of what was asked for."""
    bins = histogram(read(session(ago=timedelta(hours=5)), session(ago=timedelta(days=2))))

    assert bins == {"4 – 8 h": 1, "8 – 24 h": 0, "1 – 3 d": 1, "3 – 7 d": 0, "over 7 d": 0}


def test_a_selection_stands_beside_the_figures_of_everything_that_was_listed() -> None:
    found = [session("a", timedelta(hours=3), id="1"), session("a", execution_state="busy", id="2"), session("b")]

    document = Document(
        page(found[:1], [], title="Idle", taken=NOW, workspaces={"a": "", "b": ""}, usage=usage_by_cluster(found, NOW))
    )

    assert figures(document) == {
        "Shown": "1",
        "Sessions": "3",
        "Kernels": "3",
        "Idle": "1",
        "Busy": "1",
        "Other": "1",
        "Workspaces failed": "0",
    }
    assert document.tables[1:] == [
        Table(
            "By workspace (2)",
            ["Workspace", "", "Shown", "Sessions", "Idle", "Busy"],
            [["a", "", "1", "2", "1", "1"], ["b", "", "0", "1", "0", "0"]],
        ),
        Table(
            "Sessions (1)",
            list(COLUMNS),
            [["/a.ipynb", "a", "no cluster", "idle", "3 h 0 min", "2026-11-23 09:00", "", "1", ""]],
        ),
    ]


def test_the_page_says_what_was_asked_and_what_the_idle_time_adds_up_to() -> None:
    facts = {"Selected": "idle for 2 h or longer", "Platform": "<ocid1>"}

    document = Document(page([session(ago=timedelta(hours=30))], [], title="Idle", taken=NOW, facts=facts))

    assert dict(zip(document.texts["dt"], document.texts["dd"], strict=True)).items() >= facts.items()
    assert "1 kernel idle for 30 hours in all." in document.texts["p"]


def test_a_kernel_that_sessions_share_counts_once() -> None:
    """The same id in another workspace is another kernel; so is each kernel without an id."""
    first = session("a", timedelta(0), id="k")
    shared = attrs.evolve(first, path="/second.ipynb")

    numbers = figures(read(first, shared, session("b", id="k"), session("c"), session("c")))

    assert (numbers["Sessions"], numbers["Kernels"]) == ("5", "4")


@brief
@given(st.lists(st.tuples(st.none() | states, st.none() | moments), max_size=8))
def test_every_session_is_in_one_figure_and_every_idle_one_in_one_bin(
    kernels: list[tuple[str | None, datetime | None]],
) -> None:
    document = read(*(session(execution_state=state, last_activity=last) for state, last in kernels))

    numbers = {name: int(number) for name, number in figures(document).items()}
    assert numbers["Idle"] + numbers["Busy"] + numbers["Other"] == numbers["Sessions"] == len(kernels)
    assert sum(histogram(document).values()) == numbers["Idle"]


@brief
@given(st.lists(texts, min_size=7, max_size=7))
@example([HOSTILE[0]] * 7)
@example([HOSTILE[7]] * 7)
def test_no_text_from_outside_becomes_markup(words: list[str]) -> None:
    """Read back, each text is unchanged, and there is no element or attribute but ours."""
    title, workspace, path, kernel, state, failed, message = words
    found = SessionSummary(
        path=path,
        workspace_key="k",
        workspace_name=workspace,
        id=kernel,
        cluster_id=kernel,
        kernel=KernelSummary(name="", id=kernel, execution_state=state),
    )
    place = ("k", kernel)
    cluster = ClusterSummary(key=kernel, display_name=kernel, state=state, stopped_by_name=workspace)

    text = page(
        [found, attrs.evolve(found, path=state)],
        [failure(failed, message)],
        title=title,
        taken=NOW,
        workspaces={"k": workspace},
        clusters={place: cluster},
        facts={"Selected": title},
    )

    text.encode()
    document = Document(text)
    shown = [strip_control_chars(word) for word in words]
    assert document.texts["h1"] == document.texts["title"] == [shown[0]]
    labels = workspace_labels([("k", workspace), (failed, None)])
    assert document.tables[-1].rows[0][1] == labels["k"]
    assert document.tables[0].rows[0][0] == labels[failed]
    assert document.tables[0].rows[0][1].endswith(shown[6])
    cells = "\n".join(cell for row in document.tables[-1].rows for cell in row)
    assert [word for word in shown[2:5] if word not in cells] == []
    assert document.texts["style"] == [(ASSETS / "report.css").read_text(encoding="utf-8")]
    assert document.texts["script"] == [(ASSETS / "report.js").read_text(encoding="utf-8")]
    assert {(tag, tuple(sorted(attributes))) for tag, attributes in document.elements} <= ELEMENTS


def test_the_content_security_policy_allows_only_the_page_s_style_and_script() -> None:
    document = read(session())

    style, script = (
        base64.b64encode(hashlib.sha256(document.texts[tag][0].encode()).digest()).decode()
        for tag in ("style", "script")
    )
    (policy,) = [a["content"] for tag, a in document.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        page([], [], title="", taken=NOW.replace(tzinfo=None))


def test_times_are_shown_in_utc() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))

    document = Document(page([session(last_activity=elsewhere)], [], title="", taken=elsewhere))

    assert document.texts["time"] == ["2026-11-23 12:00 UTC"]
    assert document.tables[-1].rows[0][4:6] == ["0 s", "2026-11-23 12:00"]


def test_ten_thousand_sessions_make_less_than_four_megabytes() -> None:
    """With ids as long as those of the service."""
    uuid = "51abe3fa-37fd-46f9-a76f-7961117f{:04}"
    found = [
        attrs.evolve(
            session(f"workspace-{n % 200}", timedelta(minutes=n), id=uuid.format(n), connections=1),
            id=uuid.format(n),
            cluster_id=uuid.format(n % 500),
        )
        for n in range(10_000)
    ]

    assert len(page(found, [], title="Kernels", taken=NOW, clusters={}).encode()) < 4_000_000


def shown(value: SessionCollection | WorkspaceOutcome | FanOutError) -> Table:
    (table,) = Document(value._repr_html_()).tables
    return table


def recent() -> SessionSummary:
    """A session that has been idle for two hours, to the minute, during a test."""
    return session(last_activity=datetime.now(UTC) - timedelta(hours=2, minutes=30))


def named(session: SessionSummary, name: str) -> SessionSummary:
    return attrs.evolve(session, workspace_name=name)


def test_the_page_shows_the_names_of_workspaces() -> None:
    """Of those that are empty or have failed too; where two have one name, with the beginning of their keys."""
    found = named(session("51abe3fa-37fd"), "Analytics"), named(session("e15a4ac0-bdc9"), "Analytics")
    gone = failure("9531985d-5d9d", "gone")
    gone.workspace_name = "Legacy"

    document = read(*found, named(session("6513270e"), "Churn"), failures=(gone,), workspaces={"0f0f": "Empty"})

    (failed, by_workspace, everything) = document.tables
    names = ["Analytics (51abe3fa…)", "Analytics (e15a4ac0…)", "Churn"]
    assert [row[1] for row in everything.rows] == names
    assert [row[0] for row in by_workspace.rows] == [*names, "Empty"]
    assert [row[0] for row in failed.rows] == ["Legacy"]


def test_a_notebook_shows_the_names_of_workspaces() -> None:
    gone = failure("9531985d-5d9d", "gone")
    gone.workspace_name = "Legacy"
    outcome = WorkspaceOutcome(workspace_key="k", workspace_name="Churn", sessions=(named(recent(), "Churn"),))
    failed = [["Legacy", "NotFoundError", "of workspace 'Legacy' (9531985d-5d9d): gone"]]

    assert shown(SessionCollection(items=(named(recent(), "Churn"),))).rows[0][1] == "Churn"
    assert (shown(outcome).caption, shown(outcome).rows[0][1]) == ("Churn: 1 session, 1 idle", "Churn")
    assert shown(FanOutError.of([gone])).rows == failed
    assert shown(WorkspaceOutcome(workspace_key="9531985d-5d9d", error=gone)).rows == failed


def test_a_collection_is_a_table_in_a_notebook() -> None:
    (row,) = shown(SessionCollection(items=(recent(),))).rows

    assert [*row[:4], row[6]] == ["/analytics.ipynb", "analytics", "python3", "idle", ""]
    assert row[4] == "2 h 30 min"


def test_a_notebook_shows_a_hundred_rows_and_the_number_of_the_others() -> None:
    hundred = shown(SessionCollection(items=(session(),) * 100))
    more = shown(SessionCollection(items=(session(),) * 101))
    failed = shown(FanOutError.of([failure(str(n), "gone") for n in range(250)]))

    assert (hundred.caption, len(hundred.rows)) == ("100 sessions, 0 idle", 100)
    assert (more.caption, more.rows) == ("101 sessions, 0 idle", [*hundred.rows, ["and 1 more"]])
    assert (failed.caption, len(failed.rows), failed.rows[-1]) == ("250 failures", 101, ["and 150 more"])


def test_a_notebook_shows_the_sessions_or_the_error_of_an_outcome() -> None:
    """Also of an empty workspace."""
    gone = failure("legacy", "gone")

    assert shown(WorkspaceOutcome(workspace_key="empty")).caption == "empty: 0 sessions, 0 idle"
    assert shown(WorkspaceOutcome(workspace_key="a", sessions=(recent(),))).caption == "a: 1 session, 1 idle"
    assert shown(WorkspaceOutcome(workspace_key="legacy", error=gone)).rows == [
        ["legacy", "NotFoundError", "of workspace 'legacy': gone"]
    ]


@brief
@given(texts, texts)
def test_no_text_from_outside_becomes_markup_in_a_notebook(key: str, message: str) -> None:
    outcome = WorkspaceOutcome(workspace_key=key, sessions=(session(key),))
    failures = FanOutError.of([failure(key, message)])

    assert shown(outcome).caption == f"{strip_control_chars(key)}: 1 session, 0 idle"
    assert shown(outcome).rows[0][1] == strip_control_chars(key)
    assert shown(failures).rows == [
        [strip_control_chars(key), "NotFoundError", strip_control_chars(str(failures.exceptions[0]))]
    ]
    for value in (outcome, failures):
        elements = Document(value._repr_html_()).elements
        assert {(tag, tuple(sorted(attributes))) for tag, attributes in elements} <= ELEMENTS


HEAD: Final = ["Session", "Workspace", "Kernel", "State", "Idle for", "Last activity (UTC)", "Connections"]
START: Final = """
import asyncio, gc, sys, warnings
from datetime import UTC, datetime, timedelta
from aidp_sessions import FanOutError, KernelSummary, SessionCollection, SessionsClient, SessionSummary
from aidp_sessions.testing import LocalService

warnings.simplefilter("always")
service = LocalService()
await service.start()
then = datetime.now(UTC) - timedelta(hours=2, minutes=30)
idle = KernelSummary(name="python3", execution_state="idle", last_activity=then, connections=1)
service.add_workspace("analytics", [
    SessionSummary(id="1", path="churn.ipynb", kernel=idle),
    SessionSummary(id="2", name="<b>bold</b>"),
])
service.add_workspace("empty")
config = service.write_config(".")
client = SessionsClient.from_config(service.platform_id, config_file=config, endpoint=service.url)
"""
COLLECT: Final = "SessionCollection(items=tuple(await client.sessions().idle_since(timedelta(hours=2)).collect()))"
OUTCOMES: Final = """
async for outcome in client.sessions(["analytics", "empty"], max_concurrency=1).by_workspace():
    display(outcome)
"""
FAILURE: Final = """
try:
    await client.sessions(["no-such-workspace", "analytics"]).collect()
except FanOutError as error:
    failed = error
failed
"""
END: Final = """
await client.aclose()
await service.aclose()
del client, service
gc.collect()
print(sum("aidp_sessions" in repr(task) for task in asyncio.all_tasks()), f"{then:%Y-%m-%d %H:%M}")
"""
CELLS: Final = {
    "start": START,
    "list": "await client.list_sessions('analytics')",
    "collect": COLLECT,
    "outcomes": OUTCOMES,
    "failure": FAILURE,
    "showing": "for thing in (client, client.signer, service, service.signer, failed, vars(failed.exceptions[0])):\n"
    "    display(thing)",
    "end": END,
}


def tables(shown: Shown) -> list[Table]:
    return [table for html in shown.html for table in Document(html).tables]


async def test_a_notebook_shows_whole_tables_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The service runs on the notebook's own loop."""
    move_home(monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(aidp_sessions.__file__).parents[1]))

    shown = dict(zip(CELLS, await run_cells(list(CELLS.values()), tmp_path), strict=True))

    left, _, moment = shown["end"].stdout.strip().partition(" ")
    idle = ["churn.ipynb", "analytics", "python3", "idle", "2 h 30 min", moment, "1"]
    warming = ["<b>bold</b>", "analytics", "", "no kernel", "", "", ""]
    failure = "list_sessions of workspace 'no-such-workspace': 404 NotAuthorizedOrNotFound: "
    assert tables(shown["list"]) == [Table("2 sessions, 1 idle", HEAD, [idle, warming])]
    assert tables(shown["collect"]) == [Table("1 session, 1 idle", HEAD, [idle])]
    assert tables(shown["outcomes"]) == [
        Table("analytics: 2 sessions, 1 idle", HEAD, [idle, warming]),
        Table("empty: 0 sessions, 0 idle", HEAD, []),
    ]
    (failed,) = tables(shown["failure"])
    assert (failed.caption, failed.head) == ("1 failure", ["Workspace", "Error", "What happened"])
    assert [row[:2] for row in failed.rows] == [["no-such-workspace", "NotFoundError"]]
    assert failed.rows[0][2].startswith(failure)

    assert left == "0"
    assert {name: cell.stderr for name, cell in shown.items()} == dict.fromkeys(CELLS, "")
    assert capfd.readouterr() == ("", "")
    everything = "".join(cell.everything for cell in shown.values())
    (key,) = [path.read_text() for path in tmp_path.glob("*.pem")]  # noqa: ASYNC240  # nothing else runs
    assert [line for line in key.splitlines() if line in everything] == []
    assert "Signature version" not in everything
