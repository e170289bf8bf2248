"""The example with tenants, run: keys made by the command, and the typed errors of clients' libraries."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anthropic
import openai
import pytest
from examples_rig import ExamplesRig
from typer.testing import CliRunner
from valkey_server import ValkeyServer

from pilotage_cli.main import application

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 4}
STRONG = "meta-llama/Llama-3.3-70B-Instruct"


def keys(*words: str) -> str:
    found = CliRunner().invoke(application(), ["keys", *words], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def made(file: Path) -> Callable[..., str]:
    def make(*words: str) -> str:
        return keys("create", "--file", str(file), *words)

    return make


@pytest.fixture
async def rig(tmp_path: Path, file: Path, made: Callable[..., str]) -> AsyncIterator[ExamplesRig]:
    made("--tenant", "acme")  # the gateway answers 503 until there is a file of keys
    valkey = ValkeyServer()
    valkey.start()
    governance = {
        "identity": {"apiKeys": {"file": str(file)}},
        "store": {"valkey": {"address": f"127.0.0.1:{valkey.port}"}, "journalDir": str(tmp_path / "usage")},
    }
    one = ExamplesRig(tmp_path / "tenants", name="tenants", settings={"governance": governance})
    await one.start()
    assert not one.compiled[-1].has_errors
    await one.until(lambda: not one.runtime.state.accounting.valkey.away)
    yield one
    await one.stop()
    valkey.kill()


def client(rig: ExamplesRig, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=key, max_retries=0)


async def served(rig: ExamplesRig, key: str) -> None:
    """Once the gateway has read the file again."""
    await rig.until(lambda: rig.runtime.state.keys.find(key, 0.0) is not None)


async def test_a_team_gets_its_model_and_a_tenant_sees_what_it_may_use(rig, made):
    key = made("--tenant", "acme", "--team", "support")
    await served(rig, key)
    async with client(rig, key) as one:
        await one.chat.completions.create(**CHAT)
        assert rig.decisions(1)[0]["attempts"][0]["model"] == STRONG
        assert [model.id async for model in one.models.list()] == ["auto", "strong"]
        await one.chat.completions.create(**{**CHAT, "model": "strong"})
        with pytest.raises(openai.NotFoundError) as hidden:
            await one.chat.completions.create(**{**CHAT, "model": "small"})
        assert hidden.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            await one.models.retrieve("small")
    async with client(rig, made("--tenant", "trial")) as one:
        await served(rig, one.api_key)
        assert [model.id async for model in one.models.list()] == ["auto"]


async def test_clients_raise_their_typed_exceptions(rig, made):
    async with client(rig, "plt-made-up") as one:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await one.chat.completions.create(**CHAT)
    assert unknown.value.code == "invalid_api_key"
    assert unknown.value.response.headers["www-authenticate"].startswith("Bearer")
    stranger = made("--tenant", "nobody")
    await served(rig, stranger)
    async with client(rig, stranger) as one:
        with pytest.raises(openai.PermissionDeniedError) as denied:
            await one.chat.completions.create(**CHAT)
    assert denied.value.code == "unknown_tenant"
    said = {"model": "auto", "max_tokens": 4, "messages": CHAT["messages"]}
    async with anthropic.AsyncAnthropic(base_url=rig.url, api_key="plt-made-up", max_retries=0) as two:
        with pytest.raises(anthropic.AuthenticationError):
            await two.messages.create(**said)
    async with anthropic.AsyncAnthropic(base_url=rig.url, api_key=stranger, max_retries=0) as two:
        with pytest.raises(anthropic.PermissionDeniedError):
            await two.messages.create(**said)
    acme = made("--tenant", "acme")
    await served(rig, acme)
    async with anthropic.AsyncAnthropic(base_url=rig.url, api_key=acme, max_retries=0) as two:
        assert (await two.messages.create(**{**said, "model": "strong"})).usage.output_tokens == 4


async def test_limits_of_a_tenant_are_429_with_the_time_to_wait(rig, made):
    key = made("--tenant", "trial")
    await served(rig, key)
    async with client(rig, key) as one:
        for _ in range(3):
            await one.chat.completions.create(**CHAT)
        with pytest.raises(openai.RateLimitError) as limited:
            await one.chat.completions.create(**CHAT)
        assert 0 < int(limited.value.response.headers["retry-after"]) <= 11


async def test_a_revoked_key_is_refused(rig, made, file):
    key = made("--tenant", "acme")
    await served(rig, key)
    ids = {one["id"] for one in json.loads(keys("list", "--json", "--file", str(file)))}
    async with client(rig, key) as one:
        await one.chat.completions.create(**CHAT)
        for key_id in ids:
            keys("revoke", key_id, "--file", str(file))
        await rig.until(lambda: rig.runtime.state.keys.find(key, 0.0) is None, 5.0)
        with pytest.raises(openai.AuthenticationError):
            await one.chat.completions.create(**CHAT)


async def test_where_requests_wait_the_tenant_of_higher_priority_is_first(rig, made, monkeypatch):
    line, room = rig.runtime.deciding.line, rig.runtime.deciding.room
    monkeypatch.setattr(room, "at", lambda row, pool: False)
    monkeypatch.setattr(room, "free", lambda pools: 0.0)
    asked = []
    for tenant in ("trial", "acme"):
        key = made("--tenant", tenant)
        await served(rig, key)
        one = client(rig, key)
        asked.append(asyncio.create_task(one.chat.completions.create(**CHAT)))
        await rig.until(lambda: len(line) == len(asked))
    order: list[str] = []
    went = line.went
    monkeypatch.undo()
    monkeypatch.setattr(line, "went", lambda waiter: [order.append(waiter.tenant), went(waiter)][1])
    line.room_changed()
    await asyncio.gather(*asked)
    assert order == ["acme", "trial"]
