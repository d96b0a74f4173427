"""Asyncio client for the notebook sessions of Oracle AI Data Platform workspaces.

::

    async with SessionsClient.from_config() as client:
        async for session in client.sessions().idle_since(timedelta(hours=2)):
            print(session.workspace_key, session.path, idle_for(session))
"""

from ._convert import to_wire
from ._version import __version__
from .activity import Activity, activity_of, idle_for, is_idle_since
from .auth.api_key import ApiKeySigner
from .auth.delegation import DelegationTokenSigner
from .auth.instance import InstancePrincipalSigner
from .auth.oci_adapter import from_oci_signer
from .auth.oke import OkeWorkloadIdentitySigner
from .auth.resource import ResourcePrincipalSigner
from .auth.session_token import SessionTokenSigner
from .auth.signing import Signer, SigningRequest
from .client import SessionsClient
from .errors import (
    AidpError,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
    FanOutError,
    InternalServerError,
    NotFoundError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServiceError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
)
from .events import AttemptEnded, AttemptStarted, CallEnded, CallInfo, CallStarted, Event, RetryScheduled
from .models import (
    ExecutionState,
    KernelSummary,
    SessionChange,
    SessionCollection,
    SessionSummary,
    WorkspaceOutcome,
    WorkspaceSummary,
)
from .policies import Clock, RetryPolicy, Timeout
from .responses import Response
from .streams import SessionStream

__all__ = [
    "Activity",
    "AidpError",
    "ApiKeySigner",
    "AttemptEnded",
    "AttemptStarted",
    "CallEnded",
    "CallInfo",
    "CallStarted",
    "Clock",
    "ConfigError",
    "ConnectionFailedError",
    "CredentialsError",
    "DelegationTokenSigner",
    "Event",
    "ExecutionState",
    "FanOutError",
    "InstancePrincipalSigner",
    "InternalServerError",
    "KernelSummary",
    "NotFoundError",
    "OkeWorkloadIdentitySigner",
    "RequestTimeoutError",
    "ResourcePrincipalSigner",
    "Response",
    "ResponseDecodeError",
    "RetryPolicy",
    "RetryScheduled",
    "ServiceError",
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
    "to_wire",
]
