"""Fetches sessions from a real Jupyter server, so that real kernels can stand behind a workspace."""

from __future__ import annotations

import json
from typing import Final

import aiohttp
import attrs

from .responses import HttpError

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)


@attrs.frozen
class JupyterServer:
    """Where a Jupyter server listens, and the token it was started with."""

    url: str
    token: str = attrs.field(repr=False)

    async def sessions(self, http: aiohttp.ClientSession) -> list[dict[str, object]]:
        """Return the array of ``GET /api/sessions``; raises `HttpError` (503) if the server does not send one."""
        headers = {"authorization": f"token {self.token}"}
        try:
            async with http.get(f"{self.url.rstrip('/')}/api/sessions", headers=headers, timeout=_TIMEOUT) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise HttpError(503, f"The Jupyter server at {self.url} cannot be reached: {error!r}") from error
        if response.status != 200:
            raise HttpError(503, f"The Jupyter server at {self.url} answered with status {response.status}.")
        sessions: list[dict[str, object]] = json.loads(body)
        return sessions
