"""Every exception the package raises on purpose, and the evidence each one carries.

```text
AidpError
├── ConfigError                 configuration is missing or malformed
├── CredentialsError            a key, token or passphrase cannot be used
├── TransportError              no usable answer came back
│   ├── ConnectionFailedError
│   ├── RequestTimeoutError
│   └── ClientClosedError       the client was closed (also a RuntimeError)
├── ResponseDecodeError         an answer came, but not the documented shape
├── ServiceError                the service said no
│   ├── UnauthorizedError       401
│   ├── NotFoundError           404
│   ├── ConflictError           409
│   ├── PreconditionFailedError 412
│   ├── TooManyRequestsError    429
│   └── InternalServerError     500
└── FanOutError                 several workspaces failed (also an ExceptionGroup)
```

Misuse by the caller is a plain ``ValueError`` or ``TypeError``, raised before any request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


class AidpError(Exception):
    """Base of all errors. Every attribute is present on every error and empty where it does not apply.

    Instances pickle whole and hold no reference to clients, sockets or credentials.

    Attributes:
        message: the bare explanation; for a `ServiceError`, the service's own message.
        operation: the operation that failed, e.g. ``"list_sessions"``.
        workspace_key: the workspace that was asked, if the operation concerns one.
        workspace_name: its display name, if the client knows it.
        status: the HTTP status of the last answer.
        code: the service's error code, e.g. ``"NotAuthorizedOrNotFound"``.
        headers: the last answer's headers, names in lower case, credentials left out.
        body_excerpt: the first kibibyte of the last answer's body as text, credentials left out.
        opc_request_id: the id to quote to Oracle: the service's, else the one we sent last.
        request_ids: one id per attempt, oldest first, so that even a timeout has one.
        attempt_seconds: how long each of these attempts took, by a monotonic clock; the last may have been broken off.
        retry_after: seconds the service asked to wait before the next attempt.
        delivered: sessions of this workspace that had been yielded before it failed.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.operation: str | None = None
        self.workspace_key: str | None = None
        self.workspace_name: str | None = None
        self.status: int | None = None
        self.code: str | None = None
        self.headers: Mapping[str, str] = {}
        self.body_excerpt = ""
        self.opc_request_id: str | None = None
        self.request_ids: tuple[str, ...] = ()
        self.attempt_seconds: tuple[float, ...] = ()
        self.retry_after: float | None = None
        self.delivered = 0

    @property
    def message(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        where = self.operation or ""
        if self.workspace_key is not None:
            where += f" of workspace {_describe_workspace(self.workspace_key, self.workspace_name)}"
        answer = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        text = ": ".join(part for part in (where.strip(), answer, self.message) if part)
        if self.opc_request_id:
            text += f" (opc-request-id {self.opc_request_id}"
            text += f", {len(self.request_ids)} attempts)" if len(self.request_ids) > 1 else ")"
        return text


def _describe_workspace(key: str, name: str | None) -> str:
    escaped = repr(key)
    return f"{name!r} ({escaped[1:-1]})" if name and name != key else escaped


class ConfigError(AidpError):
    """The configuration is missing, contradictory or malformed; the message names the file, key and remedy."""


class CredentialsError(AidpError):
    """A private key, token or passphrase cannot be used; the message says why, never the secret itself."""


class TransportError(AidpError):
    """No usable answer: the connection failed, broke, or took too long.

    Attributes:
        permanent: another attempt cannot help, as with a certificate that does not verify.
        unsent: no connection was made, so the service has not seen the request.
    """

    permanent = False
    unsent = False


class ConnectionFailedError(TransportError):
    """The connection could not be made, or ended before the answer was complete."""


class ClientClosedError(TransportError, RuntimeError):
    """The client was closed before or during the call; create a new one."""


class RequestTimeoutError(TransportError):
    """A time limit ran out; the message names which one and its length, the text also how long each attempt took.

    Attributes:
        limit: the field of `Timeout` that ran out.
    """

    def __init__(self, message: str = "", limit: Literal["connect", "read", "total"] | None = None) -> None:
        super().__init__(message)
        self.limit = limit

    def __str__(self) -> str:
        took = ", ".join(f"{seconds:.2f} s" for seconds in self.attempt_seconds)
        return f"{super().__str__()} [attempts took {took}]" if took else super().__str__()


class ResponseDecodeError(AidpError):
    """The answer is not what the documentation describes.

    Attributes:
        path: JSON path of the offending value, e.g. ``"$.items[3].kernel.last_activity"``; ``"$"`` is the body itself.
    """

    def __init__(self, message: str = "", path: str = "$") -> None:
        super().__init__(message)
        self.path = path

    def __str__(self) -> str:
        return f"{super().__str__()} [at {self.path}]"


class ServiceError(AidpError):
    """The service answered with an error status; `status`, `code`, `message` and `headers` are its own words."""


class UnauthorizedError(ServiceError):
    """401: credentials are missing, expired or wrong, or the clock is off by more than five minutes."""


class NotFoundError(ServiceError):
    """404: no such workspace, or no permission to see it (OCI does not tell them apart), or not ready yet."""


class ConflictError(ServiceError):
    """409: the present state does not permit it; `code` says more.

    ``IncorrectState`` and ``LockConflict`` are transient: retries did not help.
    """


class PreconditionFailedError(ServiceError):
    """412: the session is no longer the one that *if_match* names; it was not changed."""


class TooManyRequestsError(ServiceError):
    """429: throttled; `retry_after` holds the wait the service asked for, if it named one."""


class InternalServerError(ServiceError):
    """500: the service failed."""


SERVICE_ERRORS: Mapping[int, type[ServiceError]] = {
    401: UnauthorizedError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    429: TooManyRequestsError,
    500: InternalServerError,
}
"""Class by status; every other error status is a `ServiceError` itself."""
