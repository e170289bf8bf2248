"""The hand-written pick is what the message classes would write."""

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.pick_writer import PickWriter

texts = st.text(max_size=200)
models = st.dictionaries(texts, texts, max_size=3)


@given(
    destination=texts,
    attempts=st.integers(1, 16),
    decision_id=texts,
    body=st.none() | st.binary(max_size=70_000),
    rebind=models,
    told=st.dictionaries(st.sampled_from(["x-pilotage-decision"]), texts),
    process_id=texts,
    path=st.none() | texts,
)
def test_a_pick_reads_as_the_message_it_stands_for(
    destination, attempts, decision_id, body, rebind, told, process_id, path
):
    headers = {messages.MAX_RETRIES: str(attempts - 1)}
    if path is not None:
        headers[":path"] = path
    if body is not None:
        headers["content-length"] = str(len(body))
    ours = {"decision": decision_id, "owner": process_id, **told}
    if rebind:
        ours["rebind"] = rebind
    metadata = {messages.LB_NAMESPACE: {messages.DESTINATION: destination}, messages.PILOTAGE_NAMESPACE: ours}
    expected = messages.pick_on_body(messages.PickHeaders(headers, body, metadata))
    writer = PickWriter(process_id)
    for _ in range(2):  # the second time from what was kept
        written = writer.on_body(
            destination=destination,
            attempts=attempts,
            decision_id=decision_id,
            body=body,
            rebind=rebind,
            told=told,
            path=path,
        )
        read = ext_proc_pb2.ProcessingResponse.FromString
        assert read(written) == read(expected)
