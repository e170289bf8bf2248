"""The stream of a later attempt: its head, then its body, rewritten by the snapshot that the pick names."""

import json

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_api.snapshot import (
    Binding,
    CandidateModel,
    Engine,
    NameKind,
    PolicyRoute,
    PoolSnapshot,
    RoutingSnapshot,
    RuleSnapshot,
    StreamUsage,
)
from pilotage_api.transform_snapshot import TransformSnapshot
from pilotage_extproc.dialects.stream_usage import UsageEdit
from pilotage_extproc.envoy.ext_proc.attempt_rewrite import AttemptRewriter
from pilotage_extproc.request.attempt import Attempt
from pilotage_extproc.rules.attempt_table import AttemptTables

ADDRESS = "10.0.0.2:8000"
BOTH = b'"include_usage":true,"continuous_usage_stats":true'
ASKED = b'"stream_options":{%b},' % BOTH


def pool(name: str, usage: StreamUsage, engine: Engine = Engine.VLLM) -> PoolSnapshot:
    return PoolSnapshot(key=f"ns/{name}", engine=engine, endpoints=(), stream_usage=usage, models=("m",))


POOLS = {
    "ns/asks": pool("asks", StreamUsage.INJECT),
    "ns/leaves": pool("leaves", StreamUsage.LEAVE),
    "ns/plain": pool("plain", StreamUsage.INJECT, Engine.OPENAI),
}


def snapshot(*models: str) -> RoutingSnapshot:
    bindings = {
        model: tuple(Binding(pool=key, upstream_model=model, kind=NameKind.MODEL) for key in POOLS)
        for model in models
    }
    return RoutingSnapshot(pools=tuple(POOLS.values()), names=bindings).sealed()


class OneStream:
    """What Envoy sends, and what it gets."""

    def __init__(self, *sent) -> None:
        self._sent = [message.SerializeToString() for message in sent]
        self.got: list[ext_proc_pb2.ProcessingResponse] = []

    async def read(self):
        return self._sent.pop(0) if self._sent else None

    async def write(self, message: bytes) -> None:
        self.got.append(ext_proc_pb2.ProcessingResponse.FromString(message))

    def invocation_metadata(self):
        return {}

    def peer_names(self):
        return frozenset()


def head(pick: dict, *, end_of_stream: bool = False):
    message = ext_proc_pb2.ProcessingRequest()
    message.request_headers.end_of_stream = end_of_stream
    for name, value in ((":method", "POST"), (":path", "/v1/chat/completions")):
        header = message.request_headers.headers.headers.add(key=name)
        header.raw_value = value.encode()
    message.attributes["envoy.filters.http.ext_proc"].update({"upstream.address": ADDRESS})
    message.metadata_context.filter_metadata["pilotage"].update({"decision": "a-1", **pick})
    return message


def body(content: bytes):
    message = ext_proc_pb2.ProcessingRequest()
    message.request_body.body = content
    message.request_body.end_of_stream = True
    return message


class Rewriting:
    """A process that follows some snapshots."""

    def __init__(self, *snapshots: RoutingSnapshot) -> None:
        self.tables = AttemptTables()
        for one in snapshots:
            self.tables.of(one)
        self.counted = 0
        self.rewriter = AttemptRewriter(self.tables, self._count)

    def _count(self) -> None:
        self.counted += 1

    def pick(self, version: RoutingSnapshot, pool: str, model: str, usage_edit: UsageEdit = UsageEdit.NONE):
        number = AttemptTables().of(version).number(Attempt.at(POOLS[pool], model))
        return {"snapshot": version.version, "attempts": {ADDRESS: number}, "usage_edit": int(usage_edit)}

    async def rewritten(self, pick: dict, content: bytes, moved: str = "") -> tuple[bytes | None, str]:
        message = head(pick)
        if moved:
            message.request_headers.headers.headers.add(key="x-pilotage-moved", raw_value=moved.encode())
        stream = OneStream(message, body(content))
        await self.rewriter.process(stream)
        first, second = stream.got
        assert first.HasField("request_headers")
        common = second.request_body.response
        self.headers = {
            one.header.key: one.header.raw_value.decode() for one in common.header_mutation.set_headers
        }
        self.removed = list(common.header_mutation.remove_headers)
        changed = common.body_mutation.body if common.HasField("body_mutation") else None
        return changed, self.headers["content-length"]


