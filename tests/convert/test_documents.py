"""A plan written to a file is read back equal; a file that is no plan is refused with the path of its fault."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions import (
    AidpError,
    ConnectionFailedError,
    CredentialsError,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    WorkspaceOutcome,
)
from aidp_sessions.culling.plan import CullCandidate, CullOutcome, CullPlan, CullResult, KeptKernel, make_plan
from aidp_sessions.culling.policy import CullPolicy, KeepReason

from ..culling.test_plan import (
    HOUR,
    NO_CAPS,
    SESSION,
    TAKEN,
    T,
    listed,
    outcomes,
    plan_of,
    policies,
    with_kernel,
)
from ..helpers.html_reader import Document
from ..helpers.strategies import brief, moments

if TYPE_CHECKING:
    from collections.abc import Iterator

texts: Final = st.text(max_size=8)
Json = dict[str, Any]


@st.composite
def errors(draw: st.DrawFn) -> AidpError:
    """Errors as the client raises them, with any evidence."""
    kinds: list[type[AidpError]] = [
        *(AidpError, CredentialsError, ConnectionFailedError, NotFoundError, RequestTimeoutError, ResponseDecodeError)
    ]
    error = draw(st.sampled_from(kinds))(draw(texts))
    error.operation = draw(st.none() | texts)
    error.workspace_key = draw(st.none() | texts)
    error.workspace_name = draw(st.none() | texts)
    error.status = draw(st.none() | st.integers())
    error.code = draw(st.none() | texts)
    error.headers = draw(st.dictionaries(texts, texts, max_size=2))
    error.body_excerpt = draw(texts)
    error.opc_request_id = draw(st.none() | texts)
    error.request_ids = tuple(draw(st.lists(texts, max_size=2)))
    error.attempt_seconds = tuple(draw(st.lists(st.floats(0, 1e9), max_size=2)))
    error.retry_after = draw(st.none() | st.floats(0, allow_nan=False))
    error.delivered = draw(st.integers(0))
    if isinstance(error, RequestTimeoutError):
        error.limit = draw(st.sampled_from((None, "connect", "read", "total")))
    if isinstance(error, ResponseDecodeError):
        error.path = draw(texts)
    return error


def names_in(plan: CullPlan) -> list[str]:
    """The names of the workspaces, which take no part in comparisons."""
    groups = [kernel.sessions for kernel in plan.candidates] + [kernel.sessions for kernel in plan.kept]
    return [session.workspace_name for sessions in groups for session in sessions]


def evidence(error: AidpError) -> tuple[object, ...]:
    class_flags = getattr(error, "permanent", None), getattr(error, "unsent", None)
    own = {name: value for name, value in vars(error).items() if name not in ("permanent", "unsent")}
    return type(error), str(error), error.args, own, class_flags


@brief
@given(outcomes, policies, st.lists(errors(), max_size=3), moments)
def test_a_plan_survives_its_file(
    found: list[WorkspaceOutcome], policy: CullPolicy, failures: list[AidpError], taken: datetime
) -> None:
    """With all attributes of its failures; written again, it is the same file."""
    plan = attrs.evolve(plan_of(*found, policy=policy), failures=tuple(failures), taken=taken)

    text = plan.to_json()
    back = CullPlan.from_json(text)

    assert back == plan
    assert hash(back) == hash(plan)
    assert back.to_json() == text
    assert list(map(evidence, back.failures)) == list(map(evidence, failures))
    assert names_in(back) == names_in(plan)
    assert [kernel.reason for kernel in back.kept] == [kernel.reason for kernel in plan.kept]
    assert all(isinstance(kernel.reason, KeepReason) for kernel in back.kept)
    assert pickle.loads(pickle.dumps(back)) == plan  # noqa: S301  # our own


@brief
@given(st.timedeltas(timedelta(0), timedelta(days=700_000)) | moments)
def test_since_survives_to_the_microsecond(since: datetime | timedelta) -> None:
    """A timedelta stays one."""
    policy = CullPolicy(since=since)
    back = CullPlan.from_json(plan_of(policy=policy).to_json()).policy

    assert (type(back.since), back) == (type(since), policy)


def test_a_time_that_occurs_twice_in_its_zone_survives() -> None:
    """When clocks are set back, Python calls such a time unequal to any time of another zone."""
    twice = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    plan = plan_of(policy=CullPolicy(since=twice))

    assert CullPlan.from_json(plan.to_json()) == plan
    assert plan.policy.since == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def rich_plan() -> CullPlan:
    decode, lost = ResponseDecodeError("expected a string", "$.items[0]"), RequestTimeoutError("silence", "read")
    decode.workspace_key, decode.status, decode.headers, decode.body_excerpt = "v", 200, {"etag": "1"}, "[{}]"
    lost.request_ids, lost.attempt_seconds = ("a", "b"), (1.0, 2.5)
    session = attrs.evolve(SESSION, extra={"unknown": [1]}, workspace_name="Demand")
    busy = with_kernel(attrs.evolve(SESSION, id="b"), id="l", execution_state="busy")
    policy = CullPolicy(since=2 * HOUR, protect=("/prod/*",))
    return plan_of(listed(session, busy), policy=policy, failures=(decode, lost))


def test_a_plan_is_readable_as_json() -> None:
    """The policy has every field, so that a later version with other defaults reads the same policy."""
    document = json.loads(rich_plan().to_json())

    assert {name: document[name] for name in ("format", "version", "refusal", "taken", "platform_id", "policy")} == {
        "format": "aidp_sessions.CullPlan",
        "version": 1,
        "refusal": None,
        "taken": "2026-11-25T12:00:00Z",
        "platform_id": "platform",
        "policy": {
            "since": "PT7200S",
            "connected": False,
            "types": ["notebook"],
            "protect": ["/prod/*"],
            "max_kernels": 100,
            "max_share": 0.5,
            "clusters": "veto",
        },
    }
    assert document["candidates"] == [
        {
            "workspace_key": "w",
            "kernel_id": "k",
            "last_activity": "2026-11-25T10:00:00Z",
            "sessions": [
                {
                    "id": "s",
                    "name": "x.ipynb",
                    "path": "/data/x.ipynb",
                    "type": "notebook",
                    "cluster_id": "c",
                    "workspace_key": "w",
                    "workspace_name": "Demand",
                    "kernel": {
                        "name": "notebook",
                        "id": "k",
                        "execution_state": "idle",
                        "last_activity": "2026-11-25T10:00:00Z",
                        "connections": 0,
                    },
                    "extra": {"unknown": [1]},
                }
            ],
        }
    ]
    assert [kernel["reason"] for kernel in document["kept"]] == ["busy"]
    assert [failure["error"] for failure in document["failures"]] == ["RequestTimeoutError", "ResponseDecodeError"]


def places(value: object, path: str = "$") -> Iterator[tuple[str, Json | list[Any], str | int]]:
    """Every value inside *value*: its path, and the object or array and the key that hold it."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = [*value.items()]
    elif isinstance(value, list):
        items = [*enumerate(value)]
    for key, inner in items:
        inner_path = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}"
        yield inner_path, value, key  # type: ignore[misc]  # only containers have items
        if not inner_path.endswith(".extra"):
            yield from places(inner, inner_path)


