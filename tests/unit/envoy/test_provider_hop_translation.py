"""What a provider's hop does to a request, without Envoy."""

import threading

import orjson
import pytest
from fake_stream import FakeStream, Request, request_body, request_head

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.dialects.provider_call import Asked, ProviderCall
from pilotage_extproc.dialects.translation.translator import ProviderTranslator
from pilotage_extproc.envoy.ext_proc.provider_hop import ProviderHop

HI = [{"role": "user", "content": "hi"}]


class AskedBy(ProviderTranslator):
    """Keeps in which thread it was asked."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def translate(self, asked: Asked, *more) -> ProviderCall:
        self.threads.append(threading.current_thread())
        return super().translate(asked, *more)


class HopStream(FakeStream):
    def invocation_metadata(self) -> dict[str, str]:
        return {"x-pilotage-provider": "default/hosted"}


def pool(dialect: ProviderDialect) -> PoolSnapshot:
    external = ExternalSnapshot(host="h.example", port=443, dialect=dialect, api_version="2026-01-01")
    facts = ModelSnapshot(
        upstream_model="m", name="strong", max_output_tokens=99, capabilities=("reasoning",)
    )
    return PoolSnapshot(
        key="default/hosted",
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=("m",),
        model_facts=(facts,),
        external=external,
    )


async def sent(path: str, body: object, dialect: ProviderDialect, translator=None, **headers: str) -> list:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    messages: list[Request] = [request_head(path, **headers), request_body(raw)]
    stream = HopStream(*messages)
    hop = ProviderHop(lambda _: pool(dialect), translator or ProviderTranslator())
    await hop.process(stream)
    return stream.got


def set_headers(answer) -> dict[str, str]:
    options = answer.request_body.response.header_mutation.set_headers
    return {one.header.key: one.header.raw_value.decode() for one in options}


async def test_a_chat_is_anthropics_by_path_body_and_version():
    body = {"model": "m", "messages": HI, "reasoning_effort": "high", "stream": True, "seed": 1}
    _, answer = await sent("/v1/chat/completions", body, ProviderDialect.ANTHROPIC)
    headers = set_headers(answer)
    assert headers[":path"] == "/v1/messages"
    assert headers["anthropic-version"]
    written = answer.request_body.response.body_mutation.body
    assert headers["content-length"] == str(len(written))
    assert orjson.loads(written) == {
        "model": "m",
        "max_tokens": 99,
        "messages": HI,
        "output_config": {"effort": "high"},
        "stream": True,
    }
    told = answer.dynamic_metadata.fields["pilotage.provider"].struct_value
    assert dict(told) == {"answer_as": "chat", "stream": "1", "thinking": "1", "notes": "seed: dropped"}


async def test_messages_go_to_azures_deployment():
    body = {"model": "m", "max_tokens": 5, "messages": HI}
    _, answer = await sent("/v1/messages", body, ProviderDialect.AZURE)
    expected = "/openai/deployments/m/chat/completions?api-version=2026-01-01"
    assert set_headers(answer)[":path"] == expected


@pytest.mark.parametrize(
    ("path", "body", "dialect", "status", "code"),
    [
        ("/v1/embeddings", {"model": "m", "input": "x"}, ProviderDialect.ANTHROPIC, 503, b"no_endpoints"),
        ("/v1/chat/completions", b"{", ProviderDialect.ANTHROPIC, 400, b"invalid_json"),
        ("/v1/chat/completions", b"[]", ProviderDialect.ANTHROPIC, 400, b"invalid_json"),
        ("/v1/chat/completions", b"", ProviderDialect.ANTHROPIC, 400, b"invalid_json"),
        (
            "/v1/messages/count_tokens",
            {"model": "m", "messages": HI},
            ProviderDialect.OPENAI,
            503,
            b"overloaded",
        ),
    ],
)
async def test_what_cannot_be_made_is_refused(path, body, dialect, status, code):
    answer = (await sent(path, body, dialect))[-1].immediate_response
    assert answer.status.code == status
    assert code in answer.body


async def test_only_a_field_that_cannot_be_said_leads_to_the_next_attempt():
    for more, leads in (({"n": 2}, True), ({"temperature": "hot"}, False)):
        body = {"model": "m", "messages": HI, **more}
        answer = (await sent("/v1/chat/completions", body, ProviderDialect.ANTHROPIC))[-1].immediate_response
        keys = [one.header.key for one in answer.headers.set_headers]
        assert ("x-pilotage-try-next" in keys) == leads


@pytest.mark.parametrize(
    ("messages", "beside"),
    [(HI, False), (HI * 2000, True), ([{"role": "user", "content": "x" * (1 << 20)}], True)],
)
async def test_a_translation_that_takes_long_runs_beside_the_loop(messages, beside):
    translator = AskedBy()
    body = {"model": "m", "messages": messages}
    await sent("/v1/chat/completions", body, ProviderDialect.ANTHROPIC, translator)
    [thread] = translator.threads
    assert (thread is not threading.main_thread()) == beside


SOUND = {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}


@pytest.mark.parametrize(
    ("moved", "place"),
    [
        ("", "messages.1.content.0.type"),
        ("messages 1", "messages.0.content.0.type"),
        ("messages 1 0,2", "messages.1.content.0.type"),
        ("messages 1; tools 0 0", "messages.0.content.0.type"),
        ("content 0 1", "messages.1.content.0.type"),
        ("content 1 1", "messages.1.content"),
        ("rubbish", "messages.1.content.0.type"),
    ],
)
async def test_a_refusal_names_the_place_as_its_client_counts_it(moved, place):
    body = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, SOUND]}
    headers = {"x-pilotage-moved": moved} if moved else {}
    [*_, answer] = await sent("/v1/chat/completions", body, ProviderDialect.ANTHROPIC, None, **headers)
    error = orjson.loads(answer.immediate_response.body)["error"]
    assert error["param"] == place
    assert f"`{place}`" in error["message"]


async def test_a_refusal_behind_thinking_that_was_taken_out_names_the_clients_place():
    odd = {"type": "container_upload", "file_id": "f"}
    said = [*HI, {"role": "assistant", "content": [{"type": "text", "text": "a"}, odd]}]
    headers = {"x-pilotage-moved": "messages 0 0; thinking 1,3.0,3.1"}
    body = {"model": "m", "max_tokens": 9, "messages": said}
    [*_, answer] = await sent("/v1/messages", body, ProviderDialect.OPENAI, None, **headers)
    assert b"`messages.3.content.3.type`" in answer.immediate_response.body


async def test_how_lists_were_moved_is_told_to_whoever_reads_an_untranslated_answer():
    body = {"model": "m", "max_tokens": 9, "messages": HI}
    for moved in ("thinking 1,3.0", ""):
        headers = {"x-pilotage-moved": moved} if moved else {}
        answer = (await sent("/v1/messages", body, ProviderDialect.ANTHROPIC, None, **headers))[-1]
        told = answer.dynamic_metadata.fields
        assert ("pilotage.provider" in told) == bool(moved)
        if moved:
            assert dict(told["pilotage.provider"].struct_value) == {"moved": moved}


async def test_how_messages_were_moved_is_no_providers_business():
    headers = {"x-pilotage-moved": "messages 1"}
    body = {"model": "m", "messages": HI}
    _, answer = await sent("/v1/chat/completions", body, ProviderDialect.ANTHROPIC, None, **headers)
    assert "x-pilotage-moved" in answer.request_body.response.header_mutation.remove_headers
