"""A service to test applications against: real HTTP on loopback, real signatures, faults on request."""

from __future__ import annotations

from ._auth_server import RecordedAuthRequest
from ._faults import Fault
from ._responder import RecordedRequest
from .demo import populate_demo
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
    "RecordedAuthRequest",
    "RecordedRequest",
    "populate_demo",
]
