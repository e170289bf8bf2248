"""Every kind of call, by the clients people use, through a real Envoy."""

import aiohttp
import openai
import pytest
from gateway_rig import GatewayRig, policy
from yarl import URL

from pilotage_api.snapshot import RoutingSnapshot

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 5}


@pytest.fixture
async def client(gateway: GatewayRig):
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as one:
        yield one


async def test_a_chat_is_answered_and_explained(gateway, client):
    answer = await client.chat.completions.create(**CHAT)
    assert answer.usage.completion_tokens == 5
    decision = await gateway.settled_decision()
    assert decision["request"]["model"] == "small"
    assert decision["attempts"][0]["model"] == "llama-8b"
    assert decision["outcome"]["status"] == 200
    assert decision["outcome"]["usage"]["outputTokens"] == 5
    assert decision["outcome"]["usage"]["inputTokens"] == answer.usage.prompt_tokens
    assert decision["outcome"]["servedBy"] == decision["attempts"][0]["address"]


async def test_a_chat_streams_and_its_usage_is_known_though_the_client_did_not_ask(gateway, client):
    stream = await client.chat.completions.create(**CHAT, stream=True)
    chunks = [chunk async for chunk in stream]
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) == 5
    assert all(chunk.usage is None for chunk in chunks), "nor does it see any"
    decision = await gateway.settled_decision()
    assert decision["request"]["stream"] is True
    assert decision["outcome"]["usage"]["outputTokens"] == 5
    assert decision["outcome"]["ttftSeconds"] is not None


async def test_a_client_that_asks_for_usage_gets_it_as_it_asked(gateway, client):
    stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    *others, last = [chunk async for chunk in stream]
    assert last.usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in others)


async def test_a_pool_can_leave_streams_as_they_are(start_gateway, session):
    rig = await start_gateway(pool_spec={"streamUsage": "leave"})
    async with session.post(f"{rig.url}/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
        assert b'"usage"' not in await answer.read()
    decision = await rig.settled_decision()
    assert decision["outcome"]["usage"]["outputTokens"] is None


async def test_completions_and_embeddings(gateway, client):
    completion = await client.completions.create(model="small", prompt="2+2=", max_tokens=3)
    assert completion.usage.completion_tokens == 3
    embedding = await client.embeddings.create(model="small", input=["a", "b"])
    assert len(embedding.data) == 2


async def test_anthropic_messages_unstreamed_and_streamed(gateway, session):
    for stream in (False, True):
        body = {**CHAT, "stream": stream}
        async with session.post(f"{gateway.url}/v1/messages", json=body) as answer:
            assert answer.status == 200
            await answer.read()
        decision = await gateway.settled_decision()
        assert decision["request"]["kind"] == "messages"
        assert decision["outcome"]["usage"]["outputTokens"] == 5


async def test_an_adapter_reaches_the_engine_under_its_own_name(gateway, client):
    answer = await client.chat.completions.create(**{**CHAT, "model": "sql-lora"})
    assert answer.model == "sql-lora"


async def test_a_stored_response_is_continued_fetched_and_cancelled_on_its_own_server(gateway, client):
    for _ in range(4):
        first = await client.responses.create(model="small", input="hello", max_output_tokens=3)
        second = await client.responses.create(
            model="small", input="more", max_output_tokens=3, previous_response_id=first.id
        )
        assert (await client.responses.retrieve(first.id)).id == first.id
        assert (await client.responses.cancel(second.id)).status == "cancelled"


async def test_a_streamed_response_is_found_again(gateway, client):
    stream = await client.responses.create(model="small", input="hello", max_output_tokens=3, stream=True)
    events = [event async for event in stream]
    id_ = events[-1].response.id
    assert (await client.responses.retrieve(id_)).id == id_


async def test_the_client_builds_a_response_from_its_stream(gateway, client):
    async with client.responses.stream(model="small", input="hello", max_output_tokens=3) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert final.usage.output_tokens == 3
    assert len(final.output_text) > 0


async def test_an_unknown_response_is_a_typed_404(gateway, client):
    with pytest.raises(openai.NotFoundError) as raised:
        await client.responses.retrieve("resp_unknown")
    assert (raised.value.code, raised.value.param) == ("response_not_found", "response_id")


async def test_a_response_of_another_pool_cannot_be_continued_and_the_error_says_why(start_gateway):
    rig = await start_gateway(small=1, strong=1)
    async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="none") as client:
        first = await client.responses.create(model="small", input="hello", max_output_tokens=3)
        with pytest.raises(openai.NotFoundError) as raised:
            await client.responses.create(model="strong", input="more", previous_response_id=first.id)
    assert (raised.value.code, raised.value.param) == ("response_not_found", "previous_response_id")
    assert "does not serve `strong`" in str(raised.value)


async def test_the_model_list_has_every_name_a_client_may_ask_for(start_gateway):
    auto = policy("auto", {"models": ["auto", "gpt-*"]}, [{"model": "small"}])
    rig = await start_gateway(strong=1, policies=[auto])
    async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="none") as client:
        names = {model.id async for model in client.models.list()}
    assert names == {"auto", "llama-8b", "llama-70b", "small", "strong", "sql-lora"}


