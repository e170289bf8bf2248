"""Envoy's ext_proc messages from and to domain types.

Constant answers are serialised once, here: on the request path only what depends on the decision
is built.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from google.protobuf.message import DecodeError

from pilotage_api.address import canonical_place
from pilotage_api.calls import ACCEPT_ENCODING, STEERING_HEADERS
from pilotage_api.timeouts import PASSED_ON_TIMEOUT_HEADER
from pilotage_extproc.domain.refusals import ErrorShape, RequestRefused
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.ext_proc.wire import begun, read_varint
from pilotage_extproc.transport.contract import CallRefused, Status

BODY_CHUNK_BYTES = 62_000
"""Largest streamed body chunk the endpoint-picker protocol allows."""

INPUT_HEADERS = (
    *contract.PICKER_INPUTS,
    *STEERING_HEADERS,
    contract.SUBSET_KEY,
    contract.DESTINATION_SERVED,
    PASSED_ON_TIMEOUT_HEADER,
    ACCEPT_ENCODING,
)
"""Meant for the picker, for steering, or (the last) in the way of reading usage: no server sees them."""
_INPUT_PREFIXES = (contract.DESTINATION, contract.OWN_PREFIX)

_END_OF_STREAM = b"\x10\x01"  # HttpBody.end_of_stream (2), StreamedBodyResponse.end_of_stream (2): true
_REQUEST_BODY = b"\x22"  # ProcessingRequest.request_body (4)
_BODY = b"\x0a"  # HttpBody.body (1)
_BESIDE_BODY = (
    b"\x42\x4a\x5a"  # ProcessingRequest.metadata_context (8), .attributes (9), .protocol_config (11)
)
OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class BodyMode(IntEnum):
    """`ProcessingMode.BodySendMode` of Envoy."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2
    BUFFERED_PARTIAL = 3
    FULL_DUPLEX_STREAMED = 4


def read_message(raw: bytes) -> ext_proc_pb2.ProcessingRequest:
    """What a gateway sent. Raises CallRefused: INVALID_ARGUMENT."""
    try:
        return ext_proc_pb2.ProcessingRequest.FromString(raw)
    except DecodeError:
        raise CallRefused(Status.INVALID_ARGUMENT, "no ProcessingRequest") from None


BODY_MODES = {int(mode): mode for mode in BodyMode}
"""By what a message has for them."""

Chunk = tuple[bytes | None, bool, bool]
"""What a message brings of a request's body: None where it is another message; whether it is the last of it;
whether it is trailers."""


def read_chunk(raw: bytes) -> Chunk:
    """What a gateway sent after a request's headers. Raises CallRefused: INVALID_ARGUMENT."""
    written = _plain_chunk(raw)
    if written is not None:
        return written
    message = read_message(raw)
    if message.HasField("request_body"):
        body = message.request_body
        return body.body, body.end_of_stream or body.end_of_stream_without_message, False
    return None, False, message.HasField("request_trailers")


def _plain_chunk(raw: bytes) -> Chunk | None:
    """Of a `request_body` as Envoy writes it; None for all else, and for other spellings.

    A large body is copied once here, not into a message object and out of it again.
    """
    if raw[:1] != _REQUEST_BODY:
        return None
    size, at = read_varint(raw, 1)
    after = rest = at + size
    length = len(raw)
    while rest < length and raw[rest] in _BESIDE_BODY:
        size, rest = read_varint(raw, rest + 1)
        rest += size
    if rest != length or raw[at : at + 1] != _BODY:
        return None
    size, at = read_varint(raw, at + 1)
    end = at + size
    if end == after:
        return raw[at:end], False, False
    return (raw[at:end], True, False) if raw[end:after] == _END_OF_STREAM else None


