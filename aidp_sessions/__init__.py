r"""Asyncio client for the notebook sessions of Oracle AI Data Platform workspaces.

```python
async with SessionsClient.from_config() as client:
    async for session in client.sessions().idle_since(timedelta(hours=2)):
        print(session.workspace_name, session.path, idle_for(session))
```

A script needs one `asyncio.run` around everything that uses the client. This one prints a line per idle kernel, and
failures to standard error. It ends with the statuses of the command: 0 if every workspace answered, 1 if some did not,
and 4 if nothing could be read:

```python
import asyncio
import sys
from datetime import timedelta

from aidp_sessions import AidpError, SessionsClient, idle_for


async def report() -> int:
    status, seen = 0, set()
    async with asyncio.timeout(15 * 60), SessionsClient.from_config() as client:
        async for outcome in client.sessions().idle_since(timedelta(days=1)).by_workspace():
            if outcome.error is not None:
                status = 1
                print("failed:", outcome.error, file=sys.stderr)
            for session in outcome.sessions:
                kernel = (session.kernel and session.kernel.id) or session.id
                if kernel not in seen:  # sessions may share a kernel
                    seen.add(kernel)
                    print(session.workspace_key, kernel, session.path, idle_for(session), sep="\t")
    return status


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(report()))
    except (AidpError, TimeoutError) as error:
        print("gave up:", str(error) or "not finished after 15 minutes", file=sys.stderr)
        sys.exit(4)
```

An application makes one client, uses it for all requests, and closes it at the end. With FastAPI:

```python
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI, Request

from aidp_sessions import SessionsClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, SessionsClient]]:
    async with SessionsClient.from_config() as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


@app.get("/idle")
async def idle(request: Request) -> list[dict[str, str | None]]:
    client: SessionsClient = request.state.client
    stream = client.sessions(on_error="skip").idle_since(timedelta(hours=2))
    return [{"workspace": s.workspace_key, "path": s.path} async for s in stream]
```

With aiohttp:

```python
from collections.abc import AsyncIterator
from datetime import timedelta

from aiohttp import web

from aidp_sessions import SessionsClient

CLIENT = web.AppKey("client", SessionsClient)


async def lifetime(app: web.Application) -> AsyncIterator[None]:
    async with SessionsClient.from_config() as app[CLIENT]:
        yield


async def idle(request: web.Request) -> web.Response:
    stream = request.app[CLIENT].sessions(on_error="skip").idle_since(timedelta(hours=2))
    return web.json_response([{"workspace": s.workspace_key, "path": s.path} async for s in stream])


app = web.Application()
app.cleanup_ctx.append(lifetime)
app.router.add_get("/idle", idle)

if __name__ == "__main__":
    web.run_app(app)
```

`SessionsClient.from_config` takes each setting from its argument, else from the environment, else from the profile in
the configuration file:

| setting | environment | profile |
|---|---|---|
| platform | `AIDP_INSTANCE_ID`, `INSTANCE_ID` | |
| endpoint | `AIDP_ENDPOINT`, `OCI_CLI_ENDPOINT` | |
| configuration file | `OCI_CLI_CONFIG_FILE`, `OCI_CONFIG_FILE` | |
| profile | `OCI_CLI_PROFILE` | |
| kind of credentials | `OCI_CLI_AUTH` | `authentication_type` |
| region | `OCI_CLI_REGION`, `OCI_REGION` | `region` |
| regions that this package does not know | `OCI_REGION_METADATA`; a file `~/.oci/regions-config.json` | |
| user | `OCI_CLI_USER`, `OCI_CLI_TENANCY`, `OCI_CLI_FINGERPRINT` | `user`, `tenancy`, `fingerprint` |
| private key | `OCI_CLI_KEY_FILE`, `OCI_CLI_KEY_CONTENT`, `OCI_CLI_PASSPHRASE` | `key_file`, `pass_phrase` |
| tokens | `OCI_CLI_SECURITY_TOKEN_FILE` | `security_token_file` |
| | `OCI_CLI_DELEGATION_TOKEN_FILE` | `delegation_token_file` |
| no warning about a key file that others can read | `OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING` | |

Read on OCI itself:

- on an instance, `OCI_METADATA_BASE_URL` and `OCI_CLI_FEDERATION_ENDPOINT`;
- in a function or job, `OCI_RESOURCE_PRINCIPAL_VERSION`, `OCI_RESOURCE_PRINCIPAL_RPST`,
  `OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM`, `OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE` and
  `OCI_RESOURCE_PRINCIPAL_REGION`;
- in a pod, `KUBERNETES_SERVICE_HOST`, `OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING`,
  `OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH` and `OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH`.

Everything is logged to the logger `aidp_sessions`, which has no level and no handler of its own:

- `DEBUG`: each attempt with its outcome, milliseconds and request id; each planned retry;
- `INFO`: which credentials were chosen, and why; a workspace that answers `SessionStream.watch` again;
- `WARNING`: a workspace that was skipped, or that `SessionStream.watch` could not reach; a token that cannot be
  refreshed; a clock that is off; a key file that others can read; a new session that `SessionsClient.open_session`
  could not delete after an exception.
"""

