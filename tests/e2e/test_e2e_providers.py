"""Hosted providers as pools of a whole gateway on one machine."""

import asyncio
import json

import pytest
from certificates import Authority
from gateway_rig import policy
from provider_stub import TEXT, ProviderStub, answered, raw, refused
from scripted_server import chunk, stream_head

LOOPBACK = {"providers": {"networks": ["127.0.0.0/8", "::1/128"]}}


async def until(condition, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def stub(tmp_path):
    made = ProviderStub(Authority(), hosts=("localhost",))
    await made.start(tmp_path)
    yield made
    await made.stop()


def hosted(stub, *, name="hosted", models=({"name": "gpt-x", "aliases": ["strong"]},), **external):
    """A pool whose provider is the stub."""
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "external": {
                "host": "localhost",
                "port": stub.port,
                "tls": {"caBundle": stub.authority.certificate},
                **external,
            },
            "models": list(models),
        },
    }


def chat(model="strong", **more):
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}


async def ask(session, rig, body):
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
        return answer.status, await answer.read()


def usable(rig, name="default/hosted"):
    return rig.runtime.following.pool_counts().get(name, None) is not None and (
        rig.runtime.following.pool_counts()[name].ready == 1
    )


async def with_provider(start_gateway, stub, tmp_path, **external):
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    rig = await start_gateway(settings=LOOPBACK)
    rig.write("hosted.yaml", hosted(stub, auth={"file": str(key)}, **external))
    await until(lambda: usable(rig))
    return rig, key


def held(go_on):
    """A stream whose end waits."""

    async def answer(_request, writer):
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    return answer


async def test_a_model_of_a_provider_is_asked_by_its_alias_with_the_providers_name(
    start_gateway, session, stub, tmp_path
):
    models = ({"name": "gpt-x", "aliases": ["strong"], "upstreamName": "gpt-x-2026"},)
    key = tmp_path / "key"
    key.write_text("sk-1\n")
    rig = await start_gateway(settings=LOOPBACK)
    rig.write("hosted.yaml", hosted(stub, models=models, pathPrefix="/base", auth={"file": str(key)}))
    await until(lambda: usable(rig))
    status, body = await ask(session, rig, chat())
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, TEXT)
    [got] = stub.received
    assert (got.path, got.model) == ("/base/v1/chat/completions", "gpt-x-2026")
    assert got.headers["authorization"] == "Bearer sk-1"
    await until(lambda: rig.gateway.requests_under_way == 0)
    assert rig.runtime.state.table.inflight.sum() == 0


async def test_azure_deployments_stand_in_the_path(start_gateway, session, stub, tmp_path):
    rig, _ = await with_provider(start_gateway, stub, tmp_path, dialect="azure", apiVersion="2024-10-21")
    assert (await ask(session, rig, chat()))[0] == 200
    expected = "/openai/deployments/gpt-x/chat/completions?api-version=2024-10-21"
    assert stub.received[0].path == expected


async def test_own_servers_come_before_a_provider_of_the_same_model(start_gateway, session, stub, tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-1")
    rig = await start_gateway(settings=LOOPBACK, small=2)
    same = ({"name": "llama-8b", "aliases": ["small"]},)
    rig.write("hosted.yaml", hosted(stub, models=same, auth={"file": str(key)}))
    await until(lambda: usable(rig))
    for _ in range(10):
        assert (await ask(session, rig, chat("small", max_tokens=1)))[0] == 200
    assert stub.received == []
    for server in rig.servers:
        await server.kill()
    status, body = await ask(session, rig, chat("small", max_tokens=1))
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, TEXT)


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_rotated_file_is_used_within_five_seconds_and_no_stream_is_cut(
    start_gateway, session, stub, tmp_path, in_place
):
    rig, key = await with_provider(start_gateway, stub, tmp_path)
    go_on = asyncio.Event()
    stub.script.append(held(go_on))
    async with session.post(f"{rig.url}/v1/chat/completions", json=chat(stream=True)) as stream:
        assert await stream.content.readuntil(b"\n\n") == b"data: 1\n\n"
        fresh = key if in_place else tmp_path / "fresh"
        fresh.write_text("sk-2\n")
        fresh.replace(key)
        async with asyncio.timeout(30):
            while stub.received[-1].headers.get("authorization") != "Bearer sk-2":
                assert (await ask(session, rig, chat()))[0] == 200
                await asyncio.sleep(0.05)
        go_on.set()
        assert await stream.content.read() == b"data: [DONE]\n\n"


