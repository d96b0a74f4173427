"""OpenTelemetry spans and metrics from a client's events. Needs the extra `otel`; the package never imports it.

```python
from aidp_sessions.otel import OpenTelemetry

async with SessionsClient.from_config(on_event=OpenTelemetry()) as client:
    await client.sessions().collect()
```

Names and units are those of OpenTelemetry's semantic conventions for HTTP clients:

- A span for each call, such as `aidp.list_sessions`, with an event for each retry. Its attributes are `aidp.operation`,
  `aidp.platform.id`, `aidp.workspace.key`, `aidp.attempts` and `error.type`.
- Inside it, a span of kind CLIENT for each request, named by method and route, with `url.template`,
  `http.request.resend_count`, `aidp.opc_request_id` and the other attributes of the conventions.
- The histogram `http.client.request.duration` in seconds, `http.client.active_requests`, and the counters
  `aidp.client.calls` and `aidp.client.retries`.

With ``opentelemetry-exporter-prometheus``, this program serves them to Prometheus, and the number of idle kernels of
each workspace:

```python
import asyncio
import os
from datetime import timedelta

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server

from aidp_sessions import SessionsClient, WorkspaceOutcome
from aidp_sessions.otel import OpenTelemetry

idle: list[metrics.Observation] = []


def observe(options: metrics.CallbackOptions) -> list[metrics.Observation]:
    return idle.copy()


def count(outcome: WorkspaceOutcome) -> metrics.Observation:
    kernels = {session.kernel.id for session in outcome.sessions if session.kernel}
    return metrics.Observation(len(kernels), {"workspace": outcome.workspace_name, "key": outcome.workspace_key})


async def main() -> None:
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    metrics.get_meter("kernels").create_observable_gauge("aidp.kernels.idle", [observe], "{kernel}")
    start_http_server(int(os.environ.get("METRICS_PORT", "9464")))
    async with SessionsClient.from_config(on_event=OpenTelemetry()) as client:
        stream = client.sessions().idle_since(timedelta(hours=2))
        while True:
            idle[:] = [count(outcome) async for outcome in stream.by_workspace() if outcome.error is None]
            await asyncio.sleep(300)


if __name__ == "__main__":
    asyncio.run(main())
```
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from ._version import __version__
from .endpoints import DEFAULT_PORTS
from .errors import AidpError
from .events import AttemptEnded, AttemptStarted, CallEnded, CallInfo, CallStarted, RetryScheduled

try:
    from opentelemetry import metrics, trace
except ImportError as error:
    raise ImportError("aidp_sessions.otel needs OpenTelemetry's API: pip install 'aidp-sessions[otel]'") from error

if TYPE_CHECKING:
    from .events import Event

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


@attrs.define
class _Open:
    """A call under way.

    Attributes:
        common: attributes of all its requests.
        attempt: the span of the request that was sent last.
        resends: how often the request to come was sent before.
    """

    span: trace.Span
    common: dict[str, str | int]
    attempt: trace.Span = trace.INVALID_SPAN
    resends: int = 0


class OpenTelemetry:
    """A listener that makes spans and metrics: ``SessionsClient(…, on_event=OpenTelemetry())``.

    Any number of clients may share one. A call's parent is the span that is current where the call starts. Spans carry
    the workspace and the request ids; metrics do not, so that there are few of them. ``url.full`` is left out, because
    it would hold the paths of notebooks; queries, headers and bodies are left out too. Requests carry no
    ``traceparent``.

    Args:
        tracer_provider: where spans go; by default the global one.
        meter_provider: where metrics go; by default the global one.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("aidp_sessions", __version__, tracer_provider)
        meter = metrics.get_meter("aidp_sessions", __version__, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )
        self._calls = meter.create_counter("aidp.client.calls", "{call}", "Calls that have ended.")
        self._retries = meter.create_counter("aidp.client.retries", "{retry}", "Requests to be sent again.")
        self._open: dict[CallInfo, _Open] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case CallStarted(call=call):
                self._start_call(call)
            case AttemptStarted(call=call):
                self._start_attempt(event, self._open[call])
            case AttemptEnded(call=call):
                self._end_attempt(event, self._open[call])
            case RetryScheduled(call=call, delay=delay, error=error):
                self._open[call].span.add_event("retry scheduled", {"aidp.retry.delay": delay})
                self._retries.add(1, {"aidp.operation": call.operation, "error.type": _error_type(error)})
            case CallEnded(call=call):
                self._end_call(event, self._open.pop(call))

    def _start_call(self, call: CallInfo) -> None:
        attributes = {"aidp.operation": call.operation, "aidp.platform.id": call.platform_id}
        if call.workspace_key is not None:
            attributes["aidp.workspace.key"] = call.workspace_key
        span = self._tracer.start_span(f"aidp.{call.operation}", attributes=attributes)
        common = {"http.request.method": call.method, "url.template": call.route, **_server(call.server)}
        self._open[call] = _Open(span, common)

    def _start_attempt(self, event: AttemptStarted, state: _Open) -> None:
        attributes = {**state.common, "aidp.opc_request_id": event.opc_request_id}
        if state.resends:
            attributes["http.request.resend_count"] = state.resends
        state.attempt = self._tracer.start_span(
            f"{event.call.method} {event.call.route}",
            trace.set_span_in_context(state.span),
            trace.SpanKind.CLIENT,
            attributes,
        )
        self._active.add(1, state.common)

    def _end_attempt(self, event: AttemptEnded, state: _Open) -> None:
        self._active.add(-1, state.common)
        outcome: dict[str, str | int] = {}
        if event.status is not None:
            outcome["http.response.status_code"] = event.status
        if event.error is not None or event.status is None:
            outcome["error.type"] = "cancelled" if event.error is None else _error_type(event.error)
            state.attempt.set_status(trace.StatusCode.ERROR)
        state.resends = 0 if event.error is None else state.resends + 1
        state.attempt.set_attributes(outcome)
        state.attempt.end()
        self._duration.record(event.seconds, {**state.common, **outcome})

    def _end_call(self, event: CallEnded, state: _Open) -> None:
        attributes = {"aidp.operation": event.call.operation}
        if event.error is not None:
            attributes["error.type"] = _error_type(event.error)
            description = str(event.error) if isinstance(event.error, AidpError) else None
            state.span.set_status(trace.StatusCode.ERROR, description)
        state.span.set_attributes({**attributes, "aidp.attempts": event.attempts})
        state.span.end()
        self._calls.add(1, attributes)


@lru_cache(maxsize=16)
def _server(url: str) -> dict[str, str | int]:
    parts = urlsplit(url)
    return {
        "server.address": parts.hostname or "",
        "server.port": parts.port or DEFAULT_PORTS[parts.scheme],
        "url.scheme": parts.scheme,
    }


def _error_type(error: BaseException) -> str:
    """The status where it is the error, otherwise the class."""
    status = error.status if isinstance(error, AidpError) else None
    return str(status) if status is not None and status >= 400 else type(error).__qualname__
