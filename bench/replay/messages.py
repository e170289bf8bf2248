"""What an Envoy sends, as bytes of HTTP/2: made before anything is measured."""

from collections.abc import Sequence
from typing import Final

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from hpack import Encoder

from pilotage_extproc.envoy import access_log, contract
from pilotage_extproc.server.grpc_port import EXT_PROC_SERVICE
from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import MESSAGE_HEAD, frame

CHUNK_BYTES: Final = 32 << 10
"""Of a full-duplex body, as it comes to Envoy."""
_BUFFERED, _FULL_DUPLEX = 2, 4
_HEADERS: Final = (
    (":authority", "gateway.example"),
    (":path", "/v1/chat/completions"),
    (":method", "POST"),
    (":scheme", "http"),
    ("user-agent", "OpenAI/Python 2.1.0"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("authorization", "Bearer sk-0123456789abcdef0123456789abcdef"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", "5f0f6a0e-6f0c-4b7b-9a53-0d8ff0d4a3b1"),
)


def preface() -> bytes:
    """The beginning of a connection whose peer takes all that is sent."""
    settings = frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 28})
    return frames.PREFACE + settings + frames.window_update(0, 1 << 30)


class HeadBlocks:
    """Heads of calls; the second of a kind is all indexed, as Envoy sends it."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def call(self, path: str, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
        """A header block."""
        head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "picker")]
        head += [("te", "trailers"), ("content-type", "application/grpc"), *metadata]
        return self._encoder.encode(head)

    def ext_proc(self, *, bundled: bool) -> bytes:
        """Of a request's stream."""
        own = [(contract.ENVOY_HEADER, "replay"), (contract.CONTRACT_HEADER, contract.CONTRACT)]
        return self.call(f"/{EXT_PROC_SERVICE}/Process", own if bundled else ())

    def access_log(self) -> bytes:
        """Of the access log's stream."""
        return self.call(f"/{access_log.SERVICE}/StreamAccessLogs")


def opened(stream: int, block: bytes) -> bytes:
    """A stream begins."""
    return frame(frames.HEADERS, frames.END_HEADERS, stream, block)


def said(stream: int, message: bytes) -> bytes:
    """A message on a stream, cut into frames."""
    data = MESSAGE_HEAD.pack(0, len(message)) + message
    size = frames.FRAME_BYTES
    return b"".join([frame(frames.DATA, 0, stream, data[at : at + size]) for at in range(0, len(data), size)])


def request_head(body_bytes: int, *, bundled: bool) -> bytes:
    """The first message of a request."""
    message = ext_proc_pb2.ProcessingRequest()
    message.protocol_config.request_body_mode = _BUFFERED if bundled else _FULL_DUPLEX
    headers = message.request_headers.headers.headers
    for key, value in (*_HEADERS, ("content-length", str(body_bytes))):
        headers.add(key=key, raw_value=value.encode())
    return bytes(message.SerializeToString())


def request_body(body: bytes, *, last: bool = True) -> bytes:
    """A body, or a chunk of one."""
    message = ext_proc_pb2.ProcessingRequest()
    message.request_body.body = body
    message.request_body.end_of_stream = last
    return bytes(message.SerializeToString())


def request_chunks(body: bytes) -> list[bytes]:
    """A body as full-duplex messages."""
    starts = range(0, len(body), CHUNK_BYTES)
    return [request_body(body[at : at + CHUNK_BYTES], last=at + CHUNK_BYTES >= len(body)) for at in starts]


def is_last(answer: bytes, *, bundled: bool) -> bool:
    """Whether a stream is answered: by the pick itself, or by the end of the body that follows it."""
    message = ext_proc_pb2.ProcessingResponse.FromString(answer)
    if bundled:
        return bool(message.HasField("dynamic_metadata"))
    return bool(message.request_body.response.body_mutation.streamed_response.end_of_stream)


def log_entry(answers: Sequence[bytes]) -> bytes:
    """The access-log message of a request with these answers: its first endpoint has served it."""
    pick = ext_proc_pb2.ProcessingResponse.FromString(answers[-1]).dynamic_metadata.fields
    ours = pick[contract.PILOTAGE_NAMESPACE].struct_value
    where = pick[contract.LB_NAMESPACE].struct_value.fields[contract.DESTINATION].string_value
    host, _, port = where.partition(",")[0].rpartition(":")
    message = als_pb2.StreamAccessLogsMessage()
    entry = message.http_logs.log_entry.add()
    common = entry.common_properties
    common.access_log_type = accesslog_pb2.DownstreamEnd
    common.metadata.filter_metadata[contract.PILOTAGE_NAMESPACE].CopyFrom(ours)
    common.metadata.filter_metadata[contract.USAGE_NAMESPACE].update(
        {contract.USAGE_INPUT: 480, contract.USAGE_OUTPUT: 16}
    )
    common.upstream_remote_address.socket_address.address = host
    common.upstream_remote_address.socket_address.port_value = int(port)
    common.upstream_request_attempt_count = 1
    common.duration.nanos = 90_000_000
    common.custom_tags[contract.TTFT_TAG] = "52000"
    entry.response.response_code.value = 200
    return bytes(message.SerializeToString())
