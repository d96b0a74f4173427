"""Asyncio client for the notebook sessions of Oracle AI Data Platform workspaces.

::

    async with SessionsClient.from_config() as client:
        async for session in client.sessions().idle_since(timedelta(hours=2)):
            print(session.workspace_key, session.path, idle_for(session))
"""

from ._convert.codec import to_wire
from ._version import __version__
from .activity import Activity, activity_of, idle_for, is_idle_since
from .auth.signing import Signer, SigningRequest
from .client import SessionsClient
from .errors import (
    AidpError,
    ConfigError,
    ConnectionFailedError,
    CredentialsError,
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
from .models import ExecutionState, KernelSummary, SessionSummary, WorkspaceSummary
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
