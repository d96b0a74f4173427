"""For generated values, our client sends what the official one sends, and decodes what its models hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

import pytest
from aidp_python_client.aidataplatform_dp.models import CreateSessionDetails, Kernel, PatchSessionDetails
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aidp_sessions import ClusterSummary, ExecutionState, KernelSummary, Session

from ..helpers.official import Official, running_official

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aidp_sessions import SessionsClient
    from aidp_sessions.testing import RecordedRequest

Wire = dict[str, Any]

UNDOCUMENTED: Final = "UNKNOWN_ENUM_VALUE"
"""The official models hold this in place of a value that is not documented; ours keep the value."""
STATES: Final = frozenset({"CREATING", "ACTIVE", "FAILED"})
TYPES: Final = frozenset({"notebook", "file", "agentflow"})
COMPARED_HEADERS: Final = ("if-match", "opc-retry-token", "opc-request-id")
SESSIONS_OF: Final = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])

words: Final = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
given_texts: Final = words.filter(str.strip)
keys: Final = st.sampled_from(("w", "a/b ü", "100%?#", "🚀+~"))
ids: Final = st.sampled_from(("s", "ü/ñ", "a b+c", "50%:,;=@"))
etags: Final = st.from_regex(r'(W/)?"[!#-~]{0,12}"', fullmatch=True)
tokens: Final = st.from_regex(r"[!-~]{1,64}", fullmatch=True)
request_ids: Final = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
times: Final = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  # in UTC
timestamps: Final = times.map(lambda moment: f"{moment.isoformat()}Z")


def scalars(documented: frozenset[str]) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(sorted(documented)) | words


kernels: Final = st.fixed_dictionaries(
    {"name": words},
    optional={
        "id": st.none() | words,
        "last_activity": timestamps,
        "connections": st.none() | st.integers(0, 2**31),
        "execution_state": scalars(frozenset(ExecutionState)),
    },
)
sessions: Final = st.fixed_dictionaries(
    {"id": ids},
    optional={
        **dict.fromkeys(("name", "path", "cluster_id", "agentFlowKey"), st.none() | words),
        "type": scalars(TYPES),
        "lifecycleState": scalars(STATES),
        "kernel": st.none() | kernels,
        "futureField": words,
    },
)
attached: Final = st.fixed_dictionaries(
    {},
    optional={
        "type": scalars(frozenset({"NOTEBOOK", "FILE"})),
        "path": st.none() | words,
        "state": scalars(frozenset({"ACTIVE", "IDLE"})),
        "lastCommandRun": st.none() | timestamps | words,
    },
)
resources: Final = st.fixed_dictionaries(
    {}, optional={"activeCores": st.integers(0, 99), "activeExecutorCount": st.integers(0, 9)}
)
clusters: Final = st.fixed_dictionaries(
    {"key": given_texts},
    optional={
        **dict.fromkeys(("displayName", "state", "stoppedBy", "stoppedByName"), st.none() | words),
        "type": scalars(frozenset({"USER", "AI_COMPUTE"})),
        **dict.fromkeys(("timeCreated", "timeUpdated"), timestamps),
        "attachedSessions": st.none() | st.lists(attached, max_size=2),
        "attachedNotebooks": st.none() | st.lists(words, max_size=2),
        "attachedAgentCount": st.none() | st.integers(0, 9),
        "activeClusterResources": st.none() | resources,
        "futureField": words,
    },
)


@pytest.fixture(scope="module")
def official() -> Iterator[Official]:
    with running_official() as official:
        for key in ("w", "a/b ü", "100%?#", "🚀+~"):
            official.service.add_workspace(key)
        yield official


@pytest.fixture(scope="module")
def client(official: Official) -> Iterator[SessionsClient]:
    client = official.service.client()
    yield client
    official.run(client.aclose())


def sent(request: RecordedRequest) -> tuple[object, ...]:
    """Method, path, query, body and headers of a request, without differences in escapes and order."""
    path, _, query = request.target.partition("?")
    headers = {name: request.headers.get(name) for name in COMPARED_HEADERS}
    body = json.loads(request.body) if request.body else None
    return request.method, [unquote(part) for part in path.split("/")], sorted(parse_qsl(query)), body, headers


def last(official: Official) -> tuple[object, ...]:
    return sent(official.service.requests[-1])


def documented(value: str | None, values: frozenset[str]) -> str | None:
    return value if value is None or value in values else UNDOCUMENTED


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def assert_equal_sessions(theirs: Any, mine: Session) -> None:
    """Every field of both; undocumented values of ours are *UNDOCUMENTED* in theirs."""
    kernel = mine.kernel
    assert (theirs.kernel is None) == (kernel is None)
    if kernel is not None:
        assert kernel == KernelSummary(
            id=theirs.kernel.id,
            name=theirs.kernel.name,
            connections=theirs.kernel.connections,
            last_activity=moment(theirs.kernel.last_activity),
            execution_state=kernel.execution_state,
        )
        assert theirs.kernel.execution_state == documented(kernel.execution_state, frozenset(ExecutionState))
    assert theirs.type == documented(mine.type, TYPES)
    assert theirs.lifecycle_state == documented(mine.lifecycle_state, STATES)
    for name in ("id", "name", "path", "cluster_id", "agent_flow_key"):
        assert getattr(theirs, name) == getattr(mine, name), name


def put(official: Official, key: str, session: Wire) -> None:
    official.service.set_sessions(key, [session])


@SESSIONS_OF
@given(key=keys, session=sessions, request_id=request_ids)
def test_both_get_the_same_session(
    official: Official, client: SessionsClient, key: str, session: Wire, request_id: str
) -> None:
    put(official, key, session)

    theirs = official.on_session("get_session", key, session["id"], opc_request_id=request_id)
    request = last(official)
    mine: Session = official.run(client.get_session(key, session["id"], opc_request_id=request_id))

    assert last(official) == request
    assert_equal_sessions(theirs.data, mine)
    assert (mine.etag, mine.opc_request_id) == (theirs.headers["etag"], request_id)
    assert mine.extra == ({"futureField": session["futureField"]} if "futureField" in session else {})


@SESSIONS_OF
@given(
    key=keys,
    details=st.fixed_dictionaries(
        {"path": given_texts, "name": given_texts},
        optional=dict.fromkeys(("type", "cluster_id", "agent_flow_key", "kernel_name"), given_texts),
    ),
    token=tokens,
    new=st.booleans(),
)
def test_both_create_a_session_by_the_same_request(
    *, official: Official, client: SessionsClient, key: str, details: Wire, token: str, new: bool
) -> None:
    """An existing session of the path is returned; the answers are the same in both cases."""
    service = official.service
    existing = {"id": "old", "name": "old", "path": details["path"], "type": "something new"}
    service.set_sessions(key, [] if new else [existing])
    first, second = (f"{token[:50]}-{service.request_count + number}" for number in range(2))  # each is new
    kernel = details.get("kernel_name")
    values = {name: value for name, value in details.items() if name != "kernel_name"}

    theirs = official.on_session(
        "create_session",
        key,
        CreateSessionDetails(**values, kernel=Kernel(name=kernel) if kernel else None),
        opc_retry_token=first,
    )
    request = last(official)
    options = {"type": None, "kernel_name": None, **details}
    mine: Session = official.run(client.create_session(key, **options, opc_retry_token=second))

    assert last(official)[:4] == request[:4]
    assert [each.headers["opc-retry-token"] for each in list(service.requests)[-2:]] == [first, second]
    assert_equal_sessions(theirs.data, mine)
    assert mine.etag == theirs.headers["etag"]
    assert (mine.id == "old") is not new


@SESSIONS_OF
@given(
    key=keys,
    session=sessions,
    changes=st.fixed_dictionaries(
        {},
        optional={**dict.fromkeys(("name", "path", "cluster_id"), given_texts), "must_refresh_context": st.booleans()},
    ).filter(bool),
    if_match=st.booleans(),
)
def test_both_patch_a_session_by_the_same_request(
    *, official: Official, client: SessionsClient, key: str, session: Wire, changes: Wire, if_match: bool
) -> None:
    put(official, key, session)
    condition = {"if_match": official.on_session("get_session", key, session["id"]).headers["etag"]} if if_match else {}

    theirs = official.on_session("patch_session", key, session["id"], PatchSessionDetails(**changes), **condition)
    put(official, key, session)
    request = official.service.requests[-1]
    mine: Session = official.run(client.patch_session(key, session["id"], **changes, **condition))

    assert without_id(last(official)) == without_id(sent(request))
    if theirs.data.kernel is None or mine.kernel is None or theirs.data.kernel.id == mine.kernel.id:  # not a new kernel
        assert_equal_sessions(theirs.data, mine)


@SESSIONS_OF
@given(key=keys, session=sessions, if_match=st.none() | st.just("*") | etags)
def test_both_delete_a_session_by_the_same_request(
    official: Official, client: SessionsClient, key: str, session: Wire, if_match: str | None
) -> None:
    condition = {} if if_match is None else {"if_match": if_match}
    outcomes = []
    for delete in (
        lambda: official.on_session("delete_session", key, session["id"], **condition),
        lambda: official.run(client.delete_session(key, session["id"], **condition)),
    ):
        put(official, key, session)
        try:
            delete()
            outcomes.append(204)
        except Exception as error:  # noqa: BLE001  # each client has its own class
            outcomes.append(error.status)  # type: ignore[attr-defined]

    theirs, mine = list(official.service.requests)[-2:]
    assert without_id(sent(mine)) == without_id(sent(theirs))
    assert outcomes == [outcomes[0]] * 2
    assert set(outcomes) <= {204, 412}


def without_id(request: tuple[object, ...]) -> tuple[object, ...]:
    """*request* without its id, which each client makes up."""
    headers = dict(request[-1])  # type: ignore[call-overload]
    return (*request[:-1], {**headers, "opc-request-id": None})


@SESSIONS_OF
@given(
    key=keys,
    wire=st.lists(clusters, max_size=3, unique_by=lambda cluster: str(cluster["key"])),
    filters=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("display_name", "display_name_contains"), given_texts),
            "state": st.sampled_from(("ACTIVE", "STOPPED")),  # the official client refuses others
            "type": st.sampled_from(("USER", "AI_COMPUTE")),
        },
    ),
)
def test_both_list_clusters_by_the_same_request_and_decode_equal_values(
    *, official: Official, client: SessionsClient, key: str, wire: list[Wire], filters: Wire
) -> None:
    async def listed(**options: str) -> list[ClusterSummary]:
        return [cluster async for cluster in client.clusters(key, **options)]

    official.service.set_clusters(key, wire)
    official.list_clusters(key, **filters, limit=1000)
    request = last(official)
    official.run(listed(**filters))
    assert without_id(last(official)) == without_id(request)

    theirs = official.list_clusters(key, limit=1000).data
    mine = official.run(listed())
    assert [each.key for each in mine] == [each.key for each in theirs]
    for pair in zip(theirs, mine, strict=True):
        assert_equal_clusters(*pair)


def assert_equal_clusters(theirs: Any, mine: ClusterSummary) -> None:
    simple = ("key", "display_name", "state", "time_created", "time_updated", "stopped_by", "stopped_by_name")
    for name in (*simple, "attached_agent_count"):
        assert getattr(theirs, name) == getattr(mine, name), name
    assert theirs.type == documented(mine.type, frozenset({"USER", "AI_COMPUTE"}))
    assert tuple(theirs.attached_notebooks or ()) == mine.attached_notebooks
    assert [(each.path, each.last_command_run, each.type, each.state) for each in theirs.attached_sessions or ()] == [
        (
            each.path,
            each.last_command_run,
            documented(each.type, frozenset({"NOTEBOOK", "FILE"})),
            documented(each.state, frozenset({"ACTIVE", "IDLE"})),
        )
        for each in mine.attached_sessions
    ]
    assert (theirs.active_cluster_resources is None) == (mine.active_cluster_resources is None)
    if mine.active_cluster_resources is not None:
        held = {
            "activeCores": theirs.active_cluster_resources.active_cores,
            "activeExecutorCount": theirs.active_cluster_resources.active_executor_count,
        }
        assert {name: value for name, value in held.items() if value is not None} == mine.active_cluster_resources