def damaged(damage: object) -> Iterator[tuple[str, str]]:
    """The rich plan with each of its values replaced in turn, and the path of that value."""
    original = json.loads(rich_plan().to_json())
    for number, (path, _, key) in enumerate(places(original)):
        document = copy.deepcopy(original)
        _, container, _ = [*places(document)][number]
        if container[key] != damage and path != "$.refusal":  # type: ignore[index]  # where it came from
            container[key] = damage  # type: ignore[index]
            yield path, json.dumps(document)


SESSION_TEXTS: Final = {"id", "name", "path", "type", "cluster_id", "execution_state", "workspace_key"}
FAILURE_TEXTS: Final = {"message", "body_excerpt", "workspace_name", "request_ids", "limit", "etag"}
OPTIONAL: Final = {"kernel", "connections", "last_activity", "kernel_id", "connected", "max_kernels", "max_share"}


@pytest.mark.parametrize(
    ("damage", "allowed"),
    [
        ({"unknown": 1}, {"extra"}),
        ([[]], set()),
        (-7, {"connections", "attempt_seconds", "delivered", "status"}),
        ("nonsense", SESSION_TEXTS | FAILURE_TEXTS | {"platform_id", "kernel_id", "reason", "types", "protect"}),
        (
            None,
            SESSION_TEXTS | OPTIONAL | {"limit", "status"},
        ),
        (True, {"connected", "permanent", "unsent"}),
    ],
)
def test_the_error_names_the_path_of_a_damaged_value(damage: object, allowed: set[str]) -> None:
    """Each value of a plan in turn is replaced; the plan is refused unless the new value is valid there."""
    accepted: set[str] = set()
    for path, text in damaged(damage):
        try:
            CullPlan.from_json(text)
        except ValueError as error:
            named = str(error).rpartition(" @ ")[2].replace("['", ".").replace("']", "")
            assert path.startswith(named) or named.startswith(path)
            assert named != "$" or path.count(".") == 1
        else:
            accepted.add(path.rpartition(".")[2].partition("[")[0])

    assert accepted == allowed