async def test_an_edited_pool_cuts_no_stream_and_its_next_request_follows_the_edit(
    start_gateway, session, stub, tmp_path
):
    rig, key = await with_provider(start_gateway, stub, tmp_path)
    go_on = asyncio.Event()
    stub.script.append(held(go_on))
    async with session.post(f"{rig.url}/v1/chat/completions", json=chat(stream=True)) as stream:
        assert await stream.content.readuntil(b"\n\n") == b"data: 1\n\n"
        edited = {"headers": [{"name": "x-edited", "value": "yes"}], "pathPrefix": "/new"}
        rig.write("hosted.yaml", hosted(stub, auth={"file": str(key)}, **edited))
        await until(lambda: rig.runtime.following.snapshot.pools[0].external.path_prefix == "/new")
        async with asyncio.timeout(30):
            while "x-edited" not in stub.received[-1].headers:
                assert (await ask(session, rig, chat()))[0] == 200
        assert stub.received[-1].path == "/new/v1/chat/completions"
        await asyncio.sleep(2.5)  # Envoy's own time: past its draining of what an edit replaces
        go_on.set()
        assert await stream.content.read() == b"data: [DONE]\n\n"


async def test_a_provider_that_refuses_is_followed_by_the_next_of_the_list(
    start_gateway, session, stub, tmp_path
):
    key = tmp_path / "key"
    key.write_text("sk-1")
    order = policy("auto", {"models": ["auto"]}, [{"model": "strong"}, {"model": "small"}])
    rig = await start_gateway(settings=LOOPBACK, policies=[order])
    rig.write("hosted.yaml", hosted(stub, auth={"file": str(key)}))
    await until(lambda: usable(rig))
    stub.script.append(refused(429, "rate_limit_exceeded"))
    status, body = await ask(session, rig, chat("auto", max_tokens=1))
    assert status == 200
    assert json.loads(body)["model"] == "llama-8b"
    assert len(stub.received) == 1
    stub.script.append(answered("from the provider"))
    assert b"from the provider" in (await ask(session, rig, chat("auto")))[1]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), ("", "is empty"), ("\n", "is empty"), ("a\nb\n", "more than one line")],
)
async def test_a_credential_that_cannot_be_used_costs_the_provider_alone(
    start_gateway, session, stub, tmp_path, content, why
):
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    rig = await start_gateway(settings=LOOPBACK)
    rig.write("hosted.yaml", hosted(stub, auth={"file": str(key)}))
    await until(lambda: "default/hosted" in rig.runtime.providers.problems())
    problem = rig.runtime.providers.problems()["default/hosted"]
    assert problem.reason == "CredentialMissing"
    assert why in problem.message
    assert (await ask(session, rig, chat()))[0] == 503
    assert (await ask(session, rig, chat("small", max_tokens=1)))[0] == 200
    key.write_text("sk-late\n")
    await until(lambda: usable(rig))
    assert (await ask(session, rig, chat()))[0] == 200
    assert stub.received[-1].headers["authorization"] == "Bearer sk-late"


