"""Envoy's access log: one entry a finished request, decoded to an outcome."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from pilotage_api.address import bracketed, canonical_host
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.envoy.ext_proc.stream import Stream

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
_USAGE_NAMESPACE = "pilotage.usage"
_PILOTAGE_NAMESPACE = "pilotage"
_TTFT_TAG = "ttft_us"
_FLAGS = tuple(
    field.name for field in accesslog_pb2.ResponseFlags.DESCRIPTOR.fields if field.type == field.TYPE_BOOL
)


@dataclass(slots=True)
class LoggedRequest:
    """An outcome, and the process that made its decision (empty where none did)."""

    outcome: Outcome
    owner: str


def decode(message: bytes) -> list[LoggedRequest]:
    """All entries of one `StreamAccessLogsMessage`."""
    logs = als_pb2.StreamAccessLogsMessage.FromString(message)
    return [_entry(entry) for entry in logs.http_logs.log_entry]


def _entry(entry: accesslog_pb2.HTTPAccessLogEntry) -> LoggedRequest:
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    decision, owner = "", ""
    if _PILOTAGE_NAMESPACE in metadata:
        fields = metadata[_PILOTAGE_NAMESPACE].fields
        decision = fields["decision"].string_value if "decision" in fields else ""
        owner = fields["owner"].string_value if "owner" in fields else ""
    usage, response_id = TokenUsage(), None
    if _USAGE_NAMESPACE in metadata:
        values = metadata[_USAGE_NAMESPACE].fields
        usage = TokenUsage(
            int(values["input"].number_value) if "input" in values else None,
            int(values["output"].number_value) if "output" in values else None,
            int(values["cached"].number_value) if "cached" in values else None,
        )
        response_id = values["id"].string_value if "id" in values else None
    ttft = common.custom_tags.get(_TTFT_TAG, "")
    duration = common.duration if common.HasField("duration") else None
    outcome = Outcome(
        decision_id=decision,
        http_status=entry.response.response_code.value,
        upstream_address=_address(common),
        attempts=common.upstream_request_attempt_count,
        duration_seconds=None if duration is None else duration.seconds + duration.nanos / 1e9,
        ttft_seconds=int(ttft) / 1e6 if ttft.isdigit() else None,
        response_flags=_flags(common) if common.HasField("response_flags") else (),
        usage=usage,
        response_id=response_id,
    )
    return LoggedRequest(outcome, owner)


def _address(common: accesslog_pb2.AccessLogCommon) -> str | None:
    if not common.HasField("upstream_remote_address"):
        return None
    socket = common.upstream_remote_address.socket_address
    return f"{bracketed(canonical_host(socket.address))}:{socket.port_value}"


def _flags(common: accesslog_pb2.AccessLogCommon) -> tuple[str, ...]:
    flags = common.response_flags
    if not flags.ByteSize():
        return ()
    return tuple(name for name in _FLAGS if getattr(flags, name))


def access_log_handler(take: Callable[[LoggedRequest], None]) -> grpc.GenericRpcHandler:
    """The gRPC service Envoys stream their entries to."""

    async def stream(_requests: object, context: Stream) -> None:
        while True:
            raw = await context.read()
            if raw is grpc.aio.EOF:
                return
            for logged in decode(raw):
                take(logged)

    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(stream)
    return grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": method})
