"""The hand-written pick is what the message classes would write."""

from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.fallback import FallbackReason
from pilotage_api.timeouts import IDLE_STEPS_SECONDS
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.pick_writer import LaterAttempts, Pick, PickWriter
from pilotage_extproc.envoy.ext_proc.retry_headers import RouterLimits, idle_step

texts = st.text(max_size=200)
later_attempts = st.builds(
    LaterAttempts,
    texts,
    st.integers(0, 31),
    st.dictionaries(texts, st.integers(0, 1 << 20), max_size=3),
    st.dictionaries(texts, texts, max_size=3),
)
router_limits = st.builds(
    RouterLimits,
    st.none() | st.frozensets(st.sampled_from(FallbackReason)),
    st.none() | st.integers(1, 10**8),
    st.none() | st.integers(1, 10**8),
    st.none() | st.floats(0.001, 3600),
)
picks = st.builds(
    Pick,
    destination=texts,
    attempts=st.integers(1, 16),
    decision_id=texts,
    body=st.none() | st.binary(max_size=70_000),
    path=st.none() | texts,
    shown=st.dictionaries(st.sampled_from(["x-pilotage-decision"]), texts),
    request_id=st.none() | texts,
    remove_headers=st.lists(texts, max_size=2),
    flags=st.lists(st.sampled_from([contract.STRIP_USAGE, contract.ANNOUNCE_RESPONSE]), unique=True),
    later=st.none() | later_attempts,
    limits=st.none() | router_limits,
    moved=st.sampled_from(["", "messages 1", "input 0 3,17"]),
)
usual_picks = st.builds(
    lambda *needed, flags: Pick(*needed, flags=flags),
    texts | st.just("<dddddddd>,<iiiiiiii>"),
    st.integers(1, 16),
    texts | st.just("<dddddddd>"),
    flags=st.permutations([contract.STRIP_USAGE, contract.TRANSFORM]).map(tuple) | st.just(()),
)
CONDITIONS = {
    "connect": "connect-failure,refused-stream,reset-before-request",
    "contextOverflow": "retriable-headers",
    "firstToken": "reset",
    "serverError": "5xx,reset",
}
STATUSES = {"auth": "401,403", "notFound": "404", "quota": "402", "rateLimited": "429,529"}
OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def headers_of(limits: RouterLimits) -> dict[str, str]:
    """What the router is to be told, in another way than the code writes it."""
    told: dict[str, str] = {}
    if limits.leads_on is None and limits.idle_seconds is not None:
        told["x-envoy-retry-on"] = "5xx,connect-failure,reset,retriable-status-codes"
        told["x-envoy-retriable-status-codes"] = "429"
    elif limits.leads_on is not None:
        reasons = sorted(limits.leads_on)
        conditions = ",".join(CONDITIONS[one] for one in reasons if one in CONDITIONS).split(",")
        statuses = ",".join(STATUSES[one] for one in reasons if one in STATUSES)
        conditions += ["retriable-status-codes"] if statuses else []
        told["x-envoy-retry-on"] = ",".join(dict.fromkeys(one for one in conditions if one))
        if statuses:
            told["x-envoy-retriable-status-codes"] = statuses
        if "contextOverflow" in reasons:
            told["x-envoy-retriable-header-names"] = "x-pilotage-context-overflow"
    if limits.attempt_ms is not None:
        told["x-envoy-upstream-rq-per-try-timeout-ms"] = str(limits.attempt_ms)
    if limits.total_ms is not None:
        told["x-envoy-upstream-rq-timeout-ms"] = str(limits.total_ms)
    return told


