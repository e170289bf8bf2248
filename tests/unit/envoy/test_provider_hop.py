"""A provider's hop: which headers leave, under which path, and what is refused."""

import json

import pytest
from fake_stream import FakeStream, request_body, request_head

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.dialects.provider_call import ProviderCall
from pilotage_extproc.dialects.translation.translator import ProviderTranslator
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc.provider_hop import ProviderHop

POOL = "default/hosted"
CHAT = "/v1/chat/completions"


class Stream(FakeStream):
    """Of a provider's listener."""

    def __init__(self, *sent, pool: str = POOL) -> None:
        super().__init__(*sent)
        self._pool = pool

    def invocation_metadata(self) -> dict[str, str]:
        return {names.PROVIDER_HEADER: self._pool}


def pool(dialect=ProviderDialect.OPENAI, **more) -> PoolSnapshot:
    return PoolSnapshot(
        key=POOL,
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=("gpt-x",),
        external=ExternalSnapshot(host="p.example", port=443, dialect=dialect, **more),
    )


def hop(made: PoolSnapshot | None = None, translator=None) -> ProviderHop:
    known = {POOL: made or pool()}
    return ProviderHop(known.get, translator or ProviderTranslator())


async def served(one: ProviderHop, *sent, **more) -> FakeStream:
    stream = Stream(*sent, **more)
    await one.process(stream)
    return stream


def set_of(common) -> dict[str, str]:
    return {one.header.key: one.header.raw_value.decode() for one in common.header_mutation.set_headers}


async def test_all_but_a_few_headers_of_the_client_stay_behind():
    sent = {
        "authorization": "Bearer x",
        "cookie": "c",
        "x_api_key": "k",
        "x_forwarded_for": "1.2.3.4",
        "x_request_id": "r",
        "x_anything": "y",
        "user_agent": "u",
        "accept": "a",
        "anthropic_beta": "b",
        "host": "gateway",
    }
    stream = await served(hop(), request_head(CHAT, **sent))
    [answer] = stream.got
    removed = set(answer.request_headers.response.header_mutation.remove_headers)
    assert removed == {
        "authorization",
        "cookie",
        "x-api-key",
        "x-forwarded-for",
        "x-request-id",
        "x-anything",
    }


async def test_where_the_api_is_the_clients_own_the_body_does_not_come_here():
    stream = await served(hop(), request_head(CHAT))
    [answer] = stream.got
    assert answer.HasField("mode_override")
    assert answer.mode_override.request_body_mode == 0
    assert not answer.request_headers.response.HasField("body_mutation")


async def test_the_path_has_the_pools_prefix_and_no_query_of_the_client():
    stream = await served(hop(pool(path_prefix="/base")), request_head(f"{CHAT}?api-version=mine"))
    assert set_of(stream.got[0].request_headers.response)[":path"] == f"/base{CHAT}"


@pytest.mark.parametrize(
    ("model", "part"),
    [("gpt-x", "gpt-x"), ("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("../x", "..%2Fx"), ("ä", "%C3%A4")],
)
async def test_a_deployment_is_one_part_of_the_path_whatever_it_is_called(model, part):
    azure = hop(pool(ProviderDialect.AZURE, api_version="2024-10-21"))
    body = json.dumps({"model": model, "messages": []}).encode()
    stream = await served(azure, request_head(CHAT), request_body(body))
    path = set_of(stream.got[1].request_body.response)[":path"]
    assert path == f"/openai/deployments/{part}/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize("body", [b"{}", b'{"model":".."}', b'{"model":1}', b"["])
async def test_a_deployment_that_cannot_be_named_is_refused(body):
    azure = hop(pool(ProviderDialect.AZURE, api_version="2024-10-21"))
    stream = await served(azure, request_head(CHAT), request_body(body))
    assert stream.got[1].immediate_response.status.code == 400


async def test_anthropic_gets_its_version_where_the_client_named_none():
    anthropic = hop(pool(ProviderDialect.ANTHROPIC))
    stream = await served(anthropic, request_head("/v1/messages"))
    assert set_of(stream.got[0].request_headers.response)["anthropic-version"] == "2023-06-01"
    stream = await served(anthropic, request_head("/v1/messages", anthropic_version="2024-01-01"))
    assert "anthropic-version" not in set_of(stream.got[0].request_headers.response)
    assert "anthropic-version" not in stream.got[0].request_headers.response.header_mutation.remove_headers


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/files", "/tokenize"])
async def test_a_call_that_the_api_does_not_have_is_refused_so_that_another_attempt_may_follow(path):
    stream = await served(hop(), request_head(path), request_body(b"{}"))
    assert stream.got[-1].immediate_response.status.code == 503


async def test_a_pool_that_is_no_more_is_refused():
    stream = await served(hop(), request_head(CHAT), pool="default/gone")
    assert stream.got[0].immediate_response.status.code == 503


class Translating:
    """Makes every call a chat."""

    def translates(self, kind, dialect):
        return True

    def translate(self, asked, dialect, upstream_model, facts):
        assert (asked.kind, upstream_model, facts) == (CallKind.MESSAGES, "gpt-x", None)
        return ProviderCall(
            CHAT, CallKind.CHAT, b'{"new":1}', {"content-type": "application/json"}, {"answer": "1"}
        )


async def test_what_the_translator_makes_is_sent_and_told_to_whoever_reads_the_answer():
    stream = await served(
        hop(translator=Translating()), request_head("/v1/messages"), request_body(b'{"model":"gpt-x"}')
    )
    answer = stream.got[1]
    common = answer.request_body.response
    assert common.body_mutation.body == b'{"new":1}'
    assert set_of(common)["content-length"] == "9"
    assert set_of(common)[":path"] == CHAT
    assert dict(answer.dynamic_metadata[names.PROVIDER_NAMESPACE]) == {"answer": "1"}
