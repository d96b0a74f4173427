"""A local service for the tests of applications: real HTTP on loopback, real signatures, faults on request."""

from __future__ import annotations

from ._service.faults import Fault
from ._service.responder import RecordedRequest
from .clock import ManualClock
from .demo import populate_demo
from .factories import make_session, make_workspace
from .principals.metadata import LocalMetadata
from .principals.proxymux import LocalProxymux
from .principals.server import RecordedAuthRequest
from .principals.token_service import LocalTokenService
from .service import LocalService

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