def further_inputs(headers: Mapping[str, str]) -> list[str]:
    """Headers of a request that are stripped by their beginning: destinations, and what is ours to set.

    The bundled Envoy has dropped them before; other gateways may not.
    """
    names = "\n".join(headers)
    if contract.DESTINATION not in names and contract.OWN_PREFIX not in names:
        return []  # as with most requests: one look at all names is less than one at each
    return [
        name
        for name in headers
        if name.startswith(_INPUT_PREFIXES) and name != contract.DESTINATION and name not in INPUT_HEADERS
    ]


def header_map(headers: Sequence[base_pb2.HeaderValue]) -> dict[str, str]:
    """Headers of a message by lower-case name; the values of a repeated one are joined by a comma."""
    plain = {header.key: header.raw_value for header in headers}
    values = plain.values()
    if len(plain) != len(headers) or b"" in values:
        return _joined(headers)
    # decoded together: a call for each costs more than most of them are long
    try:
        texts = b"\0".join(values).decode().split("\0")
    except UnicodeDecodeError:
        return _joined(headers)
    return dict(zip(plain, texts, strict=True)) if len(texts) == len(plain) else _joined(headers)


def _joined(headers: Sequence[base_pb2.HeaderValue]) -> dict[str, str]:
    raw: dict[str, bytes] = {}
    for header in headers:
        key = header.key
        value = header.raw_value or header.value.encode()
        raw[key] = raw[key] + b"," + value if key in raw else value
    return {key: _text(value) for key, value in raw.items()}


