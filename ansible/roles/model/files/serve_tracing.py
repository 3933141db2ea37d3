"""Span exporter of Ray Serve: every component sends its spans to an OTLP endpoint.

Ray Serve imports this through RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH=serve_tracing:exporter; the
address is the standard OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, the service name OTEL_SERVICE_NAME.
"""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def exporter() -> list[SpanProcessor]:
    """Return the processors that Ray Serve adds to its tracer provider."""
    return [BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000)]