VERSION = snapshot("m", "a much longer name")


async def test_the_model_becomes_the_attempts_and_nothing_else_changes():
    process = Rewriting(VERSION)
    content = b'{ "messages":[{"role":"user","content":"\\u00e4"}] , "model" : "small", "n":1.0 }'
    changed, length = await process.rewritten(
        process.pick(VERSION, "ns/leaves", "a much longer name"), content
    )
    assert changed == content.replace(b'"small"', b'"a much longer name"')
    assert (length, process.counted) == (str(len(changed)), 1)


PLAIN = b'{"model":"m","messages":[1],"stream":true}'


@pytest.mark.parametrize(
    ("written", "as_client_sent", "how"),
    [
        (b"{" + ASKED + PLAIN[1:], PLAIN, UsageEdit.MEMBER_ADDED),
        (
            b'{"model":"m","stream":true,"stream_options":{%b,"x":1}}' % BOTH,
            b'{"model":"m","stream":true,"stream_options":{"x":1}}',
            UsageEdit.FILLED,
        ),
        (
            b'{"model":"m","stream":true,"stream_options": {%b}}' % BOTH,
            b'{"model":"m","stream":true,"stream_options": null}',
            UsageEdit.NULL_REPLACED,
        ),
        (
            b'{"model":"m","stream":true,"stream_options":{%b} }' % BOTH,
            b'{"model":"m","stream":true,"stream_options":{} }',
            UsageEdit.EMPTY_FILLED,
        ),
    ],
)
async def test_a_pool_that_is_not_to_be_asked_for_usage_gets_what_the_client_sent(
    written, as_client_sent, how
):
    process = Rewriting(VERSION)
    pick = process.pick(VERSION, "ns/leaves", "m", how | UsageEdit.CONTINUOUS)
    changed, length = await process.rewritten(pick, written)
    assert changed == as_client_sent
    assert length == str(len(as_client_sent))


async def test_a_pool_of_another_engine_is_asked_in_its_own_way():
    process = Rewriting(VERSION)
    how = UsageEdit.MEMBER_ADDED | UsageEdit.CONTINUOUS
    changed, _ = await process.rewritten(
        process.pick(VERSION, "ns/plain", "m", how), b"{" + ASKED + PLAIN[1:]
    )
    assert changed == b'{"stream_options":{"include_usage":true},' + PLAIN[1:]


async def test_a_pool_that_asks_does_so_where_the_first_did_not():
    process = Rewriting(VERSION)
    changed, _ = await process.rewritten(process.pick(VERSION, "ns/asks", "m"), PLAIN)
    assert changed == b"{" + ASKED + PLAIN[1:]


async def test_a_process_on_a_newer_version_still_answers_for_the_one_before():
    newer = snapshot("m", "another", "a much longer name")
    process = Rewriting(VERSION, newer)
    changed, _ = await process.rewritten(process.pick(VERSION, "ns/leaves", "a much longer name"), PLAIN)
    assert json.loads(changed)["model"] == "a much longer name"


async def test_a_version_that_is_not_known_here_fails_the_attempt():
    process = Rewriting(snapshot("m"))
    stream = OneStream(head(process.pick(VERSION, "ns/leaves", "m")), body(PLAIN))
    await process.rewriter.process(stream)
    [answer] = stream.got
    assert answer.immediate_response.status.code == 503


async def test_the_length_is_set_again_where_nothing_changes_since_headers_of_attempts_add_up():
    process = Rewriting(VERSION)
    pick = process.pick(VERSION, "ns/leaves", "m")
    assert await process.rewritten(pick, PLAIN) == (None, str(len(PLAIN)))
    pick["attempts"] = {"10.0.0.9:1": 0}
    assert await process.rewritten(pick, PLAIN) == (None, str(len(PLAIN)))
    assert process.counted == 0


@pytest.mark.parametrize("content", [b"", b"not json", b'{"prompt":"x"}', b'{"model":"a","model":"b"}'])
async def test_a_body_that_has_no_one_model_goes_on_as_it_is(content):
    process = Rewriting(VERSION)
    assert await process.rewritten(process.pick(VERSION, "ns/asks", "m"), content) == (
        None,
        str(len(content)),
    )


NAME = "ns/p/0"


