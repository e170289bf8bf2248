"""One ext_proc stream over a fake of its seam: picks, refusals, clients that leave. No gRPC is needed."""

import json

import pytest
from fake_stream import FakeStream, Request, request_body, request_head, request_trailers, response_head
from stream_rig import ADDRESSES, BUNDLED, FOREIGN, MAX_BODY_BYTES, POOL, StreamRig, stream_rig

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.envoy.ext_proc.messages import BodyMode
from pilotage_extproc.envoy.ext_proc.request_stream import Asker
from pilotage_extproc.transport.contract import CallRefused, Status

CHAT = "/v1/chat/completions"
PROMPT = b'{"model":"alias","messages":[{"role":"user","content":"hi"}]}'
SENT_ON = PROMPT.replace(b"alias", b"small")
LARGE = PROMPT.replace(b"hi", b"x" * 150_000)
TWO_MODELS = f"""{POOL}---
{POOL.replace("small", "large").replace("[alias]", "[other]").replace("10.0.0", "10.0.1")}---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: either}}
spec: {{match: {{models: [either]}}, rules: [{{candidates: [{{model: small}}, {{model: large}}]}}]}}
"""
FULL_DUPLEX = (BodyMode.FULL_DUPLEX_STREAMED, BodyMode.NONE)
BUFFERED = (BodyMode.BUFFERED, BodyMode.NONE)


@pytest.fixture
async def rig() -> StreamRig:
    return await stream_rig()


def picked(stream: FakeStream, at: int) -> list[str]:
    """The endpoints that an answer names."""
    lb = stream.got[at].dynamic_metadata["envoy.lb"]
    return str(lb["x-gateway-destination-endpoint"]).split(",")


def refused(stream: FakeStream) -> tuple[int, dict]:
    """The status and the error object of the one immediate answer, the last message."""
    immediate = [message for message in stream.got if message.HasField("immediate_response")]
    assert immediate == stream.got[-1:]
    return immediate[0].immediate_response.status.code, json.loads(immediate[0].immediate_response.body)