def _text(raw: bytes) -> str:
    """UTF-8, or Latin-1 where it is not."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def subset_hint(message: ext_proc_pb2.ProcessingRequest) -> tuple[str, ...] | None:
    """Addresses the gateway allows; None where it says nothing, empty where it allows none.

    Gateways send a list of addresses, one string with commas, or a list whose elements have commas.
    """
    namespace = message.metadata_context.filter_metadata.get(contract.SUBSET_NAMESPACE)
    if namespace is None or contract.SUBSET_KEY not in namespace.fields:
        return None
    value = namespace.fields[contract.SUBSET_KEY]
    texts = (
        [item.string_value for item in value.list_value.values]
        if value.HasField("list_value")
        else [value.string_value]
    )
    parts = [one.strip() for text in texts for one in text.split(",")]
    return tuple([canonical_place(part) for part in parts if part])


def served_endpoint(message: ext_proc_pb2.ProcessingRequest) -> str | None:
    """The endpoint that in fact answered, where the gateway says it with the response headers."""
    namespace = message.metadata_context.filter_metadata.get(contract.LB_NAMESPACE)
    if namespace is None or contract.DESTINATION_SERVED not in namespace.fields:
        return None
    return canonical_place(namespace.fields[contract.DESTINATION_SERVED].string_value) or None


def _serialized(response: ext_proc_pb2.ProcessingResponse) -> bytes:
    serialized: bytes = response.SerializeToString()
    return serialized


def _add_headers(mutation: ext_proc_pb2.HeaderMutation, headers: Mapping[str, str]) -> None:
    for key, value in headers.items():
        option = mutation.set_headers.add(append_action=OVERWRITE)
        option.header.key = key
        option.header.raw_value = value.encode()


def request_headers_continue(remove: Sequence[str] = ()) -> bytes:
    """Answer to request headers whose body is still to come: strip what is not for model servers."""
    response = ext_proc_pb2.ProcessingResponse()
    removed = response.request_headers.response.header_mutation.remove_headers
    removed.extend((contract.DESTINATION, *INPUT_HEADERS, *remove))
    return _serialized(response)


def _with_answer() -> bytes:
    """Added to an answer to request headers: the response passes here too, unless the stream has ended."""
    response = ext_proc_pb2.ProcessingResponse()
    mode, override = processing_mode_pb2.ProcessingMode, response.mode_override
    override.request_header_mode = override.response_header_mode = mode.SEND
    override.request_body_mode = mode.BUFFERED
    override.request_trailer_mode = mode.SKIP
    override.response_body_mode = mode.FULL_DUPLEX_STREAMED
    override.response_trailer_mode = mode.SEND
    return _serialized(response)


def _constant(field: str) -> bytes:
    response = ext_proc_pb2.ProcessingResponse()
    getattr(response, field).SetInParent()
    if field.endswith(("headers", "body")):
        getattr(response, field).response.SetInParent()
    return _serialized(response)


def wait_for(seconds: float) -> bytes:
    """Ask the gateway to wait so long for the answer to the message it has sent last; once a message."""
    response = ext_proc_pb2.ProcessingResponse()
    response.override_message_timeout.FromMilliseconds(max(1, round(seconds * 1000)))
    return _serialized(response)


WITH_ANSWER = _with_answer()
CONTINUE_REQUEST_HEADERS = request_headers_continue()
CONTINUE_ATTEMPT_HEADERS = _constant("request_headers")
CONTINUE_REQUEST_TRAILERS = _constant("request_trailers")
CONTINUE_RESPONSE_HEADERS = _constant("response_headers")
CONTINUE_RESPONSE_BODY = _constant("response_body")
CONTINUE_RESPONSE_TRAILERS = _constant("response_trailers")


def response_headers_with(headers: Mapping[str, str]) -> bytes:
    """Continue with response headers, setting some."""
    response = ext_proc_pb2.ProcessingResponse()
    _add_headers(response.response_headers.response.header_mutation, headers)
    return _serialized(response)


def streamed_chunks(body: bytes, *, end_of_stream: bool, response: bool) -> Iterator[bytes]:
    """Full-duplex body answers of at most 62,000 bytes each; an empty body still yields one.

    `end_of_stream` is set on the last chunk only. `response` tells which direction.
    """
    whole = 0
    if len(body) > BODY_CHUNK_BYTES:
        before, view = _CHUNK_OF_RESPONSE if response else _CHUNK_OF_REQUEST, memoryview(body)
        for whole in range(BODY_CHUNK_BYTES, len(body), BODY_CHUNK_BYTES):
            yield b"".join((before, view[whole - BODY_CHUNK_BYTES : whole]))
    rest = body[whole:] if whole else body
    last = _END_OF_STREAM if end_of_stream else b""
    yield b"".join((_before_chunk(len(rest), len(last), response=response), rest, last))


def _before_chunk(size: int, more: int, *, response: bool) -> bytes:
    """What stands before a chunk of so many bytes, behind which come `more` of its message."""
    # response_body (4) or request_body (3), BodyResponse.response (1), CommonResponse.body_mutation (3),
    # BodyMutation.streamed_response (3), StreamedBodyResponse.body (1) and .end_of_stream (2)
    before = begun(1, size) if size else b""
    for number in (3, 3, 1, 4 if response else 3):
        before = begun(number, len(before) + size + more) + before
    return before


_CHUNK_OF_REQUEST = _before_chunk(BODY_CHUNK_BYTES, 0, response=False)
_CHUNK_OF_RESPONSE = _before_chunk(BODY_CHUNK_BYTES, 0, response=True)


def immediate(
    body: bytes, *, http_status: int, headers: Mapping[str, str] | None = None, details: str = "answered"
) -> bytes:
    """An answer given by the gateway itself; JSON unless `headers` say otherwise."""
    response = ext_proc_pb2.ProcessingResponse()
    answer = response.immediate_response
    answer.status.code = http_status
    answer.body = body
    answer.details = f"{contract.OWN_ANSWER_DETAILS}{details}"
    _add_headers(answer.headers, {"content-type": "application/json", **(headers or {})})
    return _serialized(response)


def refusal(
    refused: RequestRefused,
    shape: ErrorShape = ErrorShape.OPENAI,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A refused request's answer: an error object of the API that its client speaks."""
    return immediate(
        refused.body(shape, request_id),
        http_status=refused.reason.http_status,
        headers={**refused.headers(), **(headers or {})},
        details=refused.reason.code,
    )
