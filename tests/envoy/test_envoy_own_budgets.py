"""Output budgets by model over real Envoy: a fallback to another model has that model's."""

import json

import pytest
from envoy_rig import fixed
from whole_gateway import WholeGateway, own_pool

GOOD = fixed(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": "ok"}}]}).encode())
FAILING = fixed(503, b"{}")
BUDGET = {"levels": [64, 1024], "enforce": "clamp"}
OBJECTIVE = {"weights": {"quality": 100, "cost": 30}, "references": {"usd": "0.001", "seconds": "2"}}


def facts(name, least, most, usd):
    points = [{"tokens": 64, "quality": least}, {"tokens": 1024, "quality": most}]
    return {
        "models": [
            {
                "name": name,
                "quality": {"default": most, "byBudget": [{"enforce": "clamp", "points": points}]},
                "pricing": {"inputPerMillion": usd, "outputPerMillion": usd},
            }
        ]
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_each_attempt_at_another_model_is_bounded_by_that_models_budget(tmp_path, start_server, stream):
    strong, weak = await start_server(FAILING), await start_server(GOOD)
    rule = {"candidates": [{"model": "strong"}, {"model": "weak"}], "objective": OBJECTIVE}
    gateway = WholeGateway(
        tmp_path / "g",
        {"strong": [strong]},
        {**rule, "outputBudget": BUDGET},
        pool=facts("strong", "0.1", "0.9", "1"),
        documents=[own_pool("weak", [weak], facts("weak", "0.7", "0.7", "0.5"))],
    )
    await gateway.start()
    try:
        status, _, _ = await gateway.chat(max_tokens=900, stream=stream)
        explained = await gateway.explained()
    finally:
        await gateway.stop()
    assert status == 200
    got = {
        name: json.loads(server.received[-1].body) for name, server in (("strong", strong), ("weak", weak))
    }
    assert {name: (body["model"], body["max_tokens"]) for name, body in got.items()} == {
        "strong": ("strong", 900),
        "weak": ("weak", 64),
    }
    shown = [(one["model"], one["outputBudget"]) for one in explained["choice"]["attempts"]]
    assert shown == [("strong", 900), ("weak", 64)]
