"""Spans and metrics that the real SDK exports follow the semantic conventions for HTTP clients."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from aidp_sessions import CallEnded, CallInfo, CallStarted, NotFoundError, RetryPolicy, ServiceError, SessionsClient
from aidp_sessions.otel import OpenTelemetry
from aidp_sessions.testing import Fault, LocalService

from ..helpers.raw_server import eventually
from ..transport.test_events import FAST, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTE: Final = SESSIONS
NAME: Final = f"GET {ROUTE}"


class Order(SpanProcessor):
    """Records the spans that start."""

    def __init__(self) -> None:
        self.started: list[int] = []

    def on_start(self, span: Span, parent_context: object = None) -> None:
        self.started.append(span.context.span_id)


@attrs.frozen
class Telemetry:
    """The spans and metrics that the SDK has collected."""

    listener: OpenTelemetry
    tracers: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    started: list[int]

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans, in the order in which they started; none is open."""
        ended = {span.context.span_id: span for span in self.exporter.get_finished_spans()}
        assert ended.keys() == set(self.started)
        return [ended[span_id] for span_id in self.started]

    def points(self, name: str) -> dict[frozenset[tuple[str, object]], NumberDataPoint | HistogramDataPoint]:
        """The data points of a metric by their attributes."""
        data: Any = self.reader.get_metrics_data()
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        (metric,) = (metric for metric in metrics if metric.name == name)
        return {frozenset(point.attributes.items()): point for point in metric.data.data_points}

    def totals(self, name: str) -> dict[frozenset[tuple[str, object]], int | float]:
        points = self.points(name).items()
        return {key: point.count if isinstance(point, HistogramDataPoint) else point.value for key, point in points}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    order = Order()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    tracers.add_span_processor(order)
    listener = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    yield Telemetry(listener, tracers, exporter, reader, order.started)
    meters.shutdown()
    tracers.shutdown()


def client_of(service: LocalService, telemetry: Telemetry, **options: Any) -> SessionsClient:
    for key in ("a", "b", "c"):
        service.add_workspace(key)
    return service.client(**{"on_event": telemetry.listener, "clock": FAST, **options})


def common(service: LocalService) -> dict[str, object]:
    return {
        "http.request.method": "GET",
        "url.template": ROUTE,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": int(service.url.rpartition(":")[2]),
    }


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_a_call_is_an_internal_span_and_each_attempt_a_client_span_below_it(
    service: LocalService, telemetry: Telemetry
) -> None:
    service.fail("a", Fault(status=429, retry_after=1))
    async with client_of(service, telemetry) as client:
        with telemetry.tracers.get_tracer("mine").start_as_current_span("mine"):
            await client.list_sessions("a", path="secret.ipynb", opc_request_id="id")

    mine, call, first, second = telemetry.spans
    assert [(span.name, span.kind) for span in (call, first, second)] == [
        ("aidp.list_sessions", SpanKind.INTERNAL),
        (NAME, SpanKind.CLIENT),
        (NAME, SpanKind.CLIENT),
    ]
    assert [span.parent and span.parent.span_id for span in (call, first, second)] == [
        *(mine.context.span_id, call.context.span_id, call.context.span_id)
    ]
    assert attributes(call) == {
        "aidp.operation": "list_sessions",
        "aidp.platform.id": service.platform_id,
        "aidp.workspace.key": "a",
        "aidp.attempts": 2,
    }
    assert [(event.name, dict(event.attributes or {})) for event in call.events] == [
        ("retry scheduled", {"aidp.retry.delay": 1.25})
    ]
    assert attributes(first) == {
        **common(service),
        "aidp.opc_request_id": "id",
        "http.response.status_code": 429,
        "error.type": "429",
    }
    assert attributes(second) == {
        **common(service),
        "aidp.opc_request_id": "id-2",
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
    }
    assert [span.status.status_code for span in (call, first, second)] == [
        *(StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET)
    ]


async def test_the_calls_of_a_fan_out_are_below_the_span_in_which_it_began(
    service: LocalService, telemetry: Telemetry
) -> None:
    async with client_of(service, telemetry) as client:
        with telemetry.tracers.get_tracer("mine").start_as_current_span("mine") as mine:
            await client.sessions().collect()

    below = Counter(span.name for span in telemetry.spans if span.parent == mine.get_span_context())
    assert below == {"aidp.list_workspaces": 2, "aidp.list_sessions": 3}
    assert {span.context.trace_id for span in telemetry.spans} == {mine.get_span_context().trace_id}


async def test_a_further_page_is_no_resend(telemetry: Telemetry) -> None:
    async with LocalService(session_page_size=1) as service:
        async with client_of(service, telemetry) as client:
            service.set_sessions("a", [{"id": "1"}, {"id": "2"}])
            service.fail("a", Fault(status=503), Fault(status=503), Fault(), Fault(status=503))
            await client.list_sessions("a")

    resends = [attributes(span).get("http.request.resend_count") for span in telemetry.spans[1:]]
    assert resends == [None, 1, 2, None, 1]


