"""A local service for the tests of applications: real HTTP on loopback, real signatures, faults on request.

```python
async with LocalService() as service, service.client(clock=ManualClock()) as client:
    service.add_workspace("analytics", [make_session(idle_for=timedelta(hours=3)), make_session()])
    service.fail("analytics", Fault(status=503), Fault(status=429, retry_after=7))
    service.answer("POST", "workspaces/analytics/clusters", status=201, json={"key": "c1"})

    print(await client.sessions().idle_since(timedelta(hours=2)).collect())
    print(await client.request("POST", "workspaces/analytics/clusters", json={"displayName": "small"}))
    print([request.target for request in service.requests])
```

With pytest-asyncio (0.26 or newer, any mode), these are fixtures: `aidp_service` runs for one test, `aidp_client` is a
client of it, and both use `aidp_clock`, a `ManualClock`. A test that runs in another event loop than the service fails
at once and says which setting to change. ``-p no:aidp_sessions`` turns the plugin off; it imports the package only for
tests that use a fixture.
"""

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
