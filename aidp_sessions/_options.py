"""The options of `SessionsClient` and its methods: types for signatures that pass them on, and checks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import ssl as _ssl

    import aiohttp

    from .auth.signing import Signer
    from .events import Listener
    from .policies import Clock, RetryPolicy, Timeout


class Options(TypedDict, total=False):
    """What may be chosen for any client."""

    default_region: str | None
    api_version: str
    max_concurrency: int
    timeout: Timeout
    retry: RetryPolicy
    http_session: aiohttp.ClientSession | None
    max_response_bytes: int
    correct_clock_skew: bool
    ssl: _ssl.SSLContext | bool
    proxy: str | None
    trust_env: bool
    on_event: Listener | None
    clock: Clock


class CopyOptions(Options, total=False):
    """What a copy may change besides."""

    platform_id: str
    signer: Signer
    endpoint: str | None
    region: str | None


class CreateOptions(TypedDict, total=False):
    """What `SessionsClient.create_session` takes beside workspace, path and request id."""

    name: str | None
    type: str | None
    kernel_name: str | None
    cluster_id: str | None
    agent_flow_key: str | None
    opc_retry_token: str | None


class OpenOptions(CreateOptions, total=False):
    """What `SessionsClient.open_session` passes on to `SessionsClient.create_session`."""

    opc_request_id: str | None


def check_type(value: object, expected: type, name: str) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a {expected.__name__}, not {value!r}")


def check_listener(value: object) -> None:
    if value is None:
        return
    if not callable(value) or any(map(inspect.iscoroutinefunction, (value, type(value).__call__))):
        raise TypeError(f"on_event must be a plain function of one event, not {value!r}")


def check_count(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")


def check_timeout(timeout: float) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout={timeout} must be more than zero seconds, and finite")