def sent_back(stream: FakeStream, start: int) -> bytes:
    """The body that full-duplex answers carry, of which the last alone ends it."""
    pieces = [message.request_body.response.body_mutation.streamed_response for message in stream.got[start:]]
    assert [piece.end_of_stream for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert max(len(piece.body) for piece in pieces) <= 62_000
    return b"".join(piece.body for piece in pieces)


# picks


async def test_a_bundled_envoy_gets_the_pick_with_its_buffered_body(rig):
    stream = FakeStream(request_head(CHAT), request_body(PROMPT))
    await rig.serve(stream, BUNDLED)
    head, body = stream.got
    assert head.HasField("request_headers")
    assert body.request_body.response.body_mutation.body == SENT_ON
    assert sorted(picked(stream, 1)) == sorted(ADDRESSES)
    decision_id = body.dynamic_metadata["pilotage"]["decision"]
    assert rig.left_over() == {"open requests": 1, "in flight": 1, "not finished once": 1}
    rig.pipeline.settle(Outcome(decision_id, 200, picked(stream, 1)[0], 1, 1.0, 0.1))
    assert rig.left_over() == {}


async def test_a_gateway_that_asks_in_full_duplex_gets_the_pick_and_then_the_body(rig):
    pieces = [LARGE[start : start + 40_000] for start in range(0, len(LARGE), 40_000)]
    stream = FakeStream(
        request_head(CHAT, modes=FULL_DUPLEX),
        *[request_body(piece, end_of_stream=False) for piece in pieces],
        request_body(b""),
    )
    await rig.serve(stream, FOREIGN)
    assert stream.got[0].HasField("request_headers")
    assert sorted(picked(stream, 0)) == sorted(ADDRESSES)
    assert sent_back(stream, 1) == LARGE.replace(b"alias", b"small")
    assert rig.bodies.held_bytes == 0


async def test_trailers_end_a_full_duplex_body(rig):
    stream = FakeStream(
        request_head(CHAT, modes=FULL_DUPLEX), request_body(PROMPT, end_of_stream=False), request_trailers()
    )
    await rig.serve(stream, FOREIGN)
    *pieces, last = stream.got[1:]
    streamed = [one.request_body.response.body_mutation.streamed_response for one in pieces]
    assert b"".join(one.body for one in streamed) == SENT_ON
    assert not any(one.end_of_stream for one in streamed)
    assert last.HasField("request_trailers")


async def test_a_gateway_that_buffers_gets_header_and_body_at_once(rig):
    stream = FakeStream(request_head(CHAT, modes=BUFFERED), request_body(PROMPT))
    await rig.serve(stream, FOREIGN)
    assert stream.got[1].request_body.response.body_mutation.body == SENT_ON
    names = {one.header.key for one in stream.got[1].request_body.response.header_mutation.set_headers}
    assert "x-gateway-destination-endpoint" in names


@pytest.mark.parametrize(("asker", "pools"), [(BUNDLED, {"10.0.0", "10.0.1"}), (FOREIGN, {"10.0.0"})])
async def test_other_gateways_are_named_no_server_of_another_model_since_they_send_one_body(asker, pools):
    rig = await stream_rig(TWO_MODELS)
    stream = FakeStream(request_head(CHAT, modes=BUFFERED), request_body(PROMPT.replace(b"alias", b"either")))
    await rig.serve(stream, asker)
    assert stream.got[1].request_body.response.body_mutation.body == SENT_ON
    assert {address.rpartition(".")[0] for address in picked(stream, 1)} == pools


async def test_what_needs_no_model_server_is_answered_on_its_head(rig):
    stream = FakeStream(request_head("/v1/models", method="GET", end_of_stream=True))
    await rig.serve(stream)
    status, page = refused(stream)
    assert (status, [one["id"] for one in page["data"]]) == (200, ["alias", "small"])
    assert rig.left_over() == {}
    assert rig.journal.outcomes[0].http_status == 200


async def test_a_mode_that_cannot_be_used_is_named(rig):
    stream = FakeStream(request_head(CHAT, modes=(BodyMode.STREAMED, BodyMode.NONE)), request_body(PROMPT))
    await rig.serve(stream, FOREIGN)
    status, error = refused(stream)
    assert status == 500
    assert "STREAMED cannot be used: set BUFFERED" in error["error"]["message"]
    assert rig.left_over() == {}


# refusals

OPENAI_PATHS = (CHAT, "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/tokenize")
ANTHROPIC_PATHS = ("/v1/messages", "/v1/messages/count_tokens")
MEMBERS = (
    b'"messages":[{"role":"user","content":"hi"}],"prompt":"hi","input":"hi","query":"q","documents":["d"]'
)


@pytest.mark.parametrize("asker", [BUNDLED, FOREIGN], ids=["bundled", "foreign"])
@pytest.mark.parametrize("path", OPENAI_PATHS + ANTHROPIC_PATHS)
async def test_an_unknown_model_is_refused_as_each_api_has_errors(rig, asker, path):
    body = b'{"model":"none","max_tokens":5,%b}' % MEMBERS
    stream = FakeStream(request_head(path, x_request_id="r-1"), request_body(body))
    await rig.serve(stream, asker)
    status, error = refused(stream)
    assert status == 404
    if path in ANTHROPIC_PATHS:
        assert error["type"] == "error"
        assert error["error"]["type"] == "not_found_error"
        assert error["request_id"] == "r-1"
    else:
        assert error["error"]["code"] == "model_not_found"
        assert error["error"]["param"] == "model"
    assert [one.http_status for one in rig.journal.outcomes] == [404]
    assert rig.left_over() == {}


MANY_MESSAGES = b'{"model":"small","messages":[%b{}]}' % (b"{}," * 300_000)


@pytest.mark.parametrize(
    ("head", "body", "status", "code"),
    [
        (request_head("/none"), None, 404, "unknown_path"),
        (request_head(CHAT, method="PUT"), None, 405, "method_not_allowed"),
        (request_head(CHAT, content_encoding="gzip"), None, 415, "unsupported_media_type"),
        (request_head(CHAT), b'{"model":', 400, "invalid_json"),
        (request_head(CHAT), b'{"model":"small"}', 400, "missing_prompt"),
        (
            request_head(CHAT),
            b'{"model":"small","messages":[%b{}]}' % (b"{}," * 300_000),
            400,
            "body_too_complex",
        ),
        (request_head(CHAT), b"x" * (MAX_BODY_BYTES + 1), 413, "body_too_large"),
        (request_head("/v1/responses/resp_none", method="GET", end_of_stream=True), None, 404, None),
    ],
)
async def test_a_refusal_says_why_and_leaves_nothing(rig, monkeypatch, head, body, status, code):
    monkeypatch.setattr("pilotage_extproc.stages.find_response.WAIT_SECONDS", 0.01)
    stream = FakeStream(head, *([] if body is None else [request_body(body)]))
    await rig.serve(stream)
    told, error = refused(stream)
    assert told == status
    assert error["error"]["code"] == (code or "response_not_found")
    assert rig.left_over() == {}


async def test_no_server_is_a_503_that_says_when_to_come_back(rig):
    rig.state.table.drain(ADDRESSES)
    stream = FakeStream(request_head(CHAT), request_body(PROMPT))
    await rig.serve(stream)
    answer = stream.got[-1].immediate_response
    assert answer.status.code == 503
    assert {one.header.key: one.header.raw_value for one in answer.headers.set_headers}["retry-after"] == b"1"
    assert rig.left_over() == {}


async def test_a_bug_in_the_picker_is_a_500_in_the_shape_of_the_api(rig, monkeypatch):
    def broken(_self, _exchange):
        raise ValueError("a bug")

    monkeypatch.setattr("pilotage_extproc.stages.decide.Decide.apply", broken)
    stream = FakeStream(request_head("/v1/messages"), request_body(b'{"model":"small",%b}' % MEMBERS))
    await rig.serve(stream)
    status, error = refused(stream)
    assert (status, error["error"]["type"]) == (500, "api_error")
    assert "a bug" not in error["error"]["message"]
    assert rig.left_over() == {}


class Failing(FakeStream):
    """The write number `fails_at`, counted from 0, fails; those after it are taken again."""

    def __init__(self, *sent: Request, fails_at: int) -> None:
        super().__init__(*sent)
        self._writes_left = fails_at

    async def write(self, message: bytes) -> None:
        """Keep a message."""
        self._writes_left -= 1
        if self._writes_left == -1:
            raise OSError("a write failed")
        await super().write(message)


@pytest.mark.parametrize(
    ("modes", "asker", "fails_at"),
    [(None, BUNDLED, 0), (None, BUNDLED, 1), (FULL_DUPLEX, FOREIGN, 1), (BUFFERED, FOREIGN, 2)],
    ids=["head's answer", "pick", "body after the pick", "response"],
)
async def test_what_fails_is_told_in_the_shape_of_the_api_wherever_it_does(rig, modes, asker, fails_at):
    stream = Failing(
        request_head("/v1/messages", modes=modes, x_request_id="r-1"),
        request_body(b'{"model":"small","max_tokens":5,%b}' % MEMBERS),
        response_head(ADDRESSES[0]),
        fails_at=fails_at,
    )
    await rig.serve(stream, asker)
    status, error = refused(stream)
    assert (status, error["error"]["type"], error["request_id"]) == (500, "api_error", "r-1")


# messages that cannot be read


class Unreadable(FakeStream):
    """Says this once its other messages are read: bytes, or the error that the transport has for it."""

    def __init__(self, *sent: Request, then: bytes | Exception) -> None:
        super().__init__(*sent)
        self._then = then

    async def read(self) -> bytes | None:
        """The next message."""
        if (raw := await super().read()) is not None:
            return raw
        if isinstance(self._then, Exception):
            raise self._then
        return self._then


COMPRESSED = CallRefused(Status.UNIMPLEMENTED, "messages cannot be compressed")


@pytest.mark.parametrize(
    ("then", "status"),
    [(b"\xff\xff", Status.INVALID_ARGUMENT), (COMPRESSED, Status.UNIMPLEMENTED)],
    ids=["no protobuf", "compressed"],
)
@pytest.mark.parametrize(
    "sent",
    [
        (),
        (request_head(CHAT, modes=BUFFERED),),
        (request_head(CHAT, modes=FULL_DUPLEX),),
        (request_head(CHAT, modes=BUFFERED), request_body(PROMPT)),
    ],
    ids=["as head", "as body", "as piece", "as response"],
)
async def test_a_message_that_cannot_be_read_ends_the_call_with_its_status(rig, caplog, sent, then, status):
    with pytest.raises(CallRefused) as refused:
        await rig.serve(Unreadable(*sent, then=then), FOREIGN)
    assert refused.value.status is status
    (warned,) = caplog.records
    assert (warned.levelname, warned.exc_info) == ("WARNING", None)
    assert rig.processor.open_streams == rig.bodies.held_bytes == 0


async def test_messages_that_cannot_be_read_are_warned_of_once_in_a_while(rig, caplog):
    for _ in range(3):
        with pytest.raises(CallRefused):
            await rig.serve(Unreadable(then=b"\xff\xff"), FOREIGN)
    assert [one.message for one in caplog.records] == ["ended an ext_proc call: no ProcessingRequest"]


# clients that leave

STORED = request_head("/v1/responses/resp_1", method="GET", end_of_stream=True)
FOLLOWING = request_body(b'{"model":"small","input":"hi","previous_response_id":"resp_1"}')
HALF = request_body(PROMPT[:20], end_of_stream=False)


@pytest.mark.parametrize(
    ("asker", "sent"),
    [
        (BUNDLED, ()),
        (BUNDLED, (request_head(CHAT),)),
        (BUNDLED, (request_head(CHAT, content_length=str(3 << 20)),)),
        (FOREIGN, (request_head(CHAT, modes=FULL_DUPLEX),)),
        (FOREIGN, (request_head(CHAT, modes=FULL_DUPLEX), HALF)),
    ],
    ids=["before the head", "before the body", "before a large body", "before any piece", "in the body"],
)
@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_client_that_leaves_while_it_sends_leaves_nothing(
    rig: StreamRig, asker: Asker, sent: tuple[Request, ...], how: str
) -> None:
    if how == "closes":
        await rig.serve(FakeStream(*sent), asker)
    else:
        await rig.leave(FakeStream(*sent, silent=True), asker)
    assert rig.left_over() == {}
    assert [one.result for one in rig.journal.outcomes] == ["client_gone"] * len(sent[:1])


@pytest.mark.parametrize(
    ("sent", "asker"),
    [
        ((STORED,), BUNDLED),
        ((STORED,), FOREIGN),
        ((request_head("/v1/responses"), FOLLOWING), BUNDLED),
        ((request_head("/v1/responses", modes=FULL_DUPLEX), FOLLOWING), FOREIGN),
    ],
    ids=["read, bundled", "read, foreign", "followed, bundled", "followed, foreign"],
)
async def test_a_client_that_leaves_while_its_stored_response_is_looked_for_leaves_nothing(rig, sent, asker):
    await rig.leave(FakeStream(*sent, silent=True), asker, in_picker=True)
    assert rig.left_over() == {}
    rig.state.owners.learn("resp_1", ADDRESSES[1])
    again = FakeStream(*sent)
    await rig.serve(again, asker)
    assert not any(message.HasField("immediate_response") for message in again.got)


async def test_a_client_that_leaves_while_its_large_body_waits_for_room_leaves_nothing(rig):
    announced = request_head(CHAT, content_length=str(MAX_BODY_BYTES))
    first, second = [await rig.bodies.expect({"content-length": str(MAX_BODY_BYTES)}) for _ in range(2)]
    await rig.leave(FakeStream(announced, silent=True), BUNDLED, in_picker=True)
    rig.bodies.came(first)
    rig.bodies.came(second)
    assert rig.left_over() == {}


@pytest.mark.parametrize(
    ("sent", "asker", "write"),
    [
        ((request_head(CHAT), request_body(PROMPT)), BUNDLED, 0),
        ((request_head(CHAT), request_body(PROMPT)), BUNDLED, 1),
        ((request_head(CHAT, modes=BUFFERED), request_body(PROMPT)), FOREIGN, 1),
        ((request_head(CHAT, modes=FULL_DUPLEX), request_body(LARGE)), FOREIGN, 0),
        ((request_head(CHAT, modes=FULL_DUPLEX), request_body(LARGE)), FOREIGN, 2),
    ],
    ids=["head's answer", "pick", "pick, buffered", "pick, full duplex", "body after the pick"],
)
async def test_a_client_that_leaves_before_an_answer_is_taken_leaves_nothing(rig, sent, asker, write):
    await rig.leave(FakeStream(*sent, stalls_at=write), asker)
    assert rig.left_over() == {}
    assert [one.result for one in rig.journal.outcomes] == ["client_gone"]


async def test_a_client_that_leaves_before_its_refusal_is_taken_leaves_nothing(rig):
    await rig.leave(FakeStream(request_head("/none"), stalls_at=0), BUNDLED)
    assert rig.left_over() == {}
    assert rig.journal.outcomes[0].http_status == 404


async def test_a_stream_that_does_not_begin_with_a_head_is_closed(rig):
    stream = FakeStream(request_body(PROMPT))
    await rig.serve(stream)
    assert stream.got == []
    assert rig.left_over() == {}