async def test_an_environment_variables_value_is_in_a_private_file_only(
    start_gateway, session, stub, monkeypatch
):
    monkeypatch.setenv("HOSTED_KEY", "sk-from-env")
    rig = await start_gateway(settings=LOOPBACK)
    rig.write(
        "hosted.yaml", hosted(stub, auth={"scheme": "header", "header": "x-api-key", "env": "HOSTED_KEY"})
    )
    await until(lambda: usable(rig))
    assert (await ask(session, rig, chat()))[0] == 200
    assert stub.received[-1].headers["x-api-key"] == "sk-from-env"
    admin = rig.gateway.envoy.admin_address
    async with session.get(f"http://{admin}/config_dump?include_eds") as dump:
        assert "sk-from-env" not in await dump.text()
    assert "sk-from-env" not in rig.gateway.server.view.snapshot().decode()
    assert not any("sk-from-env" in line for line in rig.gateway.envoy.last_lines)


async def test_a_host_that_resolves_to_this_machine_is_refused_unless_the_settings_allow_it(
    start_gateway, session, stub
):
    rig = await start_gateway()
    rig.write("hosted.yaml", hosted(stub))
    await until(lambda: "default/hosted" in rig.runtime.providers.problems())
    assert rig.runtime.providers.problems()["default/hosted"].reason == "HostNotAllowed"
    assert (await ask(session, rig, chat()))[0] == 503


async def test_a_provider_that_envoy_refuses_costs_nobody_else(start_gateway, session, stub, tmp_path):
    rig, _ = await with_provider(start_gateway, stub, tmp_path)
    broken = hosted(stub, name="broken", models=({"name": "gpt-y"},))
    broken["spec"]["external"]["tls"]["caBundle"] = (
        "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
    )
    rig.write("broken.yaml", broken)
    await until(lambda: "default/broken" in rig.runtime.providers.problems())
    assert rig.runtime.providers.problems()["default/broken"].reason == "EnvoyRefused"
    assert (await ask(session, rig, chat("gpt-y")))[0] == 503
    assert (await ask(session, rig, chat()))[0] == 200
    third = hosted(stub, name="third", models=({"name": "gpt-z"},))
    rig.write("third.yaml", third)
    await until(lambda: usable(rig, "default/third"))
    assert (await ask(session, rig, chat("gpt-z")))[0] == 200
    assert "default/broken" in rig.runtime.providers.problems()


async def test_what_nobody_decided_on_is_not_sent_to_a_provider(start_gateway, session, stub):
    to_hosted = {"action": "forward", "pool": "default/hosted"}
    forwarded = {"otherPaths": to_hosted, "otherBodies": to_hosted, "failOpenPool": "default/hosted"}
    rig = await start_gateway(settings={**LOOPBACK, **forwarded})
    rig.write("hosted.yaml", hosted(stub))
    await until(lambda: usable(rig))
    async with session.get(f"{rig.url}/v1/files") as answer:
        assert answer.status == 503
    async with session.post(
        f"{rig.url}/v1/chat/completions", data=b"x", headers={"content-type": "text/plain"}
    ) as answer:
        assert answer.status == 503
    assert stub.received == []


async def test_a_redirect_is_neither_followed_nor_shown(start_gateway, session, stub):
    rig = await start_gateway(settings=LOOPBACK)
    rig.write("hosted.yaml", hosted(stub))
    await until(lambda: usable(rig))
    stub.script.append(raw(307, b"", location="https://elsewhere.example/"))
    async with session.post(f"{rig.url}/v1/chat/completions", json=chat(), allow_redirects=False) as answer:
        assert answer.status == 502
        assert "location" not in answer.headers
    assert len(stub.received) == 1


@pytest.mark.parametrize("wrong", [{"hosts": ("other.example",)}, {"expired": True}])
async def test_a_provider_that_cannot_prove_its_name_gets_no_request(start_gateway, session, tmp_path, wrong):
    impostor = ProviderStub(Authority(), **{"hosts": ("localhost",), **wrong})
    await impostor.start(tmp_path)
    key = tmp_path / "key"
    key.write_text("sk-1")
    try:
        rig = await start_gateway(settings=LOOPBACK)
        rig.write("hosted.yaml", hosted(impostor, auth={"file": str(key)}))
        await until(lambda: usable(rig))
        assert (await ask(session, rig, chat()))[0] == 503
        assert impostor.received == []
    finally:
        await impostor.stop()
