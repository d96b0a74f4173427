"""`PlatformClient`: how a client is configured, copied and closed, and the requests that it signs."""

from __future__ import annotations

from functools import cached_property
from inspect import signature
from typing import TYPE_CHECKING, NoReturn, Self, Unpack

import attrs

from . import endpoints
from ._api import Api
from ._checks import check_count, check_function, check_signer, check_type
from ._convert.codec import load_decoders
from ._operations.failures import raw_response
from ._operations.generic import common_headers, prepare
from ._operations.listings import workspaces_path
from ._transport.call import Call
from ._transport.exchange import Transport
from ._transport.limiter import AdaptiveLimiter
from ._transport.observer import Observer
from ._transport.pool import Pool
from .auth import config, proxies
from .models import WorkspaceRef
from .policies import Clock, RetryPolicy, Timeout, load_backoff

if TYPE_CHECKING:
    import os
    import ssl as _ssl
    from collections.abc import Mapping
    from datetime import timedelta

    import aiohttp

    from ._operations.generic import Query
    from ._options import CopyOptions, Options
    from .auth.signing import Signer
    from .events import Listener
    from .results import Response


class PlatformClient:
    """What `SessionsClient` has besides the operations on sessions, workspaces and clusters."""

    def __init__(
        self,
        platform_id: str,
        *,
        signer: Signer,
        endpoint: str | None = None,
        region: str | None = None,
        default_region: str | None = None,
        api_version: str = "20260430",
        max_concurrency: int = 32,
        timeout: Timeout = Timeout(),
        retry: RetryPolicy = RetryPolicy(),
        http_session: aiohttp.ClientSession | None = None,
        max_response_bytes: int = 128 * 1024 * 1024,
        correct_clock_skew: bool = True,
        ssl: _ssl.SSLContext | bool = True,
        proxy: str | None = None,
        trust_env: bool = False,
        headers: Mapping[str, str] | None = None,
        on_event: Listener | None = None,
        clock: Clock = Clock(),
    ) -> None:
        """Configure the client; nothing is opened or sent yet.

        Args:
            platform_id: OCID of the AI Data Platform.
            signer: authenticates the requests; see `Signer`.
            endpoint: base URL, for tenancies that answer elsewhere than at ``https://aidp.{region}.oci.{domain}``.
            region: name or three-letter code; overrides the region in the OCID.
            default_region: used if the OCID names no region.
            api_version: ``"20240831"`` selects the older ``/20240831/dataLakes/…`` form of the paths.
            max_concurrency: the most requests in flight at once, over all calls and streams of this client.
            timeout: limits in seconds, per attempt and per call.
            retry: when and how often a failed request is sent again.
            http_session: use this session, and leave it open when the client closes. Its connector should allow
                *max_concurrency* connections (aiohttp's default is 100); the wait for one of them counts towards
                `Timeout.total` only. On it, aiohttp by itself sends a request again if a kept connection is broken.
            max_response_bytes: the largest body accepted, after decompression.
            correct_clock_skew: after a 401 whose ``Date`` is more than five minutes from the date we signed, sign with
                the service's time from then on, and repeat the request once.
            ssl: a context with your own CA or client certificate; ``False`` switches verification off.
            proxy: URL of an HTTP proxy.
            trust_env: without *proxy*, use the one in ``HTTPS_PROXY``, ``HTTP_PROXY`` or ``ALL_PROXY``, unless
                ``NO_PROXY`` exempts the host.
            headers: sent with each request, but not signed, for a gateway that asks for its own.
            on_event: is told of every call and attempt, in the task that makes it; see `aidp_sessions.events`.
            clock: time, sleep and randomness; for tests.

        Raises `ValueError` or `TypeError` for an argument that cannot be right, `ConfigError` if no region is known.
        """
        headers = common_headers(headers)
        self._arguments: dict[str, object] = {name: value for name, value in locals().items() if name != "self"}
        check_count(max_concurrency, "max_concurrency")
        check_count(max_response_bytes, "max_response_bytes")
        check_type(timeout, Timeout, "timeout")
        check_type(retry, RetryPolicy, "retry")
        check_type(clock, Clock, "clock")
        check_signer(signer)
        self.platform_id = endpoints.check_platform_id(platform_id)
        url = endpoints.base_url(
            platform_id,
            region=region,
            endpoint=endpoint,
            default_region=default_region,
            extra_regions=config.extra_regions(),
        )
        if proxy is not None:
            proxy = proxies.check_proxy(proxy)
        elif trust_env:
            proxy = proxies.environment_proxy(url)
        scheme, _, rest = url.partition("://")
        host, slash, base_path = rest.partition("/")
        self._workspaces_path = workspaces_path(slash + base_path, api_version, platform_id)
        self._platform_route = f"{self._workspaces_path.rsplit('/', 2)[0]}/{{aiDataPlatformId}}"
        self._owns_pool = True
        observer: Observer | None = None
        if on_event is not None:
            check_function(on_event, "on_event must be a plain function of one event")
            observer = Observer(on_event, platform_id, self._platform_route, f"{scheme}://{host}")
        load_decoders()  # now, or the first response, or failure, would hold the loop to import them
        load_backoff()
        self._transport = Transport(
            scheme=scheme,
            host=host,
            signer=signer,
            pool=Pool(http_session),
            limiter=AdaptiveLimiter(max_concurrency),
            timeout=timeout,
            retry=retry,
            clock=clock,
            common_headers=headers,
            corrects_clock=correct_clock_skew,
            max_response_bytes=max_response_bytes,
            ssl=ssl,
            proxy=proxy,
            observer=observer,
        )

    @classmethod
    def from_config(
        cls,
        platform_id: str | None = None,
        *,
        profile: str | None = None,
        config_file: str | os.PathLike[str] | None = None,
        auth: str | None = None,
        endpoint: str | None = None,
        region: str | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Build a client the way OCI tools are configured: argument, else environment, else ``~/.oci/config``.

        Reads files, so call it before the loop is busy. *options* are those of the constructor. An explicit *region*
        goes before an endpoint from the environment. Raises `ConfigError` or `CredentialsError`, naming the file,
        profile and key, and `ValueError` for a bad argument.
        """
        from .principals.settings import load_settings  # noqa: PLC0415  # not every program makes a client this way

        signature(cls).bind_partial(**options)  # a misspelt option is named before a setting that is missing
        settings = load_settings(platform_id, profile=profile, config_file=config_file, auth=auth, endpoint=endpoint)
        found: dict[str, object] = {"signer": settings.signer, "default_region": settings.region, "region": region}
        found["endpoint"] = settings.endpoint if region is None else endpoint
        return cls(settings.platform_id, **{**found, **options})  # type: ignore[arg-type]  # checked by __init__

    def with_options(self, **options: Unpack[CopyOptions]) -> Self:
        """A copy that differs in some of the constructor's options and shares this client's connections.

        It shares the limit on requests in flight too, unless ``max_concurrency`` is given. It lives as long as this
        client; closing it closes nothing. For example, the sessions of several platforms and regions:

        ```python
        platforms = os.environ["PLATFORMS"].split()
        async with SessionsClient.from_config(platforms[0], trust_env=True) as client:
            clients = [client.with_options(platform_id=platform) for platform in platforms]
            found = await asyncio.gather(*(each.sessions(on_error="skip").collect() for each in clients))
            print({each.endpoint: len(sessions) for each, sessions in zip(clients, found, strict=True)})
        ```
        """
        if "http_session" in options:
            raise TypeError("a copy shares the http_session of its original; create a new SessionsClient instead")
        copy = type(self)(**{**self._arguments, **options})  # type: ignore[arg-type]  # checked by __init__
        copy._share(self, own_limiter="max_concurrency" in options)  # noqa: SLF001  # it is one of us
        return copy

    def _share(self, original: Self, *, own_limiter: bool) -> None:
        theirs = original._transport
        limiter = self._transport.limiter if own_limiter else theirs.limiter
        ours = self._transport
        same_clocks = (ours.clock, ours.base_url) == (theirs.clock, theirs.base_url)
        offset = theirs.clock_offset if same_clocks else ours.clock_offset
        self._transport = attrs.evolve(ours, pool=theirs.pool, limiter=limiter, clock_offset=offset)
        self._owns_pool = False

    @property
    def signer(self) -> Signer:
        return self._transport.signer

    @property
    def endpoint(self) -> str:
        """Scheme, host and port that requests go to."""
        return self._transport.base_url

    @cached_property
    def _api(self) -> Api:
        return Api(self._transport, self._workspaces_path)

    async def request(
        self,
        method: str,
        path: str,
        segments: Mapping[str, str] | None = None,
        *,
        query: Query | None = None,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        opc_request_id: str | None = None,
    ) -> Response:
        """Send a signed request for an operation that has no method here, and return what the service answers.

        Limits, retries, errors and events are those of the other methods. POST and PATCH are sent again only if the
        service cannot have acted on the first request: no connection was made, or the answer was 401, 409 or 429. With
        a header ``opc-retry-token``, for operations that know it, they are retried like GET.

        ```python
        async with SessionsClient.from_config() as client:
            path = "workspaces/{workspaceKey}/notebook/api/sessions"
            response = await client.request("GET", path, {"workspaceKey": "analytics"}, query={"limit": "10"})
            print(response.status, response.json())
        ```

        Args:
            method: ``GET``, ``HEAD``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
            path: counted from the platform, such as ``workspaces/{workspaceKey}/notebook/api/sessions``; from the host
                if it begins with ``/``. Sent as it is, but for the names in braces.
            segments: values for those names; they are percent-encoded. Events and errors show the names instead,
                except that ``workspaceKey`` is taken for the workspace.
            query: parameters; a list repeats its name, ``None`` leaves it out.
            json: the body, to be encoded. ``None`` is no body; JSON's null is ``body=b"null"``.
            body: the body itself; its ``content-type`` is ``application/octet-stream`` unless *headers* names another.
            headers: beside those of the signature and the connection, which cannot be given.
            opc_request_id: to trace the request by; made up if missing.

        Returns any 2xx, and a 304 to an ``if-none-match``. Raises what `list_sessions` raises.
        """
        platform = self._workspaces_path.removesuffix("/workspaces"), self._platform_route
        segments = segments or {}
        try:
            request, route = prepare(platform, method, path, segments, query or {}, json, body, headers or {})
        except (TypeError, ValueError) as error:
            raise error.with_traceback(None) from None
        finally:  # tools that print the variables of a traceback must not find what may be secret
            del json, body, headers
        key = segments.get("workspaceKey")
        workspace = None if key is None else WorkspaceRef(key)
        async with Call(
            self._transport, "request", workspace, opc_request_id=opc_request_id, method=method, route=route
        ) as call:
            return await call.send(request, raw_response)

    async def clock_skew(self) -> timedelta | None:
        """Ask the service once, and say how far its clock is ahead of ours; ``None`` if it does not tell the time.

        Up to five minutes either way are harmless ("Request Signatures"). Raises what `list_sessions` raises.
        """
        return await self._api.clock_skew()

    async def aclose(self) -> None:
        """Close the connections this client opened; calling it again does nothing."""
        if self._owns_pool:
            await self._transport.pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    if not TYPE_CHECKING:  # a type checker refuses 'with' without these

        def __enter__(self) -> NoReturn:
            raise TypeError("use 'async with' instead of 'with': closing a client must be awaited")

        __exit__ = __enter__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SessionsClient is not pickled: it holds connections and credentials; build one per process")

    def __repr__(self) -> str:
        return f"<SessionsClient {self._transport.base_url}{self._workspaces_path}>"
