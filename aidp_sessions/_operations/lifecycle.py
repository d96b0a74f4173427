"""The operations on one session, and the listing of clusters: what is requested, and how the answers are read.

Sources: "Create session", "Get session", "Update session", "Delete session" and "List clusters" of the AI Data Platform
REST reference.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Final

import attrs

from .._checks import check_string
from .._convert import codec
from .encoding import MAX_PAGE_SIZE, field_value, path_segment, query_string
from .listings import sessions_target
from .messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..models import Session, WorkspaceRef
    from .messages import RawResponse

_UP_TO_64: Final = r"[!-~]{1,64}"
_JSON: Final = {"content-type": "application/json"}


def session_target(workspaces: str, workspace_key: str, session_id: str) -> str:
    return f"{sessions_target(workspaces, workspace_key, '')}/{path_segment(session_id, 'session_id')}"


def clusters_target(workspaces: str, workspace_key: str, filters: Mapping[str, str | None]) -> str:
    query = query_string({"limit": MAX_PAGE_SIZE, **filters})
    return f"{workspaces}/{path_segment(workspace_key)}/clusters?{query}"


def create_request(
    target: str,
    path: str,
    *,
    name: str | None = None,
    type: str | None = "notebook",  # noqa: A002  # the service's name for it
    kernel_name: str | None = "notebook",
    cluster_id: str | None = None,
    agent_flow_key: str | None = None,
    opc_retry_token: str | None = None,
) -> Request:
    """The request for a session of *path*; its retry token makes it safe to send again."""
    _check_text(path, "path")
    name = path.rpartition("/")[2] or path if name is None else name
    details = {"path": path, "name": name, "type": type, "cluster_id": cluster_id, "agentFlowKey": agent_flow_key}
    kernel = None if kernel_name is None else _texts({"name": kernel_name})
    headers = {**_JSON, "opc-retry-token": _retry_token(opc_retry_token)}
    body = _body({**_texts(details), "kernel": kernel})
    return Request(target, headers, method="POST", body=body, accept_2xx=True)


def patch_request(
    target: str, texts: Mapping[str, str | None], *, must_refresh_context: bool | None, if_match: str | None
) -> Request:
    """The request for a change to what is given, and to nothing else: a kernel in it would replace the session's."""
    if not isinstance(must_refresh_context, bool | None):
        raise TypeError(f"must_refresh_context must be True, False or None, not {must_refresh_context!r}")
    changes = {**_texts(texts), "must_refresh_context": must_refresh_context}
    if all(value is None for value in changes.values()):
        raise ValueError(f"give at least one of {', '.join(changes)}")
    headers = {**_JSON, **_condition(if_match)}
    return Request(target, headers, method="PATCH", body=_body(changes), accept_2xx=True)


def delete_request(target: str, if_match: str | None) -> Request:
    return Request(target, _condition(if_match), method="DELETE", accept_2xx=True)


def session_decoder(workspace: WorkspaceRef) -> Callable[[RawResponse], Session]:
    def decode(response: RawResponse) -> Session:
        etag = response.headers.get("etag")
        return attrs.evolve(
            codec.decode_session(response.body, workspace),
            etag=etag if etag and etag.isascii() else None,
            opc_request_id=response.headers.get("opc-request-id"),
        )

    return decode


def _texts(values: Mapping[str, str | None]) -> Mapping[str, str | None]:
    for name, value in values.items():
        if value is not None:
            _check_text(value, name)
    return values


def _check_text(value: object, name: str) -> None:
    if not check_string(value, name).strip():
        raise ValueError(f"{name}={value!r} must not be blank")


def _body(values: Mapping[str, object]) -> bytes:
    given = {name: value for name, value in values.items() if value is not None}
    return json.dumps(given, separators=(",", ":")).encode()


def _condition(if_match: str | None) -> dict[str, str]:
    return {} if if_match is None else {"if-match": field_value(if_match, "if_match")}


def _retry_token(given: str | None) -> str:
    if given is None:
        return os.urandom(16).hex()
    if not re.fullmatch(_UP_TO_64, field_value(given, "opc_retry_token")):
        raise ValueError(f"opc_retry_token={given!r} must have 1 to 64 characters and no spaces")
    return given
