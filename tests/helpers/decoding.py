"""Short ways through the decoder: bytes in, sessions or the path and message of their refusal out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from aidp_sessions._convert.codec import decode_collection, decode_json, envelope
from aidp_sessions._convert.strict import structure_sessions
from aidp_sessions.errors import ResponseDecodeError

if TYPE_CHECKING:
    from aidp_sessions.models import SessionSummary

NAMED: Final = {"name": "python3"}


def encode(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def sessions_in(body: bytes) -> tuple[SessionSummary, ...]:
    sessions, _ = decode_collection(body, "w")
    return sessions


def sessions_one_by_one(body: bytes) -> tuple[SessionSummary, ...]:
    """The same by the long way, which keeps what is unknown and explains what is wrong."""
    items, path, _ = envelope(decode_json(body), bare_array=True)
    return structure_sessions(items, path, "w")


def refusal(body: bytes) -> tuple[str, str]:
    """Path and message of the refusal of *body* as a collection of sessions."""
    with pytest.raises(ResponseDecodeError) as caught:
        sessions_in(body)
    return caught.value.path, caught.value.message
