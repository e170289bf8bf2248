"""Attempts that a provider took and did not answer are paid for; what answered in its place is, too."""

from envoy_rig import fixed
from faulty_providers import TIMES, hosted
from hosted_pools import LOOPBACK
from provider_stub import raw, stalled
from whole_gateway import WholeGateway

ANSWER = b'{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":5}}'
BUDGET = {"budgets": [{"per": "policy", "period": "day", "usd": "5", "mode": "soft"}]}


async def test_a_first_token_that_never_came_costs_the_input_and_an_error_nothing(
    tmp_path, stub, start_server
):
    spare = await start_server(fixed(200, ANSWER))
    dear = {"pricing": {"inputPerMillion": "1000", "outputPerMillion": "1000"}}
    rule = {
        "candidates": [{"model": "hosted"}],
        "timeouts": TIMES,
        "fallback": {"reasons": ["firstToken", "serverError"], "to": [{"model": "spare"}]},
    }
    gateway = WholeGateway(
        tmp_path / "gateway",
        {"spare": [spare]},
        rule,
        documents=[hosted(stub, model=dear)],
        spec={"governance": BUDGET},
        pool={"models": [{"name": "spare", "pricing": {"inputPerMillion": "1", "outputPerMillion": "1"}}]},
        **LOOPBACK,
    )
    await gateway.start()
    try:
        await gateway.until_usable("hosted")
        books = gateway.runtime.state.accounting.memory
        for answer, attempts in ((raw(500, b'{"error":{}}'), 0), (stalled(), 1)):
            before = books.figures()
            stub.script[:] = [answer]
            status, _, _ = await gateway.chat(stream=True)
            assert status == 200
            await gateway.explained()
            settled, estimated, held = (now - was for now, was in zip(books.figures(), before, strict=True))
            assert (settled, held) == (25_000, 0)
            # some tokens of input at a thousand dollars a million: whole thousandths
            assert (estimated > 0, estimated % 1_000_000) == (attempts == 1, 0)
    finally:
        await gateway.stop()
