"""`LocalService`: the notebook-session service on loopback, for the tests of applications.

It serves the operations "Get available sessions" and "List workspaces" of the AI Data Platform REST reference, version
20260430, and the older 20240831 form of the same paths.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Unpack

from ..client import SessionsClient
from ..endpoints import check_platform_id
from ._service import identity
from ._service.jupyter import JupyterServer
from ._service.listener import LoopbackServer
from ._service.platform import Workspace
from ._service.responder import Responder
from ._service.responses import StubResponse, json_response

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from .._options import Options
    from ..models import SessionSummary
    from ..principals.api_key import ApiKeySigner
    from ._service.faults import Cut, Fault
    from ._service.responder import RecordedRequest
    from ._service.verify import Verifier

_VERSION: Final = "20260430"
DEFAULT_PLATFORM_ID: Final = "ocid1.aidataplatform.oc1.iad.amaaaaaalocalservicefortestsandnothingelse5k2p7wqa"


class LocalService(LoopbackServer):
    """A platform of workspaces behind a real server: ``async with LocalService() as service: …``

    As the service does, it refuses requests without a valid signature, or with a date more than five minutes off
    *clock*. It keeps its workspaces when it is closed and started again.

    Args:
        platform_id: the OCID of the platform that is served.
        clock: the time of the service, in seconds since the epoch.
        workspace_page_size: workspaces per page for requests without a limit.
        session_page_size: sessions per page for requests without a limit; ``None`` sends all in one page.
        latency: seconds before every response.
        compress: send bodies over 1 KiB as gzip to clients that accept it.
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
        record_limit: int = 10_000,
    ) -> None:
        super().__init__(compress=compress)
        self.platform_id = check_platform_id(platform_id)
        self.region = "us-ashburn-1"
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

    async def aclose(self) -> None:
        """Cancel the requests in flight, close every connection and stop listening; idempotent."""
        await super().aclose()
        await self._responder.aclose()

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
    ) -> None:
        """Add a workspace with *sessions*, which may also be JSON objects in the form of the wire.

        Objects are sent unchanged, so that tests can send wrong ones. Raises `ValueError` if *key* was added before.
        """
        created = time_created or datetime.fromtimestamp(self._responder.clock(), UTC)
        summary: dict[str, object] = {
            "key": key,
            "displayName": key if display_name is None else display_name,
            "type": type,
            "lifecycleState": lifecycle_state,
            "timeCreated": created.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "isPrivateNetworkEnabled": is_private_network_enabled,
        }
        self._responder.platform.add(key, Workspace(summary=summary, sessions=tuple(sessions)))

    def set_sessions(self, key: str, sessions: Iterable[SessionSummary | Mapping[str, object]]) -> None:
        """Replace the sessions of workspace *key*; raises `KeyError` if there is no such workspace."""
        self._responder.platform.workspaces[key].replace(sessions)

    def add_jupyter(self, key: str, *, url: str, token: str) -> None:
        """Add a workspace with the sessions of a real Jupyter server, which are fetched for every request."""
        self.add_workspace(key)
        self._responder.platform.workspaces[key].jupyter = JupyterServer(url, token)

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

    def fail(self, key: str | None, *faults: Fault) -> None:
        """Apply *faults* to the next requests for workspace *key*, in this order, after the faults still waiting.

        A *key* of ``None`` means the list of workspaces. Requests that are not authenticated meet no fault.
        """
        for fault in faults:
            self._responder.faults[key].add(fault)

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
        """Remove all recorded requests, and count from here."""
        self._responder.requests.clear()
        self._responder.request_count = 0
        self._peak_in_flight = self.in_flight
