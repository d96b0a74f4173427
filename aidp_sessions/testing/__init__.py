"""A service to test applications against: real HTTP on loopback, real signatures, faults on request."""

from __future__ import annotations

from ._auth_server import RecordedAuthRequest
from ._faults import Fault
from ._responder import RecordedRequest
from .clock import ManualClock
from .demo import populate_demo
from .factories import make_session, make_workspace
from .metadata import LocalMetadata
from .proxymux import LocalProxymux
from .service import LocalService
from .tokens import LocalTokenService

__all__ = [
    "Fault",
    "LocalMetadata",
    "LocalProxymux",
    "LocalService",
    "LocalTokenService",
    "ManualClock",
    "RecordedAuthRequest",
    "RecordedRequest",
    "make_session",
    "make_workspace",
    "populate_demo",
]