from ._convert.codec import to_wire
from ._convert.records import to_record
from ._version import __version__
from .activity import Activity, activity_of, idle_for, is_idle_since
from .auth.signing import Signer, SigningRequest
from .client import SessionsClient
from .culling.plan import CullCandidate, CullOutcome, CullPlan, CullResult, KeptKernel
from .culling.policy import CullPolicy, KeepReason
from .errors import (
    AidpError,
    ClientClosedError,
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PreconditionFailedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServiceError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
)
from .events import AttemptEnded, AttemptStarted, CallEnded, CallInfo, CallStarted, Event, RetryScheduled
from .models import (
    AttachedSession,
    ClusterSummary,
    ExecutionState,
    KernelSummary,
    Session,
    SessionSummary,
    WorkspaceSummary,
)
from .policies import Clock, RetryPolicy, Timeout
from .principals.api_key import ApiKeySigner
from .principals.delegation import DelegationTokenSigner
from .principals.instance import InstancePrincipalSigner
from .principals.oci_adapter import from_oci_signer
from .principals.oke import OkeWorkloadIdentitySigner
from .principals.resource import ResourcePrincipalSigner
from .principals.session_token import SessionTokenSigner
from .results import FanOutError, Response, SessionChange, SessionCollection, WorkspaceOutcome
from .streams.stream import SessionStream

__all__ = [
    "Activity",
    "AidpError",
    "ApiKeySigner",
    "AttachedSession",
    "AttemptEnded",
    "AttemptStarted",
    "CallEnded",
    "CallInfo",
    "CallStarted",
    "ClientClosedError",
    "Clock",
    "ClusterSummary",
    "ConfigError",
    "ConflictError",
    "ConnectionFailedError",
    "CredentialsError",
    "CullCandidate",
    "CullOutcome",
    "CullPlan",
    "CullPolicy",
    "CullResult",
    "DelegationTokenSigner",
    "Event",
    "ExecutionState",
    "FanOutError",
    "InstancePrincipalSigner",
    "InternalServerError",
    "KeepReason",
    "KeptKernel",
    "KernelSummary",
    "NotFoundError",
    "OkeWorkloadIdentitySigner",
    "PreconditionFailedError",
    "RequestTimeoutError",
    "ResourcePrincipalSigner",
    "Response",
    "ResponseDecodeError",
    "RetryPolicy",
    "RetryScheduled",
    "ServiceError",
    "Session",
    "SessionChange",
    "SessionCollection",
    "SessionStream",
    "SessionSummary",
    "SessionTokenSigner",
    "SessionsClient",
    "Signer",
    "SigningRequest",
    "Timeout",
    "TooManyRequestsError",
    "TransportError",
    "UnauthorizedError",
    "WorkspaceOutcome",
    "WorkspaceSummary",
    "__version__",
    "activity_of",
    "from_oci_signer",
    "idle_for",
    "is_idle_since",
    "to_record",
    "to_wire",
]
