"""The options of `SessionsClient`, for signatures that pass them on. Types only; never imported when anything runs."""

from __future__ import annotations

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
