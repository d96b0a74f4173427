"""Shortcuts for tests of decoding: from bytes to sessions, or to path and message of the error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions._convert.codec import decode_collection, decode_json, envelope
from aidp_sessions._convert.strict import structure_sessions
from aidp_sessions.errors import ResponseDecodeError
from aidp_sessions.models import WorkspaceRef

if TYPE_CHECKING:
    from aidp_sessions.models import SessionSummary

NAMED: Final = {"name": "python3"}


def encode(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def sessions_in(body: bytes) -> tuple[SessionSummary, ...]:
    sessions, _ = decode_collection(body, WorkspaceRef("w"))
    return sessions


def sessions_one_by_one(body: bytes) -> tuple[SessionSummary, ...]:
    """The same, by the strict decoder."""
    items, path, _ = envelope(decode_json(body), bare_array=True)
    return structure_sessions(items, path, WorkspaceRef("w"))


def refusal(body: bytes) -> tuple[str, str]:
    """Path and message of the error of decoding *body* as a collection of sessions."""
    with pytest.raises(ResponseDecodeError) as caught:
        sessions_in(body)
    return caught.value.path, caught.value.message
