"""The options of `SessionsClient` and its methods: types for signatures that pass them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import ssl as _ssl
    from collections.abc import Mapping

    import aiohttp

    from .auth.signing import Signer
    from .events import Listener
    from .policies import Clock, RetryPolicy, Sleep, Timeout


class Options(TypedDict, total=False):
    """What every way to make a client takes."""

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
    headers: Mapping[str, str] | None
    on_event: Listener | None
    clock: Clock


class CopyOptions(Options, total=False):
    """What `SessionsClient.with_options` takes."""

    platform_id: str
    signer: Signer
    endpoint: str | None
    region: str | None


class CallOptions(TypedDict, total=False):
    """How a call is made; `Call` says what each option means."""

    opc_request_id: str | None
    sleep: Sleep | None
    sent: list[str] | None


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
