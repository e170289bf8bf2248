"""Envoy's access log: one entry a finished request, decoded to an outcome, and one a failed attempt."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from pilotage_api.address import bracketed, canonical_host
from pilotage_extproc.dialects.translation.answers import BETWEEN_NOTES
from pilotage_extproc.domain.failed_attempt import UNREACHABLE, FailedAttempt
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.providers import internal_address
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.rate_limits import stay_away_seconds
from pilotage_extproc.transport.contract import Method, Service, Stream
from pilotage_extproc.transport.stepped import by_steps

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
_ENDS = frozenset({accesslog_pb2.NotSet, accesslog_pb2.DownstreamEnd})
"""Types of entries that end a request. Any other is written while it runs, and settles nothing."""
_CLIENTS_OWN: Final = frozenset(range(400, 500)) - {401, 402, 403, 404, 429}
"""Statuses of requests that are wrong: not the server's failure."""
_NO_USAGE: Final = TokenUsage()
_NO_COUNTS: Final[dict[str, int | None]] = dict.fromkeys(
    (
        contract.STREAM_ERROR,
        contract.OUTPUT_COUNTED,
        contract.ENDED_AT,
        contract.USAGE_INPUT,
        contract.USAGE_OUTPUT,
        contract.USAGE_CACHED,
        contract.USAGE_CACHE_WRITE,
        contract.USAGE_REASONING,
        contract.USAGE_CACHE_WRITE_HOUR,
        contract.USAGE_AUDIO_INPUT,
        contract.USAGE_AUDIO_OUTPUT,
    )
)
"""Numbers of the usage metadata; the tokens come last, in the order of `TokenUsage`."""
_NO_TIMES: Final[dict[str, float | None]] = dict.fromkeys(
    (contract.TTFT_TAG, contract.ATTEMPT_TTFT_TAG, contract.ATTEMPT_BODY_TAG)
)
"""Tags in microseconds."""
_MOST_PLACES: Final = 4096
"""Addresses whose spelling is kept."""
_FLAGS = tuple(
    field.name for field in accesslog_pb2.ResponseFlags.DESCRIPTOR.fields if field.type == field.TYPE_BOOL
)


@dataclass(slots=True)
class LoggedRequest:
    """An outcome, and the process that made its decision (empty where none did)."""

    outcome: Outcome
    owner: str


def decode(message: bytes) -> list[LoggedRequest | FailedAttempt]:
    """The requests that a `StreamAccessLogsMessage` says have ended, and the attempts that have failed."""
    logs = als_pb2.StreamAccessLogsMessage.FromString(message)
    found: list[LoggedRequest | FailedAttempt] = []
    for entry in logs.http_logs.log_entry:
        kind = entry.common_properties.access_log_type
        if kind in _ENDS:
            found.append(_entry(entry))
        elif kind == accesslog_pb2.UpstreamEnd:
            failed = _failed(entry, dt.datetime.now(dt.UTC))
            if failed is not None:
                found.append(failed)
    return found


def _entry(entry: accesslog_pb2.HTTPAccessLogEntry) -> LoggedRequest:
    # each look into a message makes an object: no part is looked up twice
    common = entry.common_properties
    metadata = common.metadata.filter_metadata
    decision = owner = ""
    holder = None
    answer_content: tuple[str, ...] = ()
    answer_cut = False
    if contract.PILOTAGE_NAMESPACE in metadata:
        ours = metadata[contract.PILOTAGE_NAMESPACE].fields
        decision, owner = _text(ours, contract.DECISION), _text(ours, contract.OWNER)
        if contract.HOLDER in ours:
            holder = ours[contract.HOLDER].string_value or None
        if contract.ANSWER_CONTENT in ours:
            answer_content = tuple(ours[contract.ANSWER_CONTENT].string_value.split(","))
        answer_cut = contract.READS_ANSWER in ours and contract.ANSWER_READ not in ours
    usage, response_id, translation = _NO_USAGE, None, ()
    stream_error = counted_output = ended_at = None
    if contract.USAGE_NAMESPACE in metadata:
        read, counts = metadata[contract.USAGE_NAMESPACE].fields, _NO_COUNTS.copy()
        for key in read:
            if key in counts:
                counts[key] = int(read[key].number_value)
            elif key == contract.RESPONSE_ID:
                response_id = read[key].string_value
            elif key == contract.TRANSLATION_NOTES:
                translation = tuple(read[key].string_value.split(BETWEEN_NOTES))
        stream_error, counted_output, ended_at, *tokens = counts.values()
        usage = TokenUsage(*tokens)
    times = _NO_TIMES.copy()
    tags = common.custom_tags
    for tag in tags:
        text = tags[tag]
        if text.isdigit():
            times[tag] = int(text) / 1e6
    duration = common.duration if common.HasField("duration") else None
    outcome = Outcome(
        decision,
        entry.response.response_code.value,
        _address(common),
        common.upstream_request_attempt_count,
        None if duration is None else duration.seconds + duration.nanos / 1e9,
        times[contract.TTFT_TAG],
        _flags(common.response_flags) if common.HasField("response_flags") else (),
        usage,
        response_id,
        stream_error=stream_error,
        attempt_ttft_seconds=times[contract.ATTEMPT_TTFT_TAG],
        attempt_body_seconds=times[contract.ATTEMPT_BODY_TAG],
        translation=translation,
        counted_output=counted_output,
        ended_at=ended_at,
        holder=holder,
        answer_content=answer_content,
        answer_cut=answer_cut,
    )
    return LoggedRequest(outcome, owner)