@pytest.mark.parametrize("name", ["format", "version", "taken", "platform_id", "policy", "candidates"])
def test_the_error_names_a_missing_field(name: str) -> None:
    document = json.loads(rich_plan().to_json())
    del document[name]

    with pytest.raises(ValueError, match=rf" @ \$\.{name}$"):
        CullPlan.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"^expected 1 @ \$\.version$"),
        ({"format": "another"}, r"^expected 'aidp_sessions.CullPlan' @ \$\.format$"),
        ({"candidate": []}, r"^unknown fields 'candidate' @ \$$"),
        ({"taken": "yesterday"}, r"^expected an ISO 8601 timestamp, not 'yesterday' @ \$\.taken$"),
        ({"policy": {"since": "PT1H"}}, r"^expected an ISO 8601 timestamp, not 'PT1H' @ \$\.policy\.since$"),
        ({"policy": {"since": "PT1S", "max_kernel": 1}}, r"^unknown fields 'max_kernel' @ \$\.policy$"),
        ({"policy": {"since": "PT1S", "types": "file"}}, r"^expected an array, not a string @ \$\.policy\.types$"),
        ({"policy": {"since": "PT1S", "types": [5]}}, r"^expected a string, not a number @ \$\.policy\.types\[0\]$"),
        ({"policy": {"since": "PT1S", "max_share": 2}}, r"^max_share=2 must be between 0 and 1 @ \$\.policy$"),
        ({"policy": {"since": "PT1S", "veto": "all"}}, r"^must be null @ \$\.policy\.veto$"),
        ({"failures": [{"error": "Nonsense", "message": ""}]}, r"^unknown error class 'Nonsense' @ \$\.failures\[0\]$"),
        ({"failures": [{"error": "AidpError", "message": "", "headers": []}]}, r"^expected an object @ .*\.headers$"),
    ],
)
def test_a_document_with_unknown_or_wrong_fields_is_no_plan(change: Json, message: str) -> None:
    """A misspelled field of a policy is never replaced by a default."""
    with pytest.raises(ValueError, match=message):
        CullPlan.from_json(json.dumps(json.loads(rich_plan().to_json()) | change))


@pytest.mark.parametrize("text", ["", "nul", "[]", '"a"', "5", "{", b"\xff\xfe\xfa", "[" * 200_000, "{}"])
def test_a_text_that_is_no_plan_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a JSON document: |^expected .* @ \$"):
        CullPlan.from_json(text)


def test_an_error_class_of_another_library_is_written_as_its_nearest_base() -> None:
    """A signer may raise one; the plan can be read without that library."""

    class VaultError(CredentialsError):
        pass

    back = CullPlan.from_json(plan_of(failures=(VaultError("sealed"),)).to_json())

    assert [(type(error), str(error)) for error in back.failures] == [(CredentialsError, "sealed")]


def test_a_reason_that_this_version_does_not_know_is_kept() -> None:
    """The enum is open; known reasons become its members."""
    document = json.loads(rich_plan().to_json())
    document["kept"][0]["reason"] = "quarantined"

    assert CullPlan.from_json(json.dumps(document)).kept[0].reason == "quarantined"


def test_an_outcome_accepts_the_value_of_a_result() -> None:
    """Any other value and a time without a zone are refused."""
    candidate = rich_plan().candidates[0]

    assert CullOutcome(candidate=candidate, result="gone", at=TAKEN).result is CullResult.GONE
    with pytest.raises(ValueError, match="'lost' is not a valid CullResult"):
        CullOutcome(candidate=candidate, result="lost", at=TAKEN)
    with pytest.raises(ValueError, match=r"^at=.* has no time zone"):
        CullOutcome(candidate=candidate, result=CullResult.GONE, at=TAKEN.replace(tzinfo=None))


def test_times_have_a_zone() -> None:
    """A naive time is refused."""
    naive = T.replace(tzinfo=None)

    with pytest.raises(ValueError, match=r"^taken=.* has no time zone"):
        CullPlan(taken=naive, platform_id="p", policy=NO_CAPS, candidates=())
    with pytest.raises(ValueError, match=r"^last_activity=.* has no time zone"):
        CullCandidate(workspace_key="w", kernel_id="k", sessions=(SESSION,), last_activity=naive)
    with pytest.raises(ValueError, match=r"^last_activity=.* has no time zone"):
        KeptKernel(workspace_key="w", kernel_id="k", sessions=(), last_activity=naive, reason="busy")
    with pytest.raises(ValueError, match=r"^taken=.* has no time zone"):
        make_plan([], NO_CAPS, platform_id="p", taken=naive)


def test_a_candidate_has_sessions() -> None:
    """Without sessions there is nothing to delete."""
    with pytest.raises(ValueError, match="sessions"):
        CullCandidate(workspace_key="w", kernel_id="k", sessions=(), last_activity=T)


def test_a_notebook_shows_candidates_reasons_failures_and_the_refusal() -> None:
    """Names are text and never become markup."""
    hostile = attrs.evolve(SESSION, path="<script>alert(1)</script>")
    plan = attrs.evolve(rich_plan(), policy=attrs.evolve(NO_CAPS, max_kernels=0))
    candidate = attrs.evolve(plan.candidates[0], sessions=(hostile,))
    kept = attrs.evolve(plan.kept[0], reason="<b>")

    page = Document(attrs.evolve(plan, candidates=[candidate], kept=(kept,))._repr_html_())

    assert page.texts["p"] == ["candidates: 1; kept: <b> 1", "candidates: 1, more than max_kernels=0"]
    assert [table.rows[0][0] for table in page.tables] == ["<script>alert(1)</script>", ""]
    assert not {"script", "b"} & {name for name, _ in page.elements}
