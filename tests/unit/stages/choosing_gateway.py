"""A gateway whose one policy chooses between a weak and a strong model, and requests to it."""

from dataclasses import replace

import orjson
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline

CURVE = [{"tokens": 64, "quality": "0.3"}, {"tokens": 256, "quality": "0.6"}]


def pool(name, quality, usd):
    curves = [{"enforce": how, "points": CURVE} for how in ("clamp", "instruct")]
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "endpoints": [{"address": f"10.0.{len(name)}.1", "port": 80}],
            "engine": "openai",
            "models": [
                {
                    "name": name,
                    "quality": {"default": quality, "byBudget": curves},
                    "pricing": {"inputPerMillion": usd, "outputPerMillion": usd},
                }
            ],
        },
    }


async def gateway(weights=None, **rule):
    objective = {
        "weights": weights or {"quality": 1},
        "references": {"usd": "0.001", "seconds": "2"},
        **rule.pop("objective", {}),
    }
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {
            "match": {"models": ["auto"]},
            "rules": [
                {
                    "name": "all",
                    "candidates": [{"model": "weak"}, {"model": "strong"}],
                    "objective": objective,
                    **rule,
                }
            ],
        },
    }
    texts = [
        ("all.yaml", yaml.safe_dump_all([pool("weak", "0.5", "0.2"), pool("strong", "0.8", "10"), policy]))
    ]
    settings = GatewaySettings()
    compiled = compile_resources(load_texts(texts), settings)
    assert not compiled.has_errors
    return await offline_pipeline(compiled.snapshot, settings)


async def decided(pipeline, members=None, *, path="/v1/chat/completions", headers=None, envoy=None):
    sent = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **(members or {})}
    exchange = Exchange(RequestHead("POST", path, headers or {}, envoy=envoy))
    await pipeline.begin(exchange)
    exchange.received(orjson.dumps(sent))
    await pipeline.decide(exchange)
    return exchange


def answered(pipeline, exchange, usage):
    """Its first attempt has answered, and what that used is known."""
    exchange.release()
    outcome = replace(
        Outcome.answered(200),
        decision_id=exchange.decision.id,
        upstream_address=exchange.decision.targets[0].address,
        attempts=1,
        attempt_ttft_seconds=0.2,
        attempt_body_seconds=0.9,
        usage=usage,
    )
    assert pipeline.settle(outcome).known
