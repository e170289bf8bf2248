"""`examples/content` with the real Envoy: what model servers get of chats, messages and responses."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from envoy_rig import ModelServer, Received, chunk, fixed, stream_head
from whole_gateway import FREE

from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.standalone import Gateway

pytestmark = pytest.mark.envoy

EXAMPLE = Path(__file__).parents[2] / "examples" / "content"
EMAIL = "alice@mail.example"
KEY = "AKIAIOSFODNN7EXAMPLE"
IBAN = "DE89370400440532013000"
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
PATHS = (CHAT, MESSAGES, RESPONSES)


async def answered(request: Received, writer: asyncio.StreamWriter) -> None:
    """An answer, streamed where that is asked for."""
    if json.loads(request.body).get("stream"):
        writer.write(stream_head() + chunk(b"data: {}\n\n") + chunk(b"data: [DONE]\n\n") + chunk(b""))
    else:
        await fixed(200, b"{}")(request, writer)


class Guarded:
    """The example's gateway before servers that keep what they get."""

    def __init__(
        self, gateway: Gateway, servers: dict[str, ModelServer], session: aiohttp.ClientSession
    ) -> None:
        self.gateway = gateway
        self.servers = servers
        self._session = session

    async def ask(self, path: str, members: dict[str, Any]) -> tuple[int, bytes]:
        url = f"http://{self.gateway.address}{path}"
        async with self._session.post(url, json={"model": "auto", **members}) as answer:
            return answer.status, await answer.read()

    def got(self, name: str) -> dict[str, Any]:
        """The last body that a server got."""
        return dict(json.loads(self.servers[name].received[-1].body))


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    servers = {"own": ModelServer(answered), "partner": ModelServer(answered)}
    for server in servers.values():
        await server.start()
    folder = tmp_path / "content"
    shutil.copytree(EXAMPLE, folder)
    settings = yaml.safe_load((folder / "pilotage.yaml").read_text())["spec"]
    (folder / "pilotage.yaml").unlink()
    pools = list(yaml.safe_load_all((folder / "pools.yaml").read_text()))
    for pool in pools:
        host, _, port = servers[pool["metadata"]["name"]].address.rpartition(":")
        pool["spec"]["endpoints"] = [{"address": host, "port": int(port)}]
        pool["spec"]["engine"] = "openai"
    (folder / "pools.yaml").write_text(yaml.safe_dump_all(pools))
    gateway = Gateway(
        folder,
        GatewaySettings.model_validate({"drainSeconds": 1, **settings, "listen": FREE}),
        simulate=False,
        on_compiled=lambda _compiled: None,
        on_trouble=print,
    )
    await gateway.start()
    async with aiohttp.ClientSession() as session:
        yield Guarded(gateway, servers, session)
    await gateway.stop()
    for server in servers.values():
        await server.stop()


def said(path: str, text: str, *, stream: bool, **more: Any) -> dict[str, Any]:
    if path == RESPONSES:
        return {"input": text, "stream": stream, **more}
    limit = {"max_tokens": 5} if path == MESSAGES else {}
    return {"messages": [{"role": "user", "content": text}], "stream": stream, **limit, **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_what_a_partner_gets_says_no_address_and_offers_allowed_tools(
    guarded: Guarded, path: str, stream: bool
) -> None:
    names = ("search_web", "search_payroll", "delete_all")
    tools = [
        {"type": "function", "function": {"name": one}} if path == CHAT else {"name": one} for one in names
    ]
    if path == RESPONSES:
        tools = [{"type": "function", **one} for one in tools]
    status, _ = await guarded.ask(
        path, said(path, f"write to {EMAIL} of TCK-1234", stream=stream, tools=tools)
    )
    assert status == 200
    got = guarded.got("partner")
    text = json.dumps(got)
    assert EMAIL not in text
    assert "TCK-1234" not in text
    assert "[EMAIL_" in text
    assert "[TICKET_" in text
    assert "search_web" in text
    assert "search_payroll" not in text
    assert "delete_all" not in text
    assert got["model"] == "strong"
    last = json.loads(guarded.gateway.server.view.recent_decisions(1))["decisions"][0]
    kinds = {(one["detector"], one["action"], one["count"]) for one in last["content"]}
    assert kinds == {("email", "redact", 1), ("ticket", "redact", 1), ("tools", "remove", 2)}
    assert EMAIL not in json.dumps(last)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_a_secret_reaches_nobody_and_its_refusal_names_the_detector(
    guarded: Guarded, path: str, stream: bool
) -> None:
    status, told = await guarded.ask(path, said(path, f"the key is {KEY}", stream=stream))
    assert status == 400
    error = json.loads(told)["error"]
    assert "secret" in error["message"]
    assert path == MESSAGES or error["code"] == "content_blocked"
    assert KEY.encode() not in told
    assert not any(server.received for server in guarded.servers.values())


@pytest.mark.parametrize("path", PATHS)
async def test_an_account_stays_with_ones_own_servers(guarded: Guarded, path: str) -> None:
    status, _ = await guarded.ask(path, said(path, f"pay {IBAN} for {EMAIL}", stream=False))
    assert status == 200
    text = json.dumps(guarded.got("own"))
    assert IBAN in text
    assert EMAIL in text
    assert not guarded.servers["partner"].received
