"""Whatever becomes of a request: neither a credential nor a prompt is in what the gateway tells of it."""

import json
import logging

import pytest
from certificates import Authority
from gateway_rig import policy
from provider_stub import ProviderStub, refused
from test_e2e_providers import LOOPBACK, ask, chat, hosted, until, usable

ONE, TWO, CLIENTS, PROMPT = "sk-of-one-4711", "sk-of-two-4712", "sk-of-client-4713", "hush-4714"
OF_PICKER = ("metrics", "status", "snapshot", "endpoints", "decisions")
OF_ENVOY = ("config_dump?include_eds", "clusters", "stats", "certs", "listeners", "server_info")


@pytest.fixture
async def stubs(tmp_path):
    made = [ProviderStub(Authority(), hosts=("localhost",)) for _ in range(2)]
    for one in made:
        await one.start(tmp_path)
    yield made
    for one in made:
        await one.stop()


async def test_no_credential_and_no_prompt_is_told_to_anybody_else(
    start_gateway, session, stubs, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    for name, value in (("one", ONE), ("two", TWO)):
        (tmp_path / name).write_text(value)
    order = policy("auto", {"models": ["auto"]}, [{"model": name} for name in ("a", "b", "small")])
    rig = await start_gateway(settings={**LOOPBACK, "decisionHeaders": "full"}, policies=[order])
    for stub, pool, model in zip(stubs, ("one", "two"), ("a", "b"), strict=True):
        auth = {"file": str(tmp_path / pool)}
        rig.write(f"{pool}.yaml", hosted(stub, name=pool, models=({"name": model},), auth=auth))
    await until(lambda: usable(rig, "default/one") and usable(rig, "default/two"))
    session.headers["authorization"] = f"Bearer {CLIENTS}"
    told = []
    for number in range(4):  # the last of the list answers, then the second, then the first, twice
        for stub, fails in zip(stubs, (number < 2, number < 1), strict=True):
            if fails:
                stub.script.append(refused(503, "overloaded"))
        body = chat("auto", max_tokens=2, stream=number == 3)
        body["messages"][0]["content"] = PROMPT
        async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            told += [str(answer.headers), (await answer.text()).replace(PROMPT, "")]
    assert [len(stub.received) for stub in stubs] == [4, 2]
    await until(lambda: rig.gateway.requests_under_way == 0)

    assert {got.headers["authorization"] for got in stubs[0].received} == {f"Bearer {ONE}"}
    assert {got.headers["authorization"] for got in stubs[1].received} == {f"Bearer {TWO}"}
    for got in (*stubs[0].received, *stubs[1].received):
        assert CLIENTS not in str(got.headers) + str(got.body)

    picker, envoy = rig.gateway.server.admin_address, rig.gateway.envoy.admin_address
    pages = [f"http://{picker}/{page}" for page in OF_PICKER] + [
        f"http://{envoy}/{page}" for page in OF_ENVOY
    ]
    async with session.get(f"http://{picker}/decisions") as answer:
        recent = json.loads(await answer.text())
    listed = recent["decisions"] if isinstance(recent, dict) else recent
    pages += [f"http://{picker}/decisions/{one['decision']}" for one in listed]
    assert len(listed) >= 4
    for page in pages:
        async with session.get(page) as answer:
            assert answer.status == 200, page
            told.append(await answer.text())
    told += [record.getMessage() + str(record.__dict__) for record in caplog.records]
    told += list(rig.gateway.envoy.last_lines)
    everything = "\n".join(told)
    assert "default/one" in everything, "attempts are told"
    for secret in (ONE, TWO, CLIENTS, PROMPT):
        at = everything.find(secret)
        assert at < 0, everything[max(0, at - 300) : at + 100]
    assert (await ask(session, rig, chat("a")))[0] == 200
