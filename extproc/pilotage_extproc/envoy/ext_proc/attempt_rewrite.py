"""Later attempts: the model name rewritten for the endpoint Envoy chose for this attempt.

An upstream ext_proc filter, skipped on the first attempt, asks here. It is stateless: the decision's
metadata travels with the request, so any process can answer. The body starts again from the first
attempt's on each attempt; header changes of one attempt are still there in the next, so every header
is set every time.
"""

from collections.abc import Callable

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.dialects.splice import splice_model
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.stream import Stream

_ATTRIBUTES = "envoy.filters.http.ext_proc"
_UPSTREAM_ADDRESS = "upstream.address"


async def serve_rebind(stream: Stream, on_rebound: Callable[[], None]) -> None:
    """One attempt's stream: head, then body."""
    model: str | None = None
    while True:
        raw = await stream.read()
        if raw is grpc.aio.EOF:
            return
        message = ext_proc_pb2.ProcessingRequest.FromString(raw)
        if message.HasField("request_headers"):
            model = upstream_model(message)
            await stream.write(messages.CONTINUE_REBIND_HEADERS)
            if message.request_headers.end_of_stream:
                return
        elif message.HasField("request_body"):
            body = message.request_body.body
            changed = _rebound(body, model)
            if changed is not None:
                on_rebound()
            await stream.write(_body_answer(changed, len(body if changed is None else changed)))
            return


def upstream_model(message: ext_proc_pb2.ProcessingRequest) -> str | None:
    """The model for the attempt's endpoint, where the decision's targets differ in theirs."""
    if _ATTRIBUTES not in message.attributes:
        return None
    address = message.attributes[_ATTRIBUTES].fields[_UPSTREAM_ADDRESS].string_value
    namespace = message.metadata_context.filter_metadata.get(messages.PILOTAGE_NAMESPACE)
    if namespace is None or "rebind" not in namespace.fields:
        return None
    models = namespace.fields["rebind"].struct_value.fields
    return models[address].string_value if address in models else None


def _rebound(body: bytes, model: str | None) -> bytes | None:
    if model is None:
        return None
    try:
        return splice_model(body, model)
    except (RequestRefused, KeyError):
        return None  # a body that is not ours goes on as it is


def _body_answer(changed: bytes | None, length: int) -> bytes:
    """The body, where it changes, and in any case its length: an earlier attempt may have left another."""
    response = ext_proc_pb2.ProcessingResponse()
    common = response.request_body.response
    if changed is not None:
        common.body_mutation.body = changed
    option = common.header_mutation.set_headers.add(append_action=messages.OVERWRITE)
    option.header.key = "content-length"
    option.header.raw_value = str(length).encode()
    serialised: bytes = response.SerializeToString()
    return serialised
