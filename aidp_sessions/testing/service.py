"""`LocalService`: the notebook-session service on loopback, for the tests of applications.

It serves operations of the AI Data Platform REST reference, version 20260430, and the older 20240831 form of the same
paths: the list of workspaces, the list of sessions, create, get, patch and delete of a session, the list of clusters,
and get of a cluster.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Unpack

from .._checks import check_function, check_type
from .._convert.codec import decode_collection
from ..client import SessionsClient
from ..endpoints import check_platform_id
from ..models import WorkspaceRef
from ._service import identity
from ._service.jupyter import JupyterServer
from ._service.listener import LoopbackServer
from ._service.responder import Responder
from ._service.responses import StubResponse, json_response, timestamp, to_json
from ._service.sessions import MemorySessions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from .._options import Options
    from ..models import KernelSummary, SessionSummary
    from ..principals.api_key import ApiKeySigner
    from ._service.faults import Cut, Fault
    from ._service.responder import RecordedRequest
    from ._service.routes import Operation
    from ._service.verify import Verifier

_VERSION: Final = "20260430"
DEFAULT_PLATFORM_ID: Final = "ocid1.aidataplatform.oc1.iad.amaaaaaalocalservicefortestsandnothingelse5k2p7wqa"


class LocalService(LoopbackServer):
    """A platform of workspaces behind a real server: ``async with LocalService() as service: …``

    As the service does, it refuses requests without a valid signature, or with a date more than five minutes off
    *clock*. It keeps its workspaces when it is closed and started again.

    Sessions can be created, changed and deleted by requests, and by `set_session` and `set_kernel` at any time. As in
    Jupyter, several sessions can use one kernel, and deleting one of them shuts the kernel down, which ends the others.
    The etag of a session changes with every change of it or its kernel, and ``if-match`` is compared with it.

    Args:
        platform_id: the OCID of the platform that is served.
        clock: the time of the service, in seconds since the epoch.
        workspace_page_size: workspaces, or clusters, per page for requests without a limit.
        session_page_size: sessions per page for requests without a limit; ``None`` sends all in one page.
        latency: seconds before every response.
        compress: send bodies over 1 KiB as gzip to clients that accept it.
        kernel_delay: seconds of *clock* until a session that was created has its kernel; until then it is
            ``CREATING`` and without a kernel. ``math.inf`` is never.
        record_limit: the number of latest requests that are kept in `requests`; the counts are always complete.

    Attributes:
        platform_id: the OCID of the platform that is served.
        region: the region of the service's user.
    """

    def __init__(
        self,
        *,
        platform_id: str = DEFAULT_PLATFORM_ID,
        clock: Callable[[], float] = time.time,
        workspace_page_size: int = 100,
        session_page_size: int | None = None,
        latency: float = 0.0,
        compress: bool = True,
        kernel_delay: float = 0.0,
        record_limit: int = 10_000,
    ) -> None:
        super().__init__(compress=compress)
        self.platform_id = check_platform_id(platform_id)
        self.region = "us-ashburn-1"
        self._kernel_delay = kernel_delay
        self._responder = Responder(
            platform_id,
            clock,
            page_sizes=(workspace_page_size, session_page_size),
            latency=latency,
            record_limit=record_limit,
        )

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self.trust(identity.key_id(), identity.private_key())
        await super().start()

    async def _respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[StubResponse, Cut]:
        return await self._responder.respond(method, target, headers, body)

    @property
    def url(self) -> str:
        """The value for ``endpoint``."""
        return self.origin

    @property
    def signer(self) -> ApiKeySigner:
        """A signer of the one user that the service knows from the start."""
        return identity.signer()

    def client(self, **options: Unpack[Options]) -> SessionsClient:
        """Return a client of this service; *options* are those of `SessionsClient`. The caller closes it."""
        return SessionsClient(self.platform_id, signer=self.signer, endpoint=self.url, **options)

    def oci_config(self) -> dict[str, str]:
        """Return the service's user as a configuration for the official clients."""
        return identity.oci_config(self.region)

    def write_config(self, directory: str | os.PathLike[str], profile: str = "DEFAULT") -> Path:
        """Write the service's user as an OCI configuration file and a key file; return the path of the former."""
        return identity.write_config(directory, profile, self.region)

    def trust(self, key_id: str, key: Verifier) -> None:
        """Accept signatures of *key* under *key_id*, e.g. ``ST$`` and a token."""
        self._responder.keys[key_id] = key

    def distrust(self, key_id: str) -> None:
        """Answer 401 to *key_id* from now on, as for an expired token."""
        self._responder.keys.pop(key_id, None)

    def add_workspace(
        self,
        key: str,
        sessions: Iterable[SessionSummary | Mapping[str, object]] = (),
        *,
        display_name: str | None = None,
        type: str = "USER",  # noqa: A002  # the service's word
        lifecycle_state: str = "ACTIVE",
        is_private_network_enabled: bool = False,
        time_created: datetime | None = None,
        created_by_name: str | None = None,
    ) -> None:
        """Add a workspace with *sessions*, which may also be JSON objects in the form of the wire.

        Objects are sent unchanged, so that tests can send wrong ones. Raises `ValueError` if *key* was added before.
        """
        check_type(key, str, "key")
        summary: dict[str, object] = {
            "key": key,
            "displayName": key if display_name is None else display_name,
            "type": type,
            "lifecycleState": lifecycle_state,
            "timeCreated": timestamp(time_created or datetime.fromtimestamp(self._responder.clock(), UTC)),
            "isPrivateNetworkEnabled": is_private_network_enabled,
            **({} if created_by_name is None else {"createdByName": created_by_name}),
        }
        store = MemorySessions(sessions, self._responder.clock, self._kernel_delay)
        self._responder.platform.add(key, summary, store)

    def add_jupyter(self, key: str, *, url: str, token: str) -> None:
        """Add a workspace with the sessions of a real Jupyter server, which is asked for every request.

        Sessions are created, changed and deleted there too, with ``if-match`` compared just before. The kernel name
        ``notebook`` means the default kernel.
        """
        self.add_workspace(key)
        self._responder.platform.workspaces[key].lifecycle.store = JupyterServer(url, token)

    def sessions(self, key: str) -> tuple[SessionSummary, ...]:
        """The sessions of workspace *key* at present, as a client decodes them."""
        return _decoded(key, self._memory(key).current())

    def set_sessions(self, key: str, sessions: Iterable[SessionSummary | Mapping[str, object]]) -> None:
        """Replace all sessions of workspace *key*; raises `KeyError` if there is no such workspace."""
        self._memory(key).replace(sessions)

    def set_session(self, key: str, session: SessionSummary | Mapping[str, object]) -> None:
        """Replace the session of workspace *key* that has the same id, or add *session*."""
        self._memory(key).put(session)

    def set_kernel(self, key: str, kernel: KernelSummary | Mapping[str, object]) -> None:
        """Replace the kernel that has the same id, in every session of workspace *key* that uses it.

        Raises `KeyError` if no session uses it.
        """
        self._memory(key).put_kernel(kernel)

    def set_clusters(self, key: str, clusters: Iterable[Mapping[str, object]] | None) -> None:
        """Replace the clusters of workspace *key*, JSON objects in the form of the wire.

        Objects without ``attachedSessions`` get the sessions whose ``cluster_id`` is their ``key``: ``ACTIVE`` where
        the kernel is busy, else ``IDLE``. Lists leave ``autoTerminationMinutes`` out, as those of the service do.
        ``None``, as in the beginning, is one such cluster per ``cluster_id``.
        """
        self._responder.platform.workspaces[key].clusters = None if clusters is None else tuple(clusters)

    @property
    def created(self) -> tuple[SessionSummary, ...]:
        """The sessions that requests have created, oldest first, as they were then."""
        return tuple(_decoded(key, [new])[0] for key, new in self._responder.platform.log.created)

    @property
    def deleted(self) -> tuple[SessionSummary, ...]:
        """The sessions named by requests that deleted them, oldest first, as they were before.

        Other sessions of the same kernel, which ended with it, are not among them.
        """
        return tuple(_decoded(key, [old])[0] for key, old in self._responder.platform.log.deleted)

    def answer(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        json: object = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Set the response of an operation that the service does not serve, or instead of its own response.

        *path* is compared with the path of the request as received, with its percent-encoding and without the query.
        A *path* that does not begin with ``/`` is relative to the platform. The body is *json*, encoded, or *body*.
        """
        if not path.startswith("/"):
            path = f"/{_VERSION}/aiDataPlatforms/{self.platform_id}/{path}"
        response = StubResponse(status, body) if json is None else json_response(json)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        self._responder.stubs[method, path] = StubResponse(status, response.body, {**response.headers, **lower})

    @property
    def on_request(self) -> Callable[[RecordedRequest], None] | None:
        """A function that is called with each authenticated request before the service acts on it.

        It can change what the request meets, for example make a kernel busy between a look at it and its deletion.
        """
        return self._responder.on_request

    @on_request.setter
    def on_request(self, function: Callable[[RecordedRequest], None] | None) -> None:
        if function is not None:
            check_function(function, "on_request must be a plain function of one request")
        self._responder.on_request = function

    def fail(self, key: str | None, *faults: Fault, operation: Operation | None = None) -> None:
        """Apply *faults* to the next requests for workspace *key*, in this order, after the faults still waiting.

        A *key* of ``None`` means the list of workspaces. With *operation*, such as ``delete_session``, only its
        requests meet the faults. Requests that are not authenticated meet no fault.
        """
        for fault in faults:
            self._responder.faults[key].add(fault, operation)

    def heal(self, key: str | None) -> None:
        """Remove the waiting faults of *key*."""
        self._responder.faults.pop(key, None)

    @property
    def requests(self) -> Sequence[RecordedRequest]:
        """The latest requests, oldest first, refused ones included."""
        return tuple(self._responder.requests)

    @property
    def request_count(self) -> int:
        """The number of requests since the start or `reset_counts`."""
        return self._responder.request_count

    def reset_counts(self) -> None:
        """Remove all recorded requests, with `created` and `deleted`, and count from here."""
        self._responder.requests.clear()
        self._responder.request_count = 0
        self._responder.platform.log.created.clear()
        self._responder.platform.log.deleted.clear()
        self._peak_in_flight = self.in_flight

    def _memory(self, key: str) -> MemorySessions:
        store = self._responder.platform.workspaces[key].lifecycle.store
        if not isinstance(store, MemorySessions):
            raise TypeError(f"the sessions of workspace {key!r} are those of a Jupyter server")
        return store


def _decoded(key: str, sessions: Sequence[Mapping[str, object]]) -> tuple[SessionSummary, ...]:
    return decode_collection(to_json(sessions), WorkspaceRef(key))[0]
