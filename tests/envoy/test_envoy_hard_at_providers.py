"""A hard budget at a provider: whatever its client breaks off is booked at what it may have cost."""

import asyncio

import aiohttp
import pytest
import redis
from envoy_rig import CHAT, CHAT_BODY, chunk, fixed, stream_head
from faulty_providers import hosted
from hosted_pools import LOOPBACK
from provider_stub import answered, sse, stalled
from valkey_server import ValkeyServer
from whole_gateway import WholeGateway

OUTPUT = 50
NANO_A_TOKEN = 1_000_000
PIECES = 3
PRICE = {"inputPerMillion": "0", "outputPerMillion": "1000"}
MOST = OUTPUT * NANO_A_TOKEN
SAID = [{"choices": [{"index": 0, "delta": {"content": "several tokens in one piece "}}]}] * PIECES
BEGUN = stream_head() + b"".join(chunk(sse(one)) for one in SAID)


@pytest.fixture
async def gateway(tmp_path, start_server, stub):
    valkey = ValkeyServer()
    valkey.start()
    spare = await start_server(fixed(503, b"{}"))
    made = WholeGateway(
        tmp_path / "gateway",
        {"spare": [spare]},
        {"candidates": [{"model": "hosted"}], "timeouts": {"idle": "1s"}},
        documents=[hosted(stub, model={"pricing": PRICE, "contextWindow": 8192})],
        spec={"governance": {"budgets": [{"per": "policy", "period": "day", "usd": "5", "mode": "hard"}]}},
        governance={"store": {"valkey": {"address": f"127.0.0.1:{valkey.port}"}}},
        **LOOPBACK,
    )
    await made.start()
    try:
        await made.until_usable("hosted")
        await made.until(lambda: not made.runtime.state.accounting.valkey.away, 10)
        yield made, Ledger(valkey.port)
    finally:
        await made.stop()
        valkey.kill()


class Ledger:
    """The one budget there is, at the server itself."""

    def __init__(self, port):
        self._client = redis.Redis(port=port)

    def figures(self):
        """Settled, estimated and held nano-dollars."""
        found = [0, 0, 0]
        for key in self._client.scan_iter("*:b:*"):
            if self._client.type(key) == b"hash" and not key.endswith(b":a"):
                for place, name in enumerate("seh"):
                    found[place] += int(self._client.hget(key, name) or 0)
        return tuple(found)

    async def becomes(self, expected):
        for _ in range(600):
            if self.figures() == expected:
                return
            await asyncio.sleep(0.05)
        assert self.figures() == expected


async def leave(gateway, *, after: bytes, stream: bool):
    """Ask, and leave once these bytes have come, or at once without any."""
    body = {**CHAT_BODY, "model": "auto", "max_tokens": OUTPUT, "stream": stream}
    url = f"http://{gateway.gateway.address}{CHAT}"
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.post(url, json=body))
        if after:
            answer = await asking
            assert after in await answer.content.readexactly(70)
            answer.close()
        else:
            await asyncio.sleep(0.4)
            asking.cancel()


LEFT = {
    "a stream that is cut": (stalled(BEGUN), b"several", True),
    "a whole answer that is not waited for": (stalled(), b"", False),
    "a stream before it begins": (stalled(), b"", True),
}


async def test_what_a_provider_may_bill_is_booked_by_how_its_answer_ended(gateway, stub):
    whole, ledger = gateway
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    stub.script[:] = [answered(usage=usage)]
    assert (await whole.chat(max_tokens=OUTPUT))[0] == 200
    settled = 3 * NANO_A_TOKEN
    await ledger.becomes((settled, 0, 0))
    for count, (script, after, stream) in enumerate(LEFT.values(), 1):
        stub.script[:] = [script]
        await leave(whole, after=after, stream=stream)
        await ledger.becomes((settled, count * MOST, 0))
    estimated = len(LEFT) * MOST
    stub.script[:] = [fixed(500, b'{"error":{}}')]
    assert (await whole.chat(max_tokens=OUTPUT))[0] >= 500
    await ledger.becomes((settled, estimated, 0))
    stub.script[:] = [stalled()]
    assert (await whole.chat(max_tokens=OUTPUT))[0] == 504, "nothing came of it within `idle`"
    await ledger.becomes((settled, estimated + MOST, 0))