def written_by_classes(
    pick: Pick, process_id: str | None, *, on_body: bool, sends_body: bool
) -> ext_proc_pb2.ProcessingResponse:
    response = ext_proc_pb2.ProcessingResponse()
    answered = response.request_body if on_body else response.request_headers
    common = answered.response
    common.clear_route_cache = True
    mutation = common.header_mutation

    def set_header(name: str, value: str) -> None:
        option = mutation.set_headers.add(append_action=OVERWRITE)
        option.header.key = name
        option.header.raw_value = value.encode()

    if process_id is None:
        set_header(contract.DESTINATION, pick.destination)
        if pick.request_id is not None:
            set_header("x-request-id", pick.request_id)
    else:
        set_header(contract.MAX_RETRIES, str(pick.attempts - 1))
        set_header("x-pilotage-decision", pick.decision_id)
        if pick.moved:
            set_header("x-pilotage-moved", pick.moved)
    if not on_body:
        mutation.remove_headers.extend(messages.INPUT_HEADERS)
        if process_id is not None:
            mutation.remove_headers.append(contract.DESTINATION)
    if process_id is None:
        mutation.remove_headers.extend(pick.remove_headers)
    if process_id is not None and pick.limits is not None:
        for name, value in headers_of(pick.limits).items():
            set_header(name, value)
    if pick.path is not None:
        set_header(":path", pick.path)
    if pick.body is not None:
        set_header("content-length", str(len(pick.body)))
        if sends_body:
            common.body_mutation.body = pick.body
    metadata = response.dynamic_metadata
    metadata.update({contract.LB_NAMESPACE: {contract.DESTINATION: pick.destination}})
    if process_id is not None:
        ours = {"decision": pick.decision_id, "owner": process_id, **dict.fromkeys(pick.flags, contract.FLAG)}
        if pick.limits is not None and pick.limits.route is not None:
            ours["route"] = pick.limits.route
        if pick.limits is not None and "contextOverflow" in (pick.limits.leads_on or ()):
            ours["read_overflow"] = "1"
        if pick.holder:
            ours["holder"] = pick.holder
        if pick.later is not None:
            ours |= {
                "snapshot": pick.later.snapshot,
                "attempts": dict(pick.later.numbers),
                "usage_edit": pick.later.usage_edit,
            }
            if pick.later.models:
                ours["rebind"] = dict(pick.later.models)
        if pick.allowance:
            ours["allowance"] = pick.allowance
        metadata.update({contract.PILOTAGE_NAMESPACE: ours | dict(pick.shown)})
    return response


@given(st.lists(picks, max_size=4), texts)
def test_a_writer_keeps_nothing_of_one_pick_that_shows_in_another(several, process_id):
    writer = PickWriter(process_id)
    alone = [PickWriter(process_id).bundled(one, on_body=True) for one in several]
    assert [writer.bundled(one, on_body=True) for one in several] == alone


@given(pick=picks, process_id=texts, on_body=st.booleans())
def test_a_pick_for_the_bundled_envoy_reads_as_the_message_it_stands_for(pick, process_id, on_body):
    expected = written_by_classes(pick, process_id, on_body=on_body, sends_body=True)
    writer = PickWriter(process_id)
    for _ in range(2):  # the second time from what was kept
        written = writer.bundled(pick, on_body=on_body)
        assert ext_proc_pb2.ProcessingResponse.FromString(written) == expected


@given(pick=usual_picks, process_id=texts, on_body=st.booleans(), bundled=st.booleans())
def test_a_usual_pick_is_the_bytes_of_the_same_pick_written_field_by_field(
    pick, process_id, on_body, bundled
):
    writer = PickWriter(process_id)
    for _ in range(2):  # the second time around texts of lengths that were seen
        if bundled:
            written = writer.usual_bundled(
                pick.destination, pick.attempts, pick.decision_id, pick.flags, on_body=on_body
            )
            assert written == writer.bundled(pick, on_body=on_body)
        else:
            written = writer.usual_foreign(pick.destination, on_body=on_body)
            assert written == writer.foreign(pick, on_body=on_body, sends_body=True)


@given(pick=picks, on_body=st.booleans(), sends_body=st.booleans())
def test_a_pick_for_another_gateway_reads_as_the_message_it_stands_for(pick, on_body, sends_body):
    expected = written_by_classes(pick, None, on_body=on_body, sends_body=sends_body)
    written = PickWriter("process").foreign(pick, on_body=on_body, sends_body=sends_body)
    assert ext_proc_pb2.ProcessingResponse.FromString(written) == expected


@given(body=st.binary(max_size=200_000), end_of_stream=st.booleans(), response=st.booleans())
def test_streamed_chunks_are_the_bytes_the_message_classes_write(body, end_of_stream, response):
    chunks = list(messages.streamed_chunks(body, end_of_stream=end_of_stream, response=response))
    put_together = b""
    for index, chunk in enumerate(chunks):
        message = ext_proc_pb2.ProcessingResponse.FromString(chunk)
        assert message.SerializeToString() == chunk
        answer = message.response_body if response else message.request_body
        streamed = answer.response.body_mutation.streamed_response
        assert len(streamed.body) <= messages.BODY_CHUNK_BYTES
        assert streamed.end_of_stream == (end_of_stream and index == len(chunks) - 1)
        put_together += streamed.body
    assert put_together == body


@given(st.floats(0.001, 3600))
def test_a_bound_on_silence_is_rounded_up_to_one_that_envoy_has_a_route_for(seconds):
    step = idle_step(seconds)
    assert step >= seconds
    assert all(other < seconds or other >= step for other in IDLE_STEPS_SECONDS)
