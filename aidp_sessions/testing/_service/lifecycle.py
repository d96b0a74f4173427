"""The operations on one session: create, get, patch and delete, with etags and retry tokens. No I/O of its own."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import quote

import attrs

from .responses import HttpError, StubResponse, json_response, matches_etag, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .listing import Wire

Types = dict[str, type]

MAX_RETRY_TOKEN: Final = 64
_FIELDS: Final[Types] = {**dict.fromkeys(("id", "path", "name", "type", "cluster_id"), str), "kernel": dict}
_CREATE_FIELDS: Final[Types] = {**_FIELDS, "agentFlowKey": str}
_PATCH_FIELDS: Final[Types] = {**_FIELDS, "must_refresh_context": bool}
_KERNEL_FIELDS: Final[Types] = {
    **dict.fromkeys(("id", "name", "last_activity", "execution_state"), str),
    "connections": int,
}


class Store(Protocol):
    """Holds the sessions of one workspace as JSON objects in the form of the wire."""

    async def list(self) -> Sequence[Wire]: ...

    async def create(self, details: Wire) -> tuple[Wire, bool]:
        """Return the session of the path in *details*, and whether it is new."""
        ...

    async def patch(self, session: Wire, changes: Wire) -> Wire: ...

    async def delete(self, session: Wire) -> None: ...


@attrs.frozen
class ChangeLog:
    """What requests have changed, oldest first, each entry with the key of its workspace.

    Attributes:
        created: new sessions, as they were then.
        deleted: the sessions that the requests named, as they were before.
    """

    created: list[tuple[str, Wire]] = attrs.field(factory=list[tuple[str, "Wire"]])
    deleted: list[tuple[str, Wire]] = attrs.field(factory=list[tuple[str, "Wire"]])


class Lifecycle:
    """The operations on the single sessions of one workspace."""

    def __init__(self, workspace_key: str, store: Store, log: ChangeLog) -> None:
        self._workspace_key = workspace_key
        self.store = store
        self._log = log
        self._tokens: dict[str, tuple[bytes, object]] = {}

    async def get(self, session_id: str) -> StubResponse:
        return _response(await self._find(session_id))

    async def create(self, path: str, headers: Mapping[str, str], body: bytes) -> StubResponse:
        """Answer 201 with the session of the path in *body*, for an existing session too; *path* is the request's."""
        details = _details(body, _CREATE_FIELDS)
        if not details.get("path"):
            raise HttpError(400, "path is missing.")
        session = await self._create_once(headers.get("opc-retry-token"), details, body)
        response = _response(session)
        location = f"{path}/{quote(str(session['id']), safe='')}"
        return StubResponse(201, response.body, {**response.headers, "location": location})

    async def _create_once(self, token: str | None, details: Wire, body: bytes) -> Wire:
        """Return the session that was created with *token* before, if there is one."""
        if token is not None and not 1 <= len(token) <= MAX_RETRY_TOKEN:
            raise HttpError(400, f"opc-retry-token must have from 1 to {MAX_RETRY_TOKEN} characters.")
        if token in self._tokens:
            return await self._created_before(*self._tokens[token], body)
        session, is_new = await self.store.create(details)
        if is_new:
            self._log.created.append((self._workspace_key, session))
        if token is not None:
            self._tokens[token] = (body, session["id"])
        return session

    async def _created_before(self, first_body: bytes, session_id: object, body: bytes) -> Wire:
        if body != first_body:
            raise HttpError(400, "opc-retry-token belongs to a request with another body.")
        for session in await self.store.list():
            if session.get("id") == session_id:
                return session
        raise HttpError(409, "The session of this opc-retry-token has been deleted.", code="InvalidatedRetryToken")

    async def patch(self, session_id: str, headers: Mapping[str, str], body: bytes) -> StubResponse:
        session = await self._find(session_id, headers.get("if-match"))
        return _response(await self.store.patch(session, _details(body, _PATCH_FIELDS)))

    async def delete(self, session_id: str, headers: Mapping[str, str]) -> StubResponse:
        session = await self._find(session_id, headers.get("if-match"))
        await self.store.delete(session)
        self._log.deleted.append((self._workspace_key, session))
        return StubResponse(204)

    async def _find(self, session_id: str, if_match: str | None = None) -> Wire:
        """Return the session; raises `HttpError`, 404 without such a session, 412 if *if_match* is not its etag."""
        for session in await self.store.list():
            if session.get("id") == session_id:
                if if_match is not None and not matches_etag(if_match, _etag(session)):
                    raise HttpError(412)
                return session
        raise HttpError(404)


def _response(session: Wire) -> StubResponse:
    return json_response(session, {"etag": _etag(session)})


def _etag(session: Wire) -> str:
    """A hash of the whole session, as in Jupyter: it changes with every change of the session or its kernel."""
    return f'"{sha256(to_json(session)).hexdigest()[:32]}"'


def _details(body: bytes, types: Types) -> Wire:
    """Decode a request body, without its nulls; raises `HttpError` (400) for fields that are not documented."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError(400, "The body is not JSON.") from None
    details = _checked(document, types, "")
    kernel = details.get("kernel")
    return details if kernel is None else {**details, "kernel": _checked(kernel, _KERNEL_FIELDS, "kernel.")}


def _checked(document: object, types: Types, prefix: str) -> Wire:
    if not isinstance(document, dict):
        raise HttpError(400, "The body must be a JSON object.")
    fields = {name: value for name, value in cast("Wire", document).items() if value is not None}
    for name, value in fields.items():
        if type(value) is not types.get(name):
            raise HttpError(400, f"{prefix}{name} is not a documented field, or its value has another type.")
    return fields