def _text(fields: Mapping[str, Any], key: str) -> str:
    return str(fields[key].string_value) if key in fields else ""


def _address(common: accesslog_pb2.AccessLogCommon) -> str | None:
    if not common.HasField("upstream_remote_address"):
        return None
    address = common.upstream_remote_address
    socket = address.socket_address
    host = socket.address
    if not host and address.HasField("envoy_internal_address"):
        return internal_address(
            address.envoy_internal_address.server_listener_name, address.envoy_internal_address.endpoint_id
        )
    return _place(host, socket.port_value)


@lru_cache(_MOST_PLACES)
def _place(host: str, port: int) -> str:
    return f"{bracketed(canonical_host(host))}:{port}"


def _flags(flags: accesslog_pb2.ResponseFlags) -> tuple[str, ...]:
    if not flags.ByteSize():
        return ()
    return tuple(name for name in _FLAGS if getattr(flags, name))


def _failed(entry: accesslog_pb2.HTTPAccessLogEntry, utc_now: dt.datetime) -> FailedAttempt | None:
    """One attempt's entry; None where it did not fail, or belongs to no decision."""
    common, asked, answered = entry.common_properties, entry.request.request_headers, entry.response
    decision, number = asked.get(contract.DECISION_REQUEST_HEADER, ""), asked.get(contract.ATTEMPT_COUNT, "")
    status, headers = answered.response_code.value, answered.response_headers
    overflow, nothing_sent = contract.OVERFLOWS in headers, headers.get(contract.TRY_NEXT)
    if not decision or (status in _CLIENTS_OWN and not overflow and nothing_sent is None):
        return None
    flags = _flags(common.response_flags) if common.HasField("response_flags") else ()
    unreachable = nothing_sent == contract.UNREACHABLE
    return FailedAttempt(
        decision_id=decision,
        address=_address(common),
        number=int(number) if number.isdecimal() else 0,
        # a provider's hop answers in its place: as of a server, that is a connection that failed
        http_status=0 if unreachable else status,
        flags=(*flags, UNREACHABLE) if unreachable else flags,
        duration_seconds=common.duration.seconds + common.duration.nanos / 1e9,
        stay_away_seconds=stay_away_seconds(headers, utc_now) if headers else None,
        overflow=overflow,
        not_asked=nothing_sent is not None and not unreachable,
    )


def copies(message: bytes) -> Iterator[tuple[str, Callable[[], LoggedRequest]]]:
    """Decision ids of the requests that it says have ended, and how to read each: most are never read."""
    for entry in als_pb2.StreamAccessLogsMessage.FromString(message).http_logs.log_entry:
        common = entry.common_properties
        ours = common.metadata.filter_metadata.get(contract.PILOTAGE_NAMESPACE)
        if common.access_log_type in _ENDS and ours is not None:
            yield _text(ours.fields, contract.DECISION), partial(_entry, entry)


def access_log_service(
    take: Callable[[LoggedRequest], None],
    take_failed: Callable[[FailedAttempt], None] = lambda _failed: None,
    take_copy: Callable[[str, Callable[[], LoggedRequest]], bool] = lambda _id, _read: True,
) -> Service:
    """The gRPC service Envoys stream their entries to: of finished requests, and of attempts that failed.

    `take_copy` gets what comes a second time; False ends that stream, and Envoy opens another elsewhere.
    """

    async def entries(stream: Stream) -> None:
        second = stream.invocation_metadata().get(contract.ROLE_HEADER) == contract.COPY_ROLE
        while (raw := await stream.read()) is not None:
            if second:
                kept = [take_copy(*copy) for copy in copies(raw)]
                if not all(kept):
                    return
                continue
            for logged in decode(raw):
                if isinstance(logged, FailedAttempt):
                    take_failed(logged)
                else:
                    take(logged)

    return Service(SERVICE, {"StreamAccessLogs": Method(entries, receiver=by_steps(entries))})