async def test_an_unknown_model_is_a_typed_404(gateway, client):
    with pytest.raises(openai.NotFoundError) as raised:
        await client.chat.completions.create(**{**CHAT, "model": "nope"})
    assert raised.value.code == "model_not_found"


async def test_an_engine_error_reaches_the_client_as_the_engine_said_it(gateway, client):
    with pytest.raises(openai.BadRequestError, match="max_tokens must be at least 1"):
        await client.chat.completions.create(**{**CHAT, "max_tokens": 0})


async def test_policies_choose_by_header_and_fall_back_over_models(start_gateway, session):
    rig = await start_gateway(
        strong=2,
        policies=[
            policy("auto", {"models": ["auto"]}, [{"model": "small"}, {"model": "strong"}]),
            policy(
                "premium",
                {"models": ["auto"], "headers": [{"name": "X-Tier", "value": "premium"}]},
                [{"model": "strong"}],
            ),
        ],
    )
    async with session.post(
        f"{rig.url}/v1/chat/completions", json={**CHAT, "model": "auto"}, headers={"x-tier": "premium"}
    ) as answer:
        assert (await answer.json())["model"] == "llama-70b"
    assert (await rig.settled_decision())["policy"] == "default/premium"
    for server in rig.servers_of("llama-8b"):
        server.faults.error_rate = 1.0
    async with session.post(f"{rig.url}/v1/chat/completions", json={**CHAT, "model": "auto"}) as answer:
        assert answer.status == 200
        assert (await answer.json())["model"] == "llama-70b"
    await rig.until(lambda: rig.decisions(1)[0]["policy"] == "default/auto")
    decision = await rig.settled_decision()
    assert decision["outcome"]["attempts"] == 3
    assert decision["outcome"]["servedBy"] == decision["attempts"][-1]["address"]


async def test_the_client_sees_the_last_engines_own_error(gateway, session):
    for server in gateway.servers:
        server.faults.error_rate = 1.0
    async with session.post(f"{gateway.url}/v1/chat/completions", json=CHAT) as answer:
        assert answer.status == 500
        assert (await answer.json())["error"]["type"] == "InternalServerError"


async def test_decision_headers_tell_what_the_settings_allow(start_gateway, session):
    for level, told in (("off", None), ("summary", "model="), ("full", "endpoint=127.0.0.1:")):
        rig = await start_gateway(settings={"decisionHeaders": level})
        async with session.post(f"{rig.url}/v1/chat/completions", json=CHAT) as answer:
            header = answer.headers.get("x-pilotage-decision")
        if told is None:
            assert header is None
        else:
            assert told in header
            assert (level == "full") == ("endpoint=" in header)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/v1/chat%2Fcompletions", "/v1/ch%61t/completions?a=b"]
)
async def test_a_path_spelt_otherwise_is_the_same_call_to_the_server(gateway, session, path):
    async with session.post(URL(f"{gateway.url}{path}", encoded=True), json=CHAT) as answer:
        assert (answer.status, (await answer.json())["object"]) == (200, "chat.completion")


async def test_a_client_cannot_steer(gateway, session: aiohttp.ClientSession):
    steering = {
        "x-gateway-destination-endpoint": "127.0.0.1:1",
        "x-gateway-destination-endpoint-subset": "127.0.0.1:1",
        "x-gateway-model-name-rewrite": "other",
        "x-prefiller-host-port": "127.0.0.1:1",
        "x-envoy-max-retries": "50",
        "x-gateway-inference-objective": "free",
        "x-gateway-inference-fairness-id": "me",
        "x-slo-ttft-ms": "1",
    }
    async with session.post(f"{gateway.url}/v1/chat/completions", json=CHAT, headers=steering) as answer:
        assert answer.status == 200
    decision = await gateway.settled_decision()
    assert decision["outcome"]["servedBy"] in {server.address for server in gateway.servers}


async def test_the_admin_address_shows_the_snapshot_in_camel_case_as_all_else(gateway, session):
    async with session.get(f"http://{gateway.gateway.server.admin_address}/snapshot") as answer:
        shown = await answer.json()
    [pool] = shown["pools"]
    assert pool["streamUsage"] == "inject"
    assert shown["names"]["sql-lora"][0]["upstreamModel"] == "sql-lora"
    assert RoutingSnapshot.model_validate(shown) == gateway.runtime.following.snapshot


async def test_metrics_tell_of_requests_endpoints_and_the_snapshot(gateway, session):
    async with session.post(f"{gateway.url}/v1/chat/completions", json=CHAT) as answer:
        await answer.read()
    await gateway.settled_decision()
    async with session.get(f"http://{gateway.gateway.server.admin_address}/metrics") as answer:
        page = await answer.text()
    assert 'pilotage_requests_total{outcome="placed",reason=""} 1.0' in page
    assert 'pilotage_endpoints{state="ready"} 3.0' in page
    assert 'pilotage_pick_served_total{against="first"} 1.0' in page
    assert f'pilotage_snapshot_info{{version="{gateway.runtime.following.snapshot.version}"}} 1.0' in page
    assert 'pilotage_source_age_seconds{source="metrics"}' in page
    assert 'pilotage_decision_seconds_count{stage="place"} 1.0' in page
