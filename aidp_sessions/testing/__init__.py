"""A service to test applications against: real HTTP on loopback, real signatures, faults on request."""

from __future__ import annotations

from ._faults import Fault
from ._responder import RecordedRequest
from .demo import populate_demo
from .service import LocalService

__all__ = ["Fault", "LocalService", "RecordedRequest", "populate_demo"]