async def test_the_span_of_a_failed_call_has_its_error(service: LocalService, telemetry: Telemetry) -> None:
    async with client_of(service, telemetry) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.list_sessions("gone")

    call, attempt = telemetry.spans
    assert (call.status.status_code, call.status.description) == (StatusCode.ERROR, str(caught.value))
    assert attributes(call)["error.type"] == attributes(attempt)["error.type"] == "404"
    assert (attempt.status.status_code, attempt.status.description) == (StatusCode.ERROR, None)


async def test_a_failure_without_a_status_is_named_by_its_class(service: LocalService, telemetry: Telemetry) -> None:
    service.fail("a", Fault(cut="before_headers"), Fault(body=b"{}"))
    async with client_of(service, telemetry, retry=RetryPolicy.none()) as client:
        for _ in range(2):
            await asyncio.gather(client.list_sessions("a"), return_exceptions=True)

    types = [(attributes(s).get("error.type"), attributes(s).get("http.response.status_code")) for s in telemetry.spans]
    assert types == [
        *(("ConnectionFailedError", None), ("ConnectionFailedError", None), ("ResponseDecodeError", None), (None, 200))
    ]


async def test_a_cancelled_call_closes_its_spans(service: LocalService, telemetry: Telemetry) -> None:
    service.fail("a", Fault(delay=math.inf))
    async with client_of(service, telemetry) as client:
        call = asyncio.create_task(client.list_sessions("a"))
        await eventually(lambda: service.in_flight == 1)
        assert telemetry.totals("http.client.active_requests") == {frozenset(common(service).items()): 1}
        call.cancel()
        await asyncio.wait([call])

    assert [attributes(span)["error.type"] for span in telemetry.spans] == ["CancelledError", "cancelled"]
    assert telemetry.totals("http.client.active_requests") == {frozenset(common(service).items()): 0}


async def test_metrics_count_and_time_every_request(service: LocalService, telemetry: Telemetry) -> None:
    service.fail("a", Fault(status=503), Fault(cut="before_headers"))
    async with client_of(service, telemetry) as client:
        await client.sessions(["a", "b", "c"]).collect()
        with pytest.raises(NotFoundError):
            await client.list_sessions("gone")

    def key(**more: object) -> frozenset[tuple[str, object]]:
        return frozenset({**common(service), **{name.replace("__", "."): more[name] for name in more}}.items())

    assert telemetry.totals("http.client.request.duration") == {
        key(http__response__status_code=200): 3,
        key(http__response__status_code=404, error__type="404"): 1,
        key(http__response__status_code=503, error__type="503"): 1,
        key(error__type="ConnectionFailedError"): 1,
    }
    bounds = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    points = telemetry.points("http.client.request.duration").values()
    assert {tuple(getattr(point, "explicit_bounds", ())) for point in points} == {bounds}
    assert telemetry.totals("http.client.active_requests") == {key(): 0}
    operation = ("aidp.operation", "list_sessions")
    assert telemetry.totals("aidp.client.calls") == {
        frozenset({operation}): 3,
        frozenset({operation, ("error.type", "404")}): 1,
    }
    assert telemetry.totals("aidp.client.retries") == {
        frozenset({operation, ("error.type", "503")}): 1,
        frozenset({operation, ("error.type", "ConnectionFailedError")}): 1,
    }


async def test_a_request_is_named_by_its_template(service: LocalService, telemetry: Telemetry) -> None:
    service.answer("DELETE", "x/1", status=204)
    async with client_of(service, telemetry) as client:
        await client.request("DELETE", "x/{id}", {"id": "1"}, query={"secret": "s"})

    call, attempt = telemetry.spans
    assert (call.name, attempt.name) == (
        *("aidp.request", "DELETE /20260430/aiDataPlatforms/{aiDataPlatformId}/x/{id}"),
    )
    assert "secret" not in "".join(span.to_json() for span in telemetry.spans)


@pytest.mark.parametrize(
    ("server", "address", "port"),
    [
        ("https://aidp.example", "aidp.example", 443),
        ("http://localhost", "localhost", 80),
        ("https://[::1]:8443", "::1", 8443),
    ],
)
def test_a_server_always_has_a_port(telemetry: Telemetry, server: str, address: str, port: int) -> None:
    call = CallInfo(
        operation="request",
        workspace_key=None,
        method="GET",
        route="/x",
        server=server,
        platform_id="p",
        opc_request_id="id",
    )
    telemetry.listener(CallStarted(call=call))
    state = telemetry.listener._open[call]
    telemetry.listener(CallEnded(call=call, seconds=0.0, attempts=0, error=ServiceError("no")))

    assert (state.common["server.address"], state.common["server.port"]) == (address, port)
    assert telemetry.listener._open == {}


async def test_without_providers_the_global_ones_are_used_and_nothing_fails(service: LocalService) -> None:
    service.add_workspace("a")
    async with service.client(on_event=OpenTelemetry()) as client:
        assert len(await client.list_sessions("a")) == 0


def test_without_the_extra_the_import_names_it() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import aidp_sessions.otel"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "ImportError: aidp_sessions.otel needs OpenTelemetry's API: pip install 'aidp-sessions[otel]'"
    )
