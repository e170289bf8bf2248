"""Hosted providers behind listeners inside Envoy, served over ADS: one list with own servers."""

import json

from envoy_rig import CHAT_BODY, fixed, pick
from provider_rig import POOL, PROVIDER, external, provided, until
from provider_stub import HOST, TEXT, refused

from pilotage_api.external_snapshot import CredentialSnapshot, HeaderSnapshot, ProviderDialect
from pilotage_extproc.domain.providers import provider_address, provider_listener
from pilotage_extproc.envoy.contract import CLUSTER_TYPE, ENDPOINTS_TYPE, SECRET_TYPE
from pilotage_extproc.envoy.xds import ads, typed
from pilotage_extproc.envoy.xds.provider_secrets import ProviderSecrets, credential_file, credential_name


def secrets_in(pool: str, file) -> ProviderSecrets:
    name = credential_name(provider_listener(pool))
    return ProviderSecrets(credential=name, by_name={name: credential_file(name, str(file))})


async def test_a_provider_answers_over_tls_with_its_own_credential_and_few_headers(
    start_provider_rig, stub, tmp_path
):
    key = tmp_path / "key"
    key.write_text("sk-1")
    bearer = CredentialSnapshot(header="authorization", prefix="Bearer ", file=str(key))
    made = external(stub, credential=bearer, headers=(HeaderSnapshot(name="x-own", value="50% off"),))
    rig = await start_provider_rig(stub, made=made, secrets=secrets_in(POOL, key))
    status, _, body = await rig.chat(
        authorization="Bearer the client's", x_api_key="also the client's", cookie="c=1", x_more="1"
    )
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, TEXT)
    [got] = stub.received
    assert got.path == "/v1/chat/completions"
    assert got.headers["host"] == f"{HOST}:{stub.port}"
    assert got.headers["authorization"] == "Bearer sk-1"
    assert got.headers["x-own"] == "50% off"
    assert sorted(got.headers) == [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-own",
    ]
    assert json.loads(got.body) == CHAT_BODY
    outcome = (await rig.logged())[0].outcome
    assert (outcome.upstream_address, outcome.http_status) == (PROVIDER, 200)
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (7, 3)
    assert set(rig.replies) == {"acked"}


async def test_a_list_goes_from_a_server_to_a_provider_and_to_the_next(start_rig, start_server, start_stub):
    server = await start_server(fixed(503, b"{}"))
    first, second = await start_stub(), await start_stub()
    first.script.append(refused(429))
    other = provider_address("default/other")
    rig = await start_rig(lambda head, body: pick(server.address, PROVIDER, other), [server.address])
    providers = [
        provided(rig, first, external(first)),
        provided(rig, second, external(second), pool="default/other"),
    ]
    rig.xds.publish([server.address], (), providers)
    await until(lambda: {PROVIDER, other} <= rig.acknowledged)
    assert (await rig.chat())[0] == 200
    assert [len(one.received) for one in (server, first, second)] == [1, 1, 1]
    assert rig.hop_streams == 2


async def test_no_credential_reaches_another_attempt_nor_does_the_clients(
    start_rig, start_server, start_stub, tmp_path
):
    server, first, second = await start_server(fixed(200, b"{}")), await start_stub(), await start_stub()
    first.script.append(refused(503))
    second.script.append(refused(503))
    pools = {"default/one": first, "default/two": second}
    addresses = [provider_address(pool) for pool in pools]
    models = dict(zip([*addresses, server.address], ["one", "two", "mine"], strict=True))

    def choose(_head, body):
        named = json.loads(body)
        return pick(
            *addresses, server.address, rebind=models, body=json.dumps({**named, "model": "one"}).encode()
        )

    rig = await start_rig(choose, [server.address])
    sent_as = {
        "default/one": CredentialSnapshot(header="x-api-key", prefix=""),
        "default/two": CredentialSnapshot(header="authorization", prefix="Bearer "),
    }
    providers = []
    for pool, stub in pools.items():
        key = tmp_path / pool.replace("/", "-")
        key.write_text(f"sk-{pool}")
        made = external(stub, credential=sent_as[pool])
        providers.append(provided(rig, stub, made, pool=pool, secrets=secrets_in(pool, key)))
    rig.xds.publish([server.address], (), providers)
    await until(lambda: set(addresses) <= rig.acknowledged)
    assert (await rig.chat(authorization="Bearer the-client", cookie="c=1"))[0] == 200
    [one], [two], [own] = first.received, second.received, server.received
    assert one.headers["x-api-key"] == "sk-default/one"
    assert "authorization" not in one.headers
    assert two.headers["authorization"] == "Bearer sk-default/two"
    assert "x-api-key" not in two.headers
    assert own.headers["authorization"] == "Bearer the-client"
    assert "sk-" not in str(own.headers)
    assert not any("the-client" in str(got.headers) or "cookie" in got.headers for got in (one, two))
    assert [got.model for got in (one, two, own)] == ["one", "two", "mine"]
    assert own.path == "/v1/chat/completions"
    assert int(own.headers["content-length"]) == len(own.body)


async def test_a_retry_does_not_carry_the_path_of_an_azure_deployment(start_provider_rig, start_server, stub):
    server = await start_server(fixed(200, b"{}"))
    stub.script.append(refused(503))
    azure = external(stub, dialect=ProviderDialect.AZURE, api_version="2024-10-21")
    rig = await start_provider_rig(stub, server.address, made=azure)
    assert (await rig.chat())[0] == 200
    assert stub.received[0].path == "/openai/deployments/m/chat/completions?api-version=2024-10-21"
    assert server.received[0].path == "/v1/chat/completions"


async def test_an_envoy_of_the_version_before_is_given_no_provider(start_rig, stub, monkeypatch):
    monkeypatch.setattr(typed.names, "CONTRACT", "1")
    rig = await start_rig(lambda head, body: pick(PROVIDER), [])
    rig.xds.publish([], (), [provided(rig, stub, external(stub))])
    await until(lambda: len(rig.replies) >= 3)
    assert PROVIDER not in rig.acknowledged
    assert (await rig.chat())[0] == 503


async def test_an_envoy_begins_without_a_picker_that_serves_listeners(start_rig, start_server, monkeypatch):
    monkeypatch.setattr(ads, "_ORDER", (CLUSTER_TYPE, ENDPOINTS_TYPE, SECRET_TYPE))
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[0] == 200
