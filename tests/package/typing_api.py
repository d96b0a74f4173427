"""The public names as an application uses them, for type checkers only: never imported or run."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_type

from aidp_sessions import (
    Activity,
    AidpError,
    ApiKeySigner,
    AttachedSession,
    Clock,
    ClusterSummary,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
    CullCandidate,
    CullOutcome,
    CullPlan,
    CullPolicy,
    CullResult,
    DelegationTokenSigner,
    ExecutionState,
    FanOutError,
    InstancePrincipalSigner,
    InternalServerError,
    KeptKernel,
    KernelSummary,
    NotFoundError,
    OkeWorkloadIdentitySigner,
    RequestTimeoutError,
    ResourcePrincipalSigner,
    ResponseDecodeError,
    RetryPolicy,
    ServiceError,
    Session,
    SessionChange,
    SessionCollection,
    SessionsClient,
    SessionStream,
    SessionSummary,
    SessionTokenSigner,
    Signer,
    SigningRequest,
    Timeout,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
    WorkspaceOutcome,
    WorkspaceSummary,
    __version__,
    activity_of,
    from_oci_signer,
    idle_for,
    is_idle_since,
    to_record,
    to_wire,
)
from aidp_sessions.testing import (
    Fault,
    LocalMetadata,
    LocalProxymux,
    LocalService,
    LocalTokenService,
    ManualClock,
    RecordedRequest,
    make_session,
    make_workspace,
    populate_demo,
)

if TYPE_CHECKING:
    import aiohttp

TWO_HOURS = timedelta(hours=2)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

VERSION: str = __version__


class OwnSigner:
    """Any object with the right methods is a signer; no base class is needed."""

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        assert_type(request.extra, tuple[tuple[str, str], ...])
        return {"authorization": f"{request.method} {request.host} {request.target} {request.date}"}

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        return bool(rejected)


def signers() -> Sequence[Signer]:
    key = ApiKeySigner(tenancy="t", user="u", fingerprint="f", private_key=Path("key.pem"), pass_phrase=None)
    instance = InstancePrincipalSigner(region="us-ashburn-1")
    return [
        key,
        instance,
        SessionTokenSigner(token_file="token", private_key="key.pem"),
        ResourcePrincipalSigner(),
        OkeWorkloadIdentitySigner(),
        DelegationTokenSigner(instance, token="token"),
        from_oci_signer(object()),
        OwnSigner(),
    ]


def clients(signer: Signer, http_session: aiohttp.ClientSession) -> SessionsClient:
    """Everything that takes options has their names and types; a checker must refuse each ignored line."""
    client = SessionsClient(
        "ocid1",
        signer=signer,
        timeout=Timeout(connect=1, read=None, total=60.5),
        retry=RetryPolicy(attempts=3, statuses=frozenset({503})),
        http_session=http_session,
        ssl=ssl.create_default_context(),
        clock=Clock(random=lambda: 0.5),
    )
    assert_type(client, SessionsClient)
    assert_type(client.platform_id, str)
    assert_type(client.endpoint, str)
    assert_type(client.signer, Signer)
    assert_type(SessionsClient.from_config(profile="P", max_concurrency=64, retry=RetryPolicy.none()), SessionsClient)
    SessionsClient.from_config(max_concurency=64)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SessionsClient.from_config(timeout=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.with_options(signer=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.sessions(on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return assert_type(client.with_options(platform_id="ocid2", signer=OwnSigner()), SessionsClient)


async def operations(client: SessionsClient) -> None:
    async with client as entered:
        assert_type(entered, SessionsClient)
    with client:  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        pass
    sessions = assert_type(await client.list_sessions("w", path="p", opc_request_id="r"), SessionCollection)
    assert_type(list(sessions), list[SessionSummary])
    assert_type(len(sessions), int)
    assert_type(sessions[0], SessionSummary)
    assert_type(sessions[:2], tuple[SessionSummary, ...])
    assert_type(sessions.items, tuple[SessionSummary, ...])
    created = assert_type(await client.create_session("w", "p", cluster_id="c"), Session)
    assert_type(await client.get_session("w", created.id), Session)
    assert_type(await client.patch_session("w", created.id, name="n", if_match=created.etag), Session)
    assert_type(await client.delete_session("w", created.id, if_match=created.etag), None)
    async with client.open_session("w", "p", timeout=5, kernel_name="k") as opened:
        assert_type(opened, Session)
    client.open_session("w", "p", kernel="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    clusters = assert_type(client.clusters("w", state="ACTIVE"), AsyncIterator[ClusterSummary])
    assert_type([cluster.attached_sessions async for cluster in clusters], list[tuple[AttachedSession, ...]])
    workspaces = assert_type(client.workspaces(type="USER"), AsyncIterator[WorkspaceSummary])
    async for workspace in workspaces:
        assert_type(workspace, WorkspaceSummary)
        assert_type(await client.list_sessions(workspace), SessionCollection)
    assert_type(await client.clock_skew(), timedelta | None)
    assert_type(await client.aclose(), None)


async def culling(client: SessionsClient) -> None:
    policy = CullPolicy(since=TWO_HOURS, protect=("*/prod/*",), veto=lambda session: session.type == "file")
    plan = assert_type(await client.plan_cull(policy, ["w"]), CullPlan)
    assert_type(plan.candidates, tuple[CullCandidate, ...])
    assert_type(plan.kept, tuple[KeptKernel, ...])
    assert_type(plan.refusal, str | None)
    async for outcome in client.cull(CullPlan.from_json(plan.to_json()), max_age=TWO_HOURS):
        assert_type(outcome, CullOutcome)
        assert_type(outcome.result, CullResult)
        assert_type(outcome.error, AidpError | None)


async def keys() -> AsyncIterator[str]:
    yield "w"


async def streams(client: SessionsClient, workspace: WorkspaceSummary) -> None:
    for stream in (
        client.sessions(),
        client.sessions("w"),
        client.sessions(["w"], on_error="skip"),
        client.sessions(key for key in "ab"),
        client.sessions(keys(), max_concurrency=2),
        client.sessions(client.workspaces(display_name_contains="prod")),
        client.sessions([workspace, "w"]),
        client.sessions(workspace),
    ):
        assert_type(stream, SessionStream)
    narrowed = client.sessions().idle_since(TWO_HOURS, connected=False).idle_since(NEW_YEAR).busy()
    assert_type(narrowed, SessionStream)
    assert_type(narrowed.where(lambda session: session.type == "notebook"), SessionStream)
    async for session in narrowed:
        assert_type(session, SessionSummary)
    assert_type(await narrowed.collect(), list[SessionSummary])
    list(narrowed)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
    len(narrowed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await narrowed  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    assert_type(narrowed.by_workspace(), AsyncGenerator[WorkspaceOutcome])
    async for outcome in narrowed.by_workspace():
        assert_type(outcome.sessions, tuple[SessionSummary, ...])
        assert_type(outcome.error, AidpError | None)
    async for change in narrowed.watch(every=TWO_HOURS):
        assert_type(change, SessionChange)
        assert_type(change.kind, Literal["appeared", "changed", "vanished"])
        assert_type(change.previous, SessionSummary | None)


def values(session: SessionSummary, workspace: WorkspaceSummary) -> None:
    assert_type(session.workspace_key, str)
    assert_type(session.extra, Mapping[str, object])
    if session.kernel is not None:
        assert_type(session.kernel, KernelSummary)
        assert_type(session.kernel.execution_state, str | None)
        assert_type(session.kernel.last_activity, datetime | None)
        assert_type(session.kernel.execution_state == ExecutionState.IDLE, bool)
    assert_type(workspace.time_created, datetime)
    assert_type(activity_of(session), Activity)
    assert_type(idle_for(session, NEW_YEAR), timedelta | None)
    assert_type(is_idle_since(session, TWO_HOURS, connected=True), bool)
    assert_type(is_idle_since(session, NEW_YEAR), bool)
    assert_type(to_wire(session), dict[str, object])
    assert_type(list(map(to_record, [session])), list[dict[str, object]])
    assert_type(to_record(session, NEW_YEAR), dict[str, object])
    session.name = "new"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def errors(stream: SessionStream) -> None:
    try:
        await stream.collect()
    except FanOutError as failed:
        assert_type(failed.exceptions, tuple[AidpError, ...])
        assert_type(failed.sessions, tuple[SessionSummary, ...])
    except RequestTimeoutError as error:
        assert_type(error.attempt_seconds, tuple[float, ...])
    except ResponseDecodeError as error:
        assert_type(error.path, str)
    except (UnauthorizedError, NotFoundError, TooManyRequestsError, InternalServerError, ServiceError) as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.status, int | None)
        assert_type(error.headers, Mapping[str, str])
    except (ConnectionFailedError, TransportError, ConfigError, CredentialsError) as error:
        assert_type(error.request_ids, tuple[str, ...])
    try:
        await stream.collect()
    except* NotFoundError as missing:
        assert_type(
            [error.workspace_key for error in missing.exceptions if isinstance(error, AidpError)], list[str | None]
        )


async def tests_of_others(aidp_service: LocalService, aidp_client: SessionsClient, aidp_clock: ManualClock) -> None:
    aidp_service.add_workspace("w", [make_session(idle_for=TWO_HOURS, now=aidp_clock.now), {"kernel": "malformed"}])
    aidp_service.fail("w", Fault(status=429, retry_after=7), Fault(cut="in_body", times=None))
    aidp_service.fail("w", Fault(status=503, takes_effect=True), operation="delete_session")
    aidp_service.fail("w", Fault(), operation="remove_session")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aidp_service.on_request = print
    aidp_service.on_request = None
    aidp_service.set_session("w", make_session())
    aidp_service.set_kernel("w", {"id": "k", "name": "notebook"})
    aidp_service.set_clusters("w", [{"key": "c", "attachedSessions": []}])
    assert_type(aidp_service.sessions("w"), tuple[SessionSummary, ...])
    assert_type((aidp_service.created, aidp_service.deleted)[0], tuple[SessionSummary, ...])
    populate_demo(aidp_service, now=NEW_YEAR)
    assert_type(aidp_service.requests, Sequence[RecordedRequest])
    assert_type(aidp_service.client(clock=aidp_clock, retry=RetryPolicy.none()), SessionsClient)
    aidp_service.client(retries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(make_session("n", execution_state="dead"), SessionSummary)
    assert_type(make_workspace("w"), WorkspaceSummary)
    assert_type(aidp_clock.pauses, tuple[float, ...])
    assert_type(aidp_clock.advance(TWO_HOURS), None)
    async with LocalTokenService(trusting=aidp_service) as tokens, LocalMetadata(), LocalProxymux(), aidp_client:
        assert_type(tokens.issued, list[str])
    await asyncio.gather(aidp_service.aclose(), aidp_client.aclose())
