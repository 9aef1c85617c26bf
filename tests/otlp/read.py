"""Reads export requests with the classes of opentelemetry-proto, strictly: no unknown field, nothing missing."""

import pathlib
import sys

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def known(message):
    assert len(UnknownFieldSet(message)) == 0, message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in [value] if isinstance(value, Message) else value:
            known(one)


spans, traces = 0, set()
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    request = ExportTraceServiceRequest.FromString(path.read_bytes())
    known(request)
    assert request.SerializeToString()
    for resource_spans in request.resource_spans:
        names = [attribute.key for attribute in resource_spans.resource.attributes]
        assert names == ["service.name", "service.version", "service.instance.id"], names
        for scope_spans in resource_spans.scope_spans:
            assert scope_spans.scope.name == "tollgate" and scope_spans.schema_url
            for span in scope_spans.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8, span
                assert span.kind in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT), span
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
                assert span.status.code == Status.STATUS_CODE_UNSET, span
                keys = [attribute.key for attribute in span.attributes]
                assert len(set(keys)) == len(keys), keys
                if span.kind == Span.SPAN_KIND_CLIENT:
                    assert "gen_ai.input.messages" in keys and "gen_ai.output.messages" in keys, keys
                spans += 1
                traces.add(span.trace_id.hex())
assert len(traces) == 1, traces
print(f"{spans} spans, trace {traces.pop()}")
