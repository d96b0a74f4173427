"""A notebook-session service on loopback, for testing applications. Real HTTP, real signatures; never the network.

It speaks the operations "Get available sessions" and "List workspaces" of the AI Data Platform REST reference, version
20260430, and the older 20240831 form of the same paths.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self, Unpack

from ..client import SessionsClient
from ..endpoints import check_platform_id
from ._service import identity as _identity
from ._service.jupyter import JupyterServer
from ._service.listener import LoopbackServer
from ._service.platform import Workspace
from ._service.responder import Responder
from ._service.responses import Answer, json_answer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from .._options import Options
    from ..models import SessionSummary
    from ..principals.api_key import ApiKeySigner
    from ._service.faults import Fault
    from ._service.responder import RecordedRequest
    from ._service.verify import Verifier

_VERSION: Final = "20260430"
DEFAULT_PLATFORM_ID: Final = "ocid1.aidataplatform.oc1.iad.amaaaaaalocalservicefortestsandnothingelse5k2p7wqa"


class LocalService:
    """A platform of workspaces behind a real server: ``async with LocalService() as service: …``

    It refuses unsigned or wrongly signed requests, and dates more than five minutes off *clock*, as the service does.

    Args:
        platform_id: the OCID that callers must ask for.
        clock: seconds since the epoch; what the service believes the time to be.
        workspace_page_size: workspaces per page where the caller names no limit.
        session_page_size: sessions per page where the caller names no limit; ``None`` is all in one.
        latency: seconds before every answer.
        compress: send bodies over 1 KiB as gzip to callers who accept it.
        record_limit: how many of the latest requests are kept in `requests`; the counts are always complete.

    Attributes:
        platform_id: the platform that is served.
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
        self.platform_id = check_platform_id(platform_id)
        self.region = "us-ashburn-1"
        self._responder = Responder(
            platform_id,
            clock,
            page_sizes=(workspace_page_size, session_page_size),
            latency=latency,
            record_limit=record_limit,
        )
        self._server = LoopbackServer(self._responder.respond, compress=compress)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self.trust(_identity.key_id(), _identity.private_key())
        await self._server.start()

    async def aclose(self) -> None:
        """Cancel what is in flight, close every connection and stop listening; idempotent. Workspaces stay."""
        await self._server.aclose()
        await self._responder.aclose()

    @property
    def url(self) -> str:
        """What to pass as ``endpoint``."""
        return self._server.origin

    @property
    def signer(self) -> ApiKeySigner:
        """A signer of the one user the service knows from the start."""
        return _identity.signer()

    def client(self, **options: Unpack[Options]) -> SessionsClient:
        """Return a client of this service; *options* are those of `SessionsClient`. The caller closes it."""
        return SessionsClient(
            self.platform_id,
            signer=self.signer,
            endpoint=self.url,
            **options,
        )

    def oci_config(self) -> dict[str, str]:
        """Return the service's user as the official clients take a configuration."""
        return _identity.oci_config(self.region)

    def write_config(self, directory: str | os.PathLike[str], profile: str = "DEFAULT") -> Path:
        """Write the service's user as an OCI configuration file with its key file; return the former's path."""
        return _identity.write_config(directory, profile, self.region)

    def trust(self, key_id: str, key: Verifier) -> None:
        """Accept what *key* signs under *key_id*, e.g. ``ST$`` and a token."""
        self._responder.keys[key_id] = key

    def distrust(self, key_id: str) -> None:
        """Answer 401 to *key_id* from now on, as to a token that has expired."""
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
        """Add a workspace that holds *sessions*, which may also be JSON objects as they go over the wire.

        Objects are sent as they are, so they may be wrong on purpose. Raises `ValueError` if *key* is taken.
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
        """Replace what workspace *key* holds; raises `KeyError` if there is no such workspace."""
        self._responder.platform.workspaces[key].replace(sessions)

    def add_jupyter(self, key: str, *, url: str, token: str) -> None:
        """Add a workspace whose sessions are those of a real Jupyter server, asked anew for every request."""
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
        """Answer an operation that the service does not know itself, or in place of what it knows.

        *path* is compared with the request's as it was received, percent-encoding included, and without its query; if
        it does not begin with ``/``, it counts from the platform. The body is *json*, encoded, or else *body*.
        """
        if not path.startswith("/"):
            path = f"/{_VERSION}/aiDataPlatforms/{self.platform_id}/{path}"
        answer = Answer(status, body) if json is None else json_answer(json)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        self._responder.answers[method, path] = Answer(status, answer.body, {**answer.headers, **lower})

    def fail(self, key: str | None, *faults: Fault) -> None:
        """Let the next requests for workspace *key* meet *faults*, in this order, after those that wait already.

        A *key* of ``None`` is the listing of workspaces. Requests that are not authenticated meet no fault.
        """
        for fault in faults:
            self._responder.faults[key].add(fault)

    def heal(self, key: str | None) -> None:
        """Forget all faults of *key* that have not been met."""
        self._responder.faults.pop(key, None)

    @property
    def in_flight(self) -> int:
        """How many requests have come and are not answered to the last byte."""
        return self._server.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most requests that were in flight at once, since the start or `reset_counts`."""
        return self._server.peak_in_flight

    @property
    def requests(self) -> Sequence[RecordedRequest]:
        """The latest requests, oldest first, refused ones included."""
        return tuple(self._responder.requests)

    @property
    def request_count(self) -> int:
        """How many requests have come since the start or `reset_counts`."""
        return self._responder.request_count

    def reset_counts(self) -> None:
        """Forget all recorded requests, and count from here."""
        self._responder.requests.clear()
        self._responder.request_count = 0
        self._server.peak_in_flight = self._server.in_flight
