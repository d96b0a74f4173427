"""The command ``cull``: what it shows, what it shuts down, what it writes down, and its exit statuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from aidp_sessions import SessionSummary
from aidp_sessions.cli.cull_run import WaitingList
from aidp_sessions.culling.plan import CullCandidate, CullPlan
from aidp_sessions.culling.policy import CullPolicy
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import LONG_AGO, forget_settings, invoke, lines, point_to, start, wire
from ..helpers.terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

NO_CAPS = ("--max-share", "100%")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def platform(service: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalService:
    """A service with two idle kernels and two that are in use."""
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("one", [session("a"), session("b", execution_state="busy")])
    service.add_workspace("two", [session("c"), session("d", last_activity=now())])
    return service


def now() -> str:
    return datetime.now(UTC).isoformat()


def session(name: str, *, kind: str = "notebook", **kernel: object) -> dict[str, object]:
    return {**wire(name, **{"id": f"kernel-{name}", **kernel}), "type": kind}


def deleted(service: LocalService) -> set[str | None]:
    return {session.id for session in service.deleted}


def writes(service: LocalService) -> int:
    return sum(request.method != "GET" for request in service.requests)


async def test_without_yes_it_shows_each_decision_with_its_reason_and_writes_nothing(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "8h")

    decisions = {str(line["kernelId"]): (line["decision"], line.get("reason")) for line in lines(result.stdout)}
    assert (result.exit_code, result.stderr) == (0, "")
    assert decisions == {
        "kernel-a": ("cull", None),
        "kernel-b": ("keep", "busy"),
        "kernel-c": ("cull", None),
        "kernel-d": ("keep", "recent"),
    }
    assert writes(platform) == 0


async def test_a_table_shows_the_candidates_and_totals_per_workspace_and_cluster(platform: LocalService) -> None:
    platform.set_sessions("one", [{**session(name), "cluster_id": f"cluster-{name}"} for name in "aef"])

    result = await invoke("cull", "--since", "8h", "--output", "table", *NO_CAPS)

    text = result.stdout
    assert result.exit_code == 0
    assert re.search(r"^one +Workspace/a.ipynb +python3 +idle ", text, re.MULTILINE)
    assert re.search(r"^Workspace +Cluster +Shut down +Kept +recent$", text, re.MULTILINE)
    assert re.search(r"^one +cluster-a +1 +- +-$", text, re.MULTILINE)
    assert re.search(r"^two +1 +1 +1$", text, re.MULTILINE)
    assert re.search(r"^All workspaces +4 +1 +1$", text, re.MULTILINE)
    assert text.splitlines()[-1] == "4 of 5 kernels would be shut down; kept: 1 recent"


async def test_yes_shuts_the_candidates_down_and_shows_what_became_of_them(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "8h", "--yes")

    outcomes = {line["kernelId"]: line["result"] for line in lines(result.stdout) if "result" in line}
    assert (result.exit_code, result.stderr) == (0, "")
    assert outcomes == {"kernel-a": "deleted", "kernel-c": "deleted"}
    assert deleted(platform) == {"a", "c"}


async def test_a_table_of_outcomes_ends_with_their_numbers(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "8h", "--yes", "--output", "table", "--workspace", "one")

    assert re.search(r"^one +Workspace/a.ipynb +deleted +kernel-a$", result.stdout, re.MULTILINE)
    assert result.stdout.splitlines()[-1] == "1 deleted"
    assert deleted(platform) == {"a"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"plain", "guarded"}),
        (("--protect", "*/guard*"), {"plain"}),
        (("--protect", "analytics"), set()),
        (("--protect", "*/guard*", "--protect", "*/plain*"), set()),
        (("--type", "file"), {"script"}),
        (("--type", "file", "--type", "notebook"), {"plain", "guarded", "script"}),
        (("--connected",), {"watched"}),
        (("--not-connected",), {"plain", "guarded"}),
        (("--path", "Workspace/plain.ipynb"), {"plain"}),
        (("--cluster-id", "streams"), {"guarded"}),
        (("--agent-flow-key", "flow"), set()),
        (("--workspace", "empty"), set()),
        (("--ignore-clusters",), {"plain", "guarded", "streaming"}),
    ],
)
async def test_options_select_the_candidates(
    service: LocalService,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    expected: set[str],
) -> None:
    point_to(service, monkeypatch, tmp_path)
    service.add_workspace("empty")
    sessions = [
        session("plain"),
        {**session("guarded"), "cluster_id": "streams"},
        {**session("streaming"), "cluster_id": "streams"},
        session("script", kind="file"),
        session("watched", connections=1),
    ]
    service.add_workspace("analytics", sessions)
    active = {"type": "NOTEBOOK", "path": "Workspace/streaming.ipynb", "state": "ACTIVE"}
    service.set_clusters(
        "analytics", [{"key": "streams", "displayName": "Streams", "type": "USER", "attachedSessions": [active]}]
    )

    result = await invoke("cull", "--since", "8h", *NO_CAPS, *options)

    found = {
        str(line["kernelId"]).removeprefix("kernel-") for line in lines(result.stdout) if line["decision"] == "cull"
    }
    assert (result.exit_code, result.stderr) == (0, "")
    assert found == expected


async def test_a_kernel_is_kept_if_only_one_of_its_sessions_is_selected(platform: LocalService) -> None:
    platform.set_sessions("one", [session("a"), {**session("b"), "kernel": session("a")["kernel"]}])

    result = await invoke("cull", "--since", "8h", "--path", "Workspace/a.ipynb", "--workspace", "one", *NO_CAPS)

    assert [(line["decision"], line["reason"]) for line in lines(result.stdout)] == [("keep", "vetoed")]


@pytest.mark.parametrize(
    ("cap", "reason"),
    [(("--max", "1"), "more than --max 1"), (("--max-share", "30%"), "more than --max-share 30%")],
)
async def test_a_plan_beyond_a_cap_is_refused_with_status_3(
    platform: LocalService, cap: tuple[str, str], reason: str
) -> None:
    result = await invoke("cull", "--since", "8h", "--yes", *cap)

    assert result.exit_code == 3
    assert re.fullmatch(f"refused: candidates: 2.*{re.escape(reason)}\n", result.stderr)
    assert writes(platform) == 0


async def test_a_workspace_that_cannot_be_read_makes_the_status_1_and_spoils_no_other(platform: LocalService) -> None:
    platform.fail("one", Fault(status=403), operation="list_sessions")

    result = await invoke("cull", "--since", "8h", "--yes", *NO_CAPS)

    assert result.exit_code == 1
    assert result.stderr.startswith("failed: ")
    assert result.stderr.count("\n") == 1
    assert deleted(platform) == {"c"}


async def test_clusters_that_cannot_be_read_make_the_status_1_and_keep_the_kernel(platform: LocalService) -> None:
    platform.fail("one", Fault(status=403), operation="list_clusters")

    result = await invoke("cull", "--since", "8h", "--yes", "--output", "table")

    assert result.exit_code == 1
    assert (
        "1 of 4 kernels would be shut down; kept: 1 busy, 1 cluster unreadable, 1 recent; 1 failure\n" in result.stdout
    )
    assert deleted(platform) == {"c"}


async def test_a_deletion_that_fails_makes_the_status_1_and_spoils_no_other(platform: LocalService) -> None:
    platform.fail("one", Fault(status=403), operation="delete_session")

    result = await invoke("cull", "--since", "8h", "--yes")

    outcomes = {line["kernelId"]: line["result"] for line in lines(result.stdout) if "result" in line}
    assert result.exit_code == 1
    assert result.stderr.startswith("failed: ")
    assert outcomes == {"kernel-a": "failed", "kernel-c": "deleted"}


async def test_nothing_to_do_is_status_0(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "1000w", "--yes", "--output", "table")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "0 of 4 kernels would be shut down" in result.stdout
    assert result.stdout.splitlines()[-1] == "nothing to shut down"
    assert writes(platform) == 0


async def test_a_saved_plan_is_applied_without_what_was_cut_out_of_it(platform: LocalService, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    saved = await invoke("cull", "--since", "8h", "--save-plan", str(plan))
    document = json.loads(plan.read_text())
    document["candidates"] = [each for each in document["candidates"] if each["workspace_key"] == "two"]
    plan.write_text(json.dumps(document))
    platform.reset_counts()

    shown = await invoke("cull", "--plan", str(plan))
    requests = platform.request_count
    applied = await invoke("cull", "--plan", str(plan), "--yes")

    assert (saved.exit_code, shown.exit_code, applied.exit_code) == (0, 0, 0)
    assert requests == 0
    assert deleted(platform) == {"c"}


async def test_a_kernel_that_was_used_after_the_plan_was_saved_is_kept(platform: LocalService, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    await invoke("cull", "--since", "8h", "--save-plan", str(plan))
    platform.set_session("one", session("a", last_activity=now()))

    result = await invoke("cull", "--plan", str(plan), "--yes")

    outcomes = {line["kernelId"]: line["result"] for line in lines(result.stdout) if "result" in line}
    assert result.exit_code == 0
    assert outcomes == {"kernel-a": "changed", "kernel-c": "deleted"}
    assert deleted(platform) == {"c"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"platform_id": "ocid1.aidataplatform.oc1.iad.other"}, "belongs to the platform"),
        ({"taken": "2026-01-06T00:00:00Z"}, "the plan was made at"),
        ({"taken": "soon"}, "is not a plan: .*taken"),
        ({"version": 2}, r"is not a plan: .*\$.version"),
    ],
)
async def test_a_plan_that_does_not_fit_is_wrong_usage(
    platform: LocalService, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    plan = tmp_path / "plan.json"
    await invoke("cull", "--since", "8h", "--save-plan", str(plan))
    plan.write_text(json.dumps({**json.loads(plan.read_text()), **changes}))

    result = await invoke("cull", "--plan", str(plan), "--yes")

    assert result.exit_code == 2
    assert re.search(reason, result.stderr)
    assert writes(platform) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--since or --plan is needed"),
        (("--since", "8h", "--audit", "{folder}/audit"), "--audit needs --yes"),
        (("--since", "8h", "--every", "10m"), "--every needs --yes"),
        (("--since", "8h", "--yes", "--grace", "10m"), "--grace needs --every"),
        (
            ("--since", "8h", "--yes", "--every", "1m", "--save-plan", "{folder}/new"),
            "cannot be combined with --save-plan",
        ),
        (("--plan", "{folder}/plan", "--since", "8h"), "--plan cannot be combined with --since"),
        (("--plan", "{folder}/plan", "--not-connected"), "--plan cannot be combined with --connected"),
        (("--plan", "{folder}/plan", "--max", "100"), "--plan cannot be combined with --max"),
        (("--plan", "{folder}/plan", "--workspace", "one"), "--plan cannot be combined with --workspace"),
        (("--plan", "{folder}/plan", "--yes", "--every", "1m"), "--plan cannot be combined with --every"),
        (("--plan", "{folder}/plan"), "is not a plan: not a JSON document"),
        (("--plan", "{folder}/missing"), "No such file or directory"),
        (("--since", "8h", "--max", "-1"), "-1 is not in the range x>=0"),
        (("--since", "8h", "--max-share", "101%"), "'101%' is not a percentage such as 30%"),
        (("--since", "8h", "--max-share", "0.3"), "'0.3' is not a percentage such as 30%"),
        (("--since", "8h", "--save-plan", "{folder}/none/plan"), "cannot be written: No such file or directory"),
        (("--since", "8h", "--workspace", ".."), "'..'"),
    ],
)
async def test_wrong_usage_is_status_2_and_sends_nothing(
    platform: LocalService, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "plan").touch()

    result = await invoke("cull", *(argument.format(folder=tmp_path) for argument in arguments))

    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert platform.request_count == 0


async def test_the_audit_names_decisions_and_outcomes_the_signer_and_the_requests(
    platform: LocalService, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    audit.write_text("{}\n")

    await invoke("cull", "--since", "8h", "--workspace", "one", "--yes", "--audit", str(audit))

    first, cull, keep, outcome = lines(audit.read_text())
    assert first == {}
    assert (cull["kernelId"], cull["decision"], cull["lastActivity"]) == ("kernel-a", "cull", LONG_AGO)
    assert (keep["kernelId"], keep["decision"], keep["reason"]) == ("kernel-b", "keep", "busy")
    assert (outcome["kernelId"], outcome["result"], outcome["error"]) == ("kernel-a", "deleted", None)
    assert outcome["requestIds"]
    assert cull["sessions"] == [{"workspaceKey": "one", "workspaceName": "one", **session("a")}]
    signer = {
        "type": "ApiKeySigner",
        **{name: platform.oci_config()[name] for name in ("tenancy", "user", "fingerprint")},
    }
    assert [line["signer"] for line in (cull, keep, outcome)] == [signer] * 3


async def test_the_audit_is_on_disk_before_the_next_deletion(
    platform: LocalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    audit, before_sync = tmp_path / "audit.jsonl", []
    platform.set_sessions("one", [session("a"), session("e"), session("f")])
    sync = os.fsync

    def recording(file: int) -> None:
        before_sync.append((len(platform.deleted), len(audit.read_text().splitlines())))
        sync(file)

    monkeypatch.setattr(os, "fsync", recording)
    await invoke("cull", "--since", "8h", "--workspace", "one", "--yes", "--audit", str(audit), *NO_CAPS)

    assert before_sync == [(0, 3), (1, 4), (2, 5), (3, 6)]


async def test_an_audit_that_cannot_be_written_ends_the_run_before_the_first_deletion(platform: LocalService) -> None:
    result = await invoke("cull", "--since", "8h", "--yes", "--audit", "/dev/full")

    assert (result.exit_code, result.stderr) == (1, "failed: /dev/full: No space left on device\n")
    assert writes(platform) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize(
    ("answer", "status", "shut_down"),
    [("y\n", 0, {"a", "c"}), ("n\n", 0, set()), ("\n", 0, set()), ("\x04", 130, set()), (signal.SIGINT, 130, set())],
)
async def test_on_a_terminal_yes_asks_once_with_the_numbers(
    platform: LocalService, answer: str | signal.Signals, status: int, shut_down: set[str]
) -> None:
    async with on_terminal("cull", "--since", "8h", "--yes") as terminal:
        await terminal.until(r"Shut down 2 kernels in 2 workspaces\? \[y/N\]: ")
        before = writes(platform)
        if isinstance(answer, str):
            terminal.type(answer)
        ending = asyncio.create_task(terminal.end())
        while not ending.done():
            if not isinstance(answer, str):  # again, for one that comes just before the read is not noticed in it
                terminal.process.send_signal(answer)
            await asyncio.wait([ending], timeout=1.0)
        assert ending.result() == status

    assert before == 0
    assert deleted(platform) == shut_down
    assert terminal.text.count("Shut down 2 kernels") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
async def test_a_terminal_without_input_shows_progress_and_asks_nothing(platform: LocalService) -> None:
    async with on_terminal("cull", "--since", "8h", "--yes", "--no-input") as terminal:
        assert await terminal.end() == 0

    assert "Shut down 2 kernels in" not in terminal.text
    assert re.search(r"/2 kernels", terminal.text)
    assert terminal.text.splitlines()[-1] == "2 deleted"
    assert deleted(platform) == {"a", "c"}


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
async def test_a_saved_plan_is_applied_on_a_terminal_without_a_question(platform: LocalService, tmp_path: Path) -> None:
    await invoke("cull", "--since", "8h", "--save-plan", str(tmp_path / "plan"))

    async with on_terminal("cull", "--plan", str(tmp_path / "plan"), "--yes") as terminal:
        assert await terminal.end() == 0

    assert deleted(platform) == {"a", "c"}


async def test_the_demo_has_kernels_to_shut_down_and_shuts_them_down() -> None:
    result = await invoke("cull", "--since", "8h", "--demo", "--yes", "--output", "table")

    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^\d+ of \d+ kernels would be shut down; kept: ", result.stdout, re.MULTILINE)
    assert re.fullmatch(r"\d+ deleted(, \d+ changed)?", result.stdout.splitlines()[-1])


TAKEN = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def plan(**last_activity: datetime) -> CullPlan:
    candidates = [
        CullCandidate(workspace_key="w", kernel_id=name, sessions=(SessionSummary(id=name),), last_activity=moment)
        for name, moment in last_activity.items()
    ]
    return CullPlan(taken=TAKEN, platform_id="p", policy=CullPolicy(since=MINUTE), candidates=candidates)


def split(plan: CullPlan) -> tuple[list[str], list[tuple[str | None, str]]]:
    return [each.kernel_id for each in plan.candidates], [(each.kernel_id, each.reason) for each in plan.kept]


def test_a_candidate_is_due_if_it_was_one_in_the_plan_before_with_the_same_last_activity() -> None:
    waiting = WaitingList(timedelta(0))
    later = TAKEN + MINUTE

    first = waiting.hold_back(plan(same=TAKEN, used=TAKEN, away=TAKEN), 0.0)
    second = waiting.hold_back(plan(same=TAKEN, used=later, new=TAKEN), 0.0)
    third = waiting.hold_back(plan(used=later, away=TAKEN), 0.0)

    assert split(first) == ([], [("same", "waiting"), ("used", "waiting"), ("away", "waiting")])
    assert split(second) == (["same"], [("used", "waiting"), ("new", "waiting")])
    assert split(third) == (["used"], [("away", "waiting")])


def test_a_candidate_waits_for_the_grace() -> None:
    waiting = WaitingList(2 * MINUTE)

    due = [split(waiting.hold_back(plan(k=TAKEN), 60.0 * minutes))[0] for minutes in range(4)]

    assert due == [[], [], ["k"], ["k"]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
async def test_every_shuts_down_in_the_second_round_and_ends_at_sigterm(platform: LocalService, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    process = await start("cull", "--since", "8h", "--yes", "--every", "1s", "--audit", str(audit))
    async with asyncio.timeout(60):
        while len(platform.deleted) < 2:
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = await process.communicate()

    records = lines(audit.read_text())
    decisions = [(line["kernelId"], line["reason"]) for line in records[:4] if line.get("decision") == "keep"]
    assert process.returncode == 0
    assert decisions == [
        *(("kernel-b", "busy"), ("kernel-d", "recent")),
        *(("kernel-a", "waiting"), ("kernel-c", "waiting")),
    ]
    assert {line["result"] for line in lines(stdout.decode())} == {"deleted"}
    assert re.match(
        r"\S+Z: 0 kernels to shut down, 2 waiting\n\S+Z: 2 kernels to shut down, 0 waiting\n", stderr.decode()
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
async def test_a_round_that_fails_or_is_refused_shuts_nothing_down_and_does_not_end_the_service(
    platform: LocalService,
) -> None:
    platform.fail(None, Fault(status=403, headers={"Date": ""}), operation="list_workspaces")
    process = await start("cull", "--since", "8h", "--yes", "--every", "1s", "--max", "1")
    assert process.stderr is not None
    failed, refused, again = [(await process.stderr.readline()).decode() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    await process.communicate()

    assert failed.startswith("failed: ")
    assert refused == again == "refused: candidates: 2, more than --max 1\n"
    assert process.returncode == 3
    assert writes(platform) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
async def test_sigterm_ends_the_run_after_the_deletion_under_way(platform: LocalService) -> None:
    platform.set_sessions("one", [session("a"), session("e"), session("f")])
    stopping = asyncio.Event()
    platform.on_request = lambda request: stopping.set() if request.method == "DELETE" else None
    platform.fail("one", Fault(delay=1.0), operation="delete_session")
    process = await start("cull", "--since", "8h", "--workspace", "one", "--yes", *NO_CAPS)
    await stopping.wait()
    process.send_signal(signal.SIGTERM)
    stdout, _ = await process.communicate()

    assert process.returncode == 130
    assert [line["result"] for line in lines(stdout.decode()) if "result" in line] == ["deleted"]
    assert deleted(platform) == {"a"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
async def test_ctrl_c_starts_no_further_deletion(platform: LocalService) -> None:
    platform.set_sessions("one", [session("a"), session("e"), session("f")])
    stopping = asyncio.Event()
    platform.on_request = lambda request: stopping.set() if request.method == "DELETE" else None
    platform.fail("one", Fault(delay=60.0), operation="delete_session")
    process = await start("cull", "--since", "8h", "--workspace", "one", "--yes", *NO_CAPS)
    await stopping.wait()
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()

    assert (process.returncode, stderr) == (130, b"")
    assert writes(platform) == 1


async def test_control_characters_of_a_saved_plan_do_not_reach_the_terminal(
    platform: LocalService, tmp_path: Path
) -> None:
    saved = tmp_path / "plan.json"
    await invoke("cull", "--since", "8h", "--save-plan", str(saved))
    document = json.loads(saved.read_text())
    document["kept"][0]["reason"] = "\x1b[2J"
    saved.write_text(json.dumps(document))

    result = await invoke("cull", "--plan", str(saved), "--output", "table")

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
