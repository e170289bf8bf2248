"""Who asks, at a whole gateway with a real Envoy: keys, tokens, a trusted header, and ways to forge them."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest
from envoy_rig import CHAT, CHAT_BODY, chunk, fixed, stream_head
from whole_gateway import WholeGateway

from pilotage_extproc.sources.api_key_records import KeyFile, KeyRecord, key_file_text

SECRET = b"a secret of the issuer that is long enough for HS256"
JWKS = {
    "keys": [
        {"kty": "oct", "alg": "HS256", "kid": "1", "k": base64.urlsafe_b64encode(SECRET).decode().rstrip("=")}
    ]
}
ANSWER = fixed(200, b'{"choices": []}', "application/json")


def encoded(part):
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(
        b"="
    )


def token(secret=SECRET, alg="HS256", without=None, **claims):
    said = {
        "iss": "idp",
        "org": "acme",
        "sub": "ann",
        "aud": "gateway",
        "exp": int(time.time()) + 60,
        **claims,
    }
    said.pop(without, None)
    signed = encoded({"alg": alg, "kid": "1"}) + b"." + encoded(said)
    signature = b"" if alg == "none" else encoded(hmac.digest(secret, signed, "sha256"))
    return (signed + b"." + signature).decode()


def keys(*texts):
    return key_file_text(
        KeyFile(
            tuple(KeyRecord(f"id-{one}", hashlib.sha256(one.encode()).hexdigest(), "acme") for one in texts)
        )
    )


@pytest.fixture
async def start(start_server, tmp_path):
    """Starts a gateway before one server, with what `identity` says."""
    started = []

    async def started_with(identity, answer=ANSWER):
        server = await start_server(answer)
        whole = WholeGateway(tmp_path / "folder", {"small": [server]}, {}, governance={"identity": identity})
        await whole.start()
        started.append(whole)
        return whole, server

    yield started_with
    for one in started:
        await one.stop()


async def ask(whole, headers=None, path=CHAT, **members):
    """Status, headers and parsed body of a call."""
    body = {**CHAT_BODY, "model": "auto", "max_tokens": 5, **members}
    async with whole.session.post(
        f"http://{whole.gateway.address}{path}", json=body, headers=headers
    ) as answer:
        return answer.status, answer.headers, json.loads(await answer.read() or b"null")


async def test_a_key_is_served_and_never_reaches_a_server(start, tmp_path):
    (tmp_path / "keys.json").write_text(keys("one"))
    whole, server = await start({"apiKeys": {"file": str(tmp_path / "keys.json")}})
    for headers in (
        {"Authorization": "Bearer one"},
        {"X-Api-Key": "one"},
        {"api-key": "one", "authorization": "x"},
    ):
        status, _, _ = await ask(whole, headers)
        assert status == 200
        seen = server.received[-1].headers
        assert not {"authorization", "x-api-key", "api-key"} & seen.keys()
        assert b"one" not in server.received[-1].body
    async with whole.session.get(
        f"http://{whole.gateway.address}/v1/models", headers={"x-api-key": "one"}
    ) as page:
        assert [one["id"] for one in (await page.json())["data"]] == ["auto"]


async def test_refusals_have_the_shape_of_each_api(start, tmp_path):
    (tmp_path / "keys.json").write_text(keys("one"))
    whole, server = await start({"apiKeys": {"file": str(tmp_path / "keys.json")}})
    status, headers, body = await ask(whole, {"authorization": "Bearer two"})
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert headers["www-authenticate"] == 'Bearer realm="pilotage", error="invalid_token"'
    status, headers, body = await ask(whole, path="/v1/messages")
    assert (status, body["error"]["type"]) == (401, "authentication_error")
    assert headers["www-authenticate"] == 'Bearer realm="pilotage"'
    status, _, body = await ask(whole, {"x-api-key": "one"}, model="small")
    assert (status, body["error"]["code"]) == (403, "no_policy")
    assert server.received == []


async def test_a_key_that_is_revoked_is_refused_within_five_seconds_and_its_stream_finishes(start, tmp_path):
    file, go_on = tmp_path / "keys.json", asyncio.Event()

    async def streams(_request, writer):
        writer.write(stream_head() + chunk(b"data: {}\n\n"))
        await writer.drain()
        await go_on.wait()
        writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    file.write_text(keys("one"))
    whole, _ = await start({"apiKeys": {"file": str(file)}}, streams)
    url, headers = f"http://{whole.gateway.address}{CHAT}", {"authorization": "Bearer one"}
    body = {**CHAT_BODY, "model": "auto", "stream": True}
    async with whole.session.post(url, json=body, headers=headers) as running:
        assert await running.content.readany() == b"data: {}\n\n"
        file.write_text(keys("two"))
        revoked_at = time.monotonic()
        while (
            await ask(whole, headers, stream=True) if go_on.is_set() else await refused(whole, headers)
        ) != 401:
            assert time.monotonic() - revoked_at < 5
        go_on.set()
        assert (await running.read()).endswith(b"data: [DONE]\n\n")


async def refused(whole, headers):
    """The status of a stream that is begun and left."""
    url = f"http://{whole.gateway.address}{CHAT}"
    async with whole.session.post(
        url, json={**CHAT_BODY, "model": "auto", "stream": True}, headers=headers
    ) as answer:
        return answer.status


async def test_a_token_is_verified_by_envoy_and_cannot_be_forged(start, start_server, tmp_path):
    issuer = await start_server(fixed(200, json.dumps(JWKS).encode(), "application/json"))
    (tmp_path / "keys.json").write_text(keys("one"))
    jwt = {"issuer": "idp", "jwksUri": f"http://{issuer.address}/keys", "tenantClaim": "org"}
    jwt |= {"audiences": ["gateway"]}
    whole, server = await start({"jwt": jwt, "apiKeys": {"file": str(tmp_path / "keys.json")}})
    status, _, _ = await ask(whole, {"authorization": f"Bearer {token()}"})
    assert status == 200
    assert "authorization" not in server.received[-1].headers
    [decision] = json.loads(whole.gateway.server.view.recent_decisions(1))["decisions"]
    assert "acme" not in json.dumps(decision)
    assert (await ask(whole, {"authorization": "Bearer one"}))[0] == 200
    count = len(server.received)
    for forged in (
        token(b"another secret"),
        token(alg="none"),
        token(exp=1),
        token(without="exp"),
        token(nbf=int(time.time()) + 3600),
        token(aud="another application"),
        token(iss="else"),
        token()[:-3],
        "e30.e30.e30",
    ):
        assert (await ask(whole, {"authorization": f"Bearer {forged}"}))[0] == 401
    for made_up in (
        {"x-jwt-payload": encoded({"org": "acme"}).decode()},
        {"x-pilotage-tenant": "acme"},
        {"envoy.filters.http.jwt_authn": "acme"},
    ):
        assert (await ask(whole, made_up))[0] == 401
    status, _, body = await ask(whole, {"authorization": f"Bearer {token(org=None)}"})
    assert (status, body["error"]["code"]) == (403, "unknown_tenant")
    assert len(server.received) == count


@pytest.mark.parametrize(("networks", "served"), [(["127.0.0.0/8"], True), (["10.0.0.0/8"], False)])
async def test_a_trusted_header_counts_only_from_where_it_may_come(start, networks, served):
    whole, server = await start({"trustedHeader": {"name": "x-tenant", "fromCidrs": networks}})
    for more in (
        {},
        {"x-forwarded-for": "10.0.0.1"},
        {"x-real-ip": "10.0.0.1"},
        {"x-envoy-external-address": "10.0.0.1"},
    ):
        status, _, _ = await ask(whole, {"x-tenant": "acme", **more})
        assert status == (200 if served else 401)
    assert (await ask(whole))[0] == 401
    assert all("x-tenant" not in one.headers for one in server.received)
    assert len(server.received) == (4 if served else 0)


async def test_when_the_picker_dies_nothing_is_let_through(start, tmp_path):
    (tmp_path / "keys.json").write_text(keys("one"))
    whole, server = await start({"apiKeys": {"file": str(tmp_path / "keys.json")}})
    asking = asyncio.Event()

    async def slow_body():
        yield json.dumps({**CHAT_BODY, "model": "auto"}).encode()[:20]
        await asking.wait()
        yield json.dumps({**CHAT_BODY, "model": "auto"}).encode()[20:]

    url, headers = f"http://{whole.gateway.address}{CHAT}", {"authorization": "Bearer one"}
    waiting = [asyncio.create_task(status_of(whole, url, slow_body(), headers)) for _ in range(4)]
    await whole.until(lambda: whole.runtime.processor.open_streams == 4)
    await whole.gateway.server.stop()
    asking.set()
    assert all(status >= 500 for status in await asyncio.gather(*waiting))
    assert (await ask(whole, headers))[0] >= 500
    assert (await ask(whole))[0] >= 500
    assert server.received == []


async def status_of(whole, url, body, headers):
    async with whole.session.post(
        url, data=body, headers={**headers, "content-type": "application/json"}
    ) as answer:
        return answer.status
