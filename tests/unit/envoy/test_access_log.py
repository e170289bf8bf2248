"""Access-log entries decoded to outcomes."""

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.envoy.access_log import decode


def message(entries: int = 1):
    made = als_pb2.StreamAccessLogsMessage()
    for _ in range(entries):
        made.http_logs.log_entry.add()
    return made


def decoded(made):
    return decode(made.SerializeToString())


def test_an_entry_that_says_nothing_is_unknown_and_not_zero():
    [logged] = decoded(message())
    assert logged.owner == ""
    outcome = logged.outcome
    assert (outcome.decision_id, outcome.upstream_address, outcome.response_id) == ("", None, None)
    assert (outcome.duration_seconds, outcome.ttft_seconds) == (None, None)
    assert outcome.usage == TokenUsage(None, None, None)
    assert (outcome.http_status, outcome.attempts, outcome.response_flags) == (0, 0, ())


def test_all_that_settling_needs_is_decoded():
    made = message()
    entry = made.http_logs.log_entry[0]
    entry.response.response_code.value = 200
    common = entry.common_properties
    common.upstream_remote_address.socket_address.address = "10.0.0.1"
    common.upstream_remote_address.socket_address.port_value = 8000
    common.upstream_request_attempt_count = 2
    common.duration.FromMicroseconds(1_500_250)
    common.custom_tags["ttft_us"] = "250125"
    common.metadata.filter_metadata["pilotage"].update({"decision": "a-7", "owner": "a"})
    usage = {"input": 11.0, "output": 8.0, "cached": 0.0, "id": "resp_1"}
    common.metadata.filter_metadata["pilotage.usage"].update(usage)
    [logged] = decoded(made)
    assert logged.owner == "a"
    outcome = logged.outcome
    assert (outcome.decision_id, outcome.http_status, outcome.attempts) == ("a-7", 200, 2)
    assert outcome.upstream_address == "10.0.0.1:8000"
    assert outcome.duration_seconds == pytest.approx(1.50025)
    assert outcome.ttft_seconds == pytest.approx(0.250125)
    assert outcome.usage == TokenUsage(11, 8, 0)
    assert outcome.response_id == "resp_1"


def test_an_ipv6_upstream_is_written_as_endpoints_are():
    made = message()
    socket = made.http_logs.log_entry[0].common_properties.upstream_remote_address.socket_address
    socket.address, socket.port_value = "fd00::1", 8000
    [logged] = decoded(made)
    assert logged.outcome.upstream_address == "[fd00::1]:8000"


def test_flags_are_told_by_name():
    made = message()
    flags = made.http_logs.log_entry[0].common_properties.response_flags
    flags.upstream_connection_failure = flags.upstream_retry_limit_exceeded = True
    [logged] = decoded(made)
    assert set(logged.outcome.response_flags) == {
        "upstream_connection_failure",
        "upstream_retry_limit_exceeded",
    }


@pytest.mark.parametrize("said", ["-", "", "-5", "1.5"])
def test_a_ttft_that_was_not_measured_is_unknown(said):
    made = message()
    made.http_logs.log_entry[0].common_properties.custom_tags["ttft_us"] = said
    [logged] = decoded(made)
    assert logged.outcome.ttft_seconds is None


def test_all_entries_of_a_message_are_decoded_in_order():
    made = message(3)
    for number, entry in enumerate(made.http_logs.log_entry):
        entry.response.response_code.value = 200 + number
    assert [logged.outcome.http_status for logged in decoded(made)] == [200, 201, 202]


def test_what_a_stream_says_of_errors_and_further_tokens_is_decoded():
    made = message()
    metadata = made.http_logs.log_entry[0].common_properties.metadata.filter_metadata
    metadata["pilotage.usage"].update({"cache_write": 7.0, "reasoning": 3.0, "error": 529.0})
    [logged] = decoded(made)
    assert logged.outcome.usage == TokenUsage(None, None, None, 7, 3)
    assert logged.outcome.stream_error == 529


def test_an_entry_of_a_request_that_still_runs_settles_nothing():
    made = message(3)
    kinds = (accesslog_pb2.DownstreamPeriodic, accesslog_pb2.DownstreamStart, accesslog_pb2.DownstreamEnd)
    for entry, kind in zip(made.http_logs.log_entry, kinds, strict=True):
        entry.common_properties.access_log_type = kind
        entry.response.response_code.value = kind
    [logged] = decoded(made)
    assert logged.outcome.http_status == accesslog_pb2.DownstreamEnd
