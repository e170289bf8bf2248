"""What a provider refuses is told to the client with the places of its own body, on a real Envoy."""

import json

import pytest
from faulty_providers import LOOPBACK, hosted
from limited_picks import GOOD
from provider_stub import ProviderStub, raw
from whole_gateway import WholeGateway

RULE = {"candidates": [{"model": "hosted"}]}
PROMPT = {"transform": {"systemPrompt": {"prefix": "Be brief."}}}
USER = {"role": "user", "content": "hi"}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
ANSWERED = {"role": "assistant", "content": [UNSIGNED, {"type": "text", "text": ""}]}
ANTHROPICS = (
    b'{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: empty"}}'
)
OPENAIS = b'{"error":{"message":"Invalid \'messages[1].content\'","param":"messages[1].content","code":"c"}}'


@pytest.fixture
async def start_gateway(tmp_path, start_server):
    gateways = []

    async def start(stub: ProviderStub, dialect: str, spec) -> WholeGateway:
        pools, documents = {"spare": [await start_server(GOOD)]}, [hosted(stub, dialect)]
        gateway = WholeGateway(tmp_path / "g", pools, RULE, documents=documents, spec=spec, **LOOPBACK)
        gateways.append(gateway)
        await gateway.start()
        await gateway.until_usable("hosted")
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()


async def asked(gateway: WholeGateway, path: str, **members) -> tuple[int, bytes]:
    url = f"http://{gateway.gateway.address}{path}"
    async with gateway.session.post(url, json={"model": "auto", "max_tokens": 9, **members}) as answer:
        body = await answer.read()
        assert int(answer.headers["content-length"]) == len(body)
        return answer.status, body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_anthropics_words_name_the_block_that_the_client_sent(start_gateway, stub, stream):
    gateway = await start_gateway(stub, "anthropic", {})
    stub.script[:] = [raw(400, ANTHROPICS, "application/json")] * 2
    said = [USER, {"role": "assistant", "content": [UNSIGNED]}, ANSWERED, USER]
    status, body = await asked(gateway, "/v1/messages", messages=said, stream=stream)
    assert json.loads(stub.received[-1].body)["messages"] == [
        USER,
        {"role": "assistant", "content": ANSWERED["content"][1:]},
        USER,
    ]
    assert (status, body) == (400, ANTHROPICS.replace(b"1.content.0", b"2.content.1"))
    status, body = await asked(gateway, "/v1/messages", messages=[USER, USER], stream=stream)
    assert (status, body) == (400, ANTHROPICS)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_openais_param_names_the_message_that_the_client_sent(start_gateway, stub, stream):
    gateway = await start_gateway(stub, "openai", PROMPT)
    stub.script[:] = [raw(400, OPENAIS, "application/json")]
    status, body = await asked(gateway, "/v1/chat/completions", messages=[USER], stream=stream)
    assert len(json.loads(stub.received[-1].body)["messages"]) == 2
    assert (status, body) == (400, OPENAIS.replace(b"[1]", b"[0]"))


def in_brackets(place: str) -> bytes:
    return json.dumps({"error": {"message": f"'{place}' is odd", "param": place}}).encode()


ODD_TTL = {"type": "text", "text": "mine", "cache_control": {"type": "ephemeral", "ttl": "9m"}}


async def test_anthropics_words_name_the_block_of_the_system_prompt_that_the_client_sent(start_gateway, stub):
    gateway = await start_gateway(stub, "anthropic", PROMPT)
    said = ANTHROPICS.replace(b"messages.1.content.0", b"system.1.cache_control.ttl")
    stub.script[:] = [raw(400, said, "application/json")]
    status, body = await asked(gateway, "/v1/messages", system=[ODD_TTL], messages=[USER])
    assert json.loads(stub.received[-1].body)["system"][1] == ODD_TTL
    assert (status, body) == (400, said.replace(b"system.1", b"system.0"))


async def test_openais_param_names_the_part_of_the_system_message_that_the_client_sent(start_gateway, stub):
    gateway = await start_gateway(stub, "openai", PROMPT)
    stub.script[:] = [raw(400, in_brackets("messages[0].content[1].text"), "application/json")]
    system = {"role": "system", "content": [{"type": "text", "text": "mine"}]}
    status, body = await asked(gateway, "/v1/chat/completions", messages=[system, USER])
    assert len(json.loads(stub.received[-1].body)["messages"][0]["content"]) == 2
    assert (status, body) == (400, in_brackets("messages[0].content[0].text"))


async def test_openais_words_name_the_function_that_the_client_sent(start_gateway, stub):
    gateway = await start_gateway(stub, "openai", {"governance": {"tools": [{"deny": ["delete_*"]}]}})
    stub.script[:] = [raw(400, in_brackets("functions[0].name"), "application/json")]
    functions = [{"name": name, "parameters": {"type": "object"}} for name in ("delete_all", "look")]
    status, body = await asked(gateway, "/v1/chat/completions", messages=[USER], functions=functions)
    assert json.loads(stub.received[-1].body)["functions"] == functions[1:]
    assert (status, body) == (400, in_brackets("functions[1].name"))