def transforming(**prompt: str) -> RoutingSnapshot:
    """A policy's rule that changes requests for `m` at one pool."""
    bindings = (Binding(pool="ns/leaves", upstream_model="m", kind=NameKind.MODEL),)
    rule = RuleSnapshot(
        name="all",
        candidates=(CandidateModel(model="m", weight=None, bindings=bindings),),
        transforms={"m": NAME},
    )
    route = PolicyRoute(policy="ns/p", model="m", glob=False, path=None, headers=(), rules=(rule,))
    changes = TransformSnapshot(name=NAME, remove=("user",), **(prompt or {"replace": "New."}))
    return RoutingSnapshot(pools=tuple(POOLS.values()), routes=(route,), transforms=(changes,)).sealed()


def transforming_pick(version: RoutingSnapshot, **more: str) -> dict:
    transform = AttemptTables().of(version).transforms[NAME]
    number = AttemptTables().of(version).number(Attempt.at(POOLS["ns/leaves"], "m", transform))
    return {"snapshot": version.version, "attempts": {ADDRESS: number}, "usage_edit": 0, **more}


async def test_an_attempt_is_changed_as_its_policy_asks_for_its_model():
    version = transforming()
    content = b'{"model":"x", "user":"u", "messages":[ {"role":"user"}]}'
    changed, _ = await Rewriting(version).rewritten(transforming_pick(version, transform="1"), content)
    assert changed == b'{"model":"m", "messages":[{"role":"system","content":"New."}, {"role":"user"}]}'


async def test_how_messages_were_moved_is_said_anew_for_each_attempt():
    version = transforming(prefix="New.")
    process = Rewriting(version)
    pick = transforming_pick(version, transform="1")
    await process.rewritten(pick, b'{"model":"x","messages":[{"role":"user"}]}')
    assert (process.headers["x-pilotage-moved"], process.removed) == ("messages 1", [])
    await process.rewritten(pick, b'{"model":"x","messages":[{"role":"system","content":"a"}]}')
    assert (set(process.headers), process.removed) == ({"content-length"}, ["x-pilotage-moved"])
    with_the_pick = "thinking 1,3.0; tools 0 0,2; functions 0 1; mcp_servers 0 0"
    moved = f"content 0 1; system 1; {with_the_pick}"
    await process.rewritten(pick, b'{"model":"x","messages":[{"role":"user"}]}', moved)
    assert process.headers["x-pilotage-moved"] == f"messages 1; {with_the_pick}"
    system = b'{"role":"system","content":[{"type":"text","text":"a"}]}'
    await process.rewritten(pick, b'{"model":"x","messages":[%b]}' % system, moved)
    assert process.headers["x-pilotage-moved"] == f"content 0 1; {with_the_pick}"
    await process.rewritten(transforming_pick(version), b'{"model":"x","user":"u"}', moved)
    assert (set(process.headers), process.removed) == ({"content-length"}, [])


async def test_a_body_that_was_changed_with_the_pick_is_not_changed_again():
    version = transforming()
    changed, _ = await Rewriting(version).rewritten(transforming_pick(version), b'{"model":"x","user":"u"}')
    assert changed == b'{"model":"m","user":"u"}'


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[]", b'{"model":"m"}', b'{"model":"m","messages":[],"messages":[]}']
)
async def test_a_body_that_cannot_be_changed_goes_nowhere(content):
    version = transforming()
    stream = OneStream(head(transforming_pick(version, transform="1")), body(content))
    await Rewriting(version).rewriter.process(stream)
    assert stream.got[-1].immediate_response.status.code == 400


async def test_a_pick_of_the_version_before_names_models():
    process = Rewriting()
    changed, _ = await process.rewritten({"rebind": {ADDRESS: "other"}}, PLAIN)
    assert changed == PLAIN.replace(b'"m"', b'"other"')


async def test_a_request_without_a_body_needs_one_answer():
    process = Rewriting(VERSION)
    stream = OneStream(head(process.pick(VERSION, "ns/asks", "m"), end_of_stream=True))
    await process.rewriter.process(stream)
    assert len(stream.got) == 1


async def test_an_envoy_that_gives_up_ends_the_stream():
    process = Rewriting(VERSION)
    stream = OneStream(head(process.pick(VERSION, "ns/asks", "m")))
    await process.rewriter.process(stream)
    assert len(stream.got) == 1
