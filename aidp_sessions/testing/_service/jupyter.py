"""The sessions of a real Jupyter server, so that real kernels can stand behind a workspace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

import aiohttp
import attrs

from .responses import HttpError

if TYPE_CHECKING:
    from .listing import Wire

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)
_PASSED_ON: Final = frozenset({400, 404, 409, 410, 501})
_FIELDS: Final = ("path", "name", "type", "kernel")
_DEFAULT_KERNEL: Final = "notebook"
"""The service's name of the one kernel that it offers; a Jupyter server has other names."""


@attrs.frozen
class JupyterServer:
    """Where a Jupyter server listens, and the token it was started with."""

    url: str
    token: str = attrs.field(repr=False)

    async def list(self) -> list[Wire]:
        """Return the sessions; raises `HttpError` (503) if the server does not send them."""
        return [_active(session) for session in cast("list[Wire]", await self._request("GET", ""))]

    async def create(self, details: Wire) -> tuple[Wire, bool]:
        """Return the session of the path in *details*, and whether it is new."""
        before = [session.get("id") for session in await self.list()]
        document = {"type": "notebook", **_only(details, None)}
        session = _active(cast("Wire", await self._request("POST", "", document)))
        return session, session["id"] not in before

    async def patch(self, session: Wire, changes: Wire) -> Wire:
        document = _only(changes, cast("Wire", session["kernel"])["name"])
        return _active(cast("Wire", await self._request("PATCH", _one(session), document)))

    async def delete(self, session: Wire) -> None:
        await self._request("DELETE", _one(session))

    async def _request(self, method: str, path: str, document: Wire | None = None) -> object:
        headers = {"authorization": f"token {self.token}"}
        url = f"{self.url.rstrip('/')}/api/sessions{path}"
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as http,
                http.request(method, url, json=document) as response,
            ):
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise HttpError(503, f"The Jupyter server at {self.url} cannot be reached: {error!r}") from error
        if not response.ok:
            status = response.status if response.status in _PASSED_ON else 503
            raise HttpError(status, f"The Jupyter server at {self.url} answered with status {response.status}.")
        return json.loads(body) if body else None


def _one(session: Wire) -> str:
    return f"/{quote(str(session['id']), safe='')}"


def _active(session: Wire) -> Wire:
    """Add the state that the service shows for a session with a kernel; Jupyter has no sessions without one."""
    return {**session, "lifecycleState": "ACTIVE"}


def _only(details: Wire, default_kernel: object) -> Wire:
    """The fields that Jupyter knows, with *default_kernel* instead of the service's default."""
    fields = {name: details[name] for name in _FIELDS if name in details}
    kernel = cast("Wire", fields.get("kernel", {}))
    if kernel.get("name") == _DEFAULT_KERNEL:
        fields["kernel"] = {**kernel, "name": default_kernel}
    return fields
