"""What `check` proves of labels holds at runtime: whatever policies are, no attempt goes elsewhere."""

from typing import Any

import orjson
import pytest
import yaml
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.residency import fits
from pilotage_api.residency_proof import breaches, kept_out_of_fail_open
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import FallbackSnapshot, RoutingSnapshot
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline

LABELS = {"region": ["eu", "us"], "trust": ["own", "provider"]}
MODELS = ["small", "big", "other"]
labels = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in LABELS.items()}
)
models = st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique=True)


def document(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> str:
    head = {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **metadata}}
    return str(yaml.safe_dump({**head, "spec": spec}))


@st.composite
def pools(draw: st.DrawFn) -> list[str]:
    made = []
    for number in range(draw(st.integers(2, 4))):
        facts = {"maxOutputTokens": 100, "pricing": {"inputPerMillion": "1", "outputPerMillion": "2"}}
        spec: dict[str, Any] = {"models": [{"name": model, **facts} for model in draw(models)]}
        if draw(st.booleans()):
            spec["external"] = {"host": f"api{number}.example.com"}
        else:
            # two pools may have one server
            spec["endpoints"] = [
                {"address": f"10.0.0.{draw(st.integers(1, 5))}", "port": 80}
                for _ in range(draw(st.integers(0, 2)))
            ]
        made.append(document("ModelPool", f"pool-{number}", spec, labels=draw(labels)))
    return made


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    rule: dict[str, Any] = {"candidates": [{"model": model} for model in draw(models)]}
    required = draw(labels)
    if required:
        rule["require"] = {"poolLabels": required}
    if draw(st.booleans()):
        reasons = draw(st.sets(st.sampled_from(["saturated", "unavailable", "serverError"]), min_size=1))
        rule["fallback"] = {"reasons": sorted(reasons), "to": [{"model": model} for model in draw(models)]}
    return rule


@st.composite
def policies(draw: st.DrawFn) -> str:
    found = draw(st.lists(rules(), min_size=1, max_size=3))
    for index, rule in enumerate(found):
        rule["name"] = f"r{index}"
    spec: dict[str, Any] = {
        "match": {"models": ["auto"]},
        "rules": found,
        "overrides": {"header": "x-rule", "rules": [rule["name"] for rule in found]},
    }
    if draw(st.booleans()):
        instead = {"candidates": [{"model": model} for model in draw(models)]}
        budget = {"per": "policy", "period": "day", "usd": "0.000001", "mode": "soft", "whenSpent": instead}
        spec["governance"] = {"budgets": [budget]}
    return document("RoutePolicy", "auto", spec)


class Asked:
    """A gateway that is asked again and again."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    async def pools(self, rule: str) -> list[str]:
        """Where a request goes that chooses its rule; it is paid for."""
        exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {"x-rule": rule}, envoy="e"))
        await self.pipeline.begin(exchange)
        exchange.received(orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}))
        try:
            await self.pipeline.decide(exchange)
        except RequestRefused as refused:
            self.pipeline.abandon(exchange, Outcome.answered(refused.reason.http_status))
            return []
        targets = exchange.decision.targets
        usage = TokenUsage(1000, 1000)
        self.pipeline.settle(Outcome(exchange.decision.id, 200, targets[0].address, 1, 1.0, 0.1, usage=usage))
        return [target.pool for target in targets]


@settings(max_examples=examples(120), deadline=None)
@given(pools(), policies(), st.integers(0, 3))
async def test_no_attempt_leaves_the_labels(given_pools: list[str], policy: str, fail_open: int) -> None:
    gateway = GatewaySettings(fail_open_pool=f"default/pool-{fail_open}")
    text = "---\n".join([*given_pools, policy])
    found = compile_resources(load_texts([("a.yaml", text)]), gateway)
    assert list(breaches(found.snapshot)) == []
    kept_out = kept_out_of_fail_open(found.snapshot, f"default/pool-{fail_open}")
    told = {one.code for one in found.findings}
    assert ("fail-open-outside" in told) == bool(kept_out)
    assert "residency-broken" not in told
    pipeline, _ = await offline_pipeline(found.snapshot, gateway)
    by_key = {pool.key: pool for pool in found.snapshot.pools}
    asked = Asked(pipeline)
    for route in found.snapshot.routes[:1]:
        for rule in route.rules:
            for _ in range(3):  # the budget is spent behind the first
                for pool in await asked.pools(rule.name):
                    assert fits(by_key[pool].labels, rule.require)


HOME = document("ModelPool", "home", {"models": [{"name": "small"}]}, labels={"region": "eu"})
AWAY = document("ModelPool", "away", {"models": [{"name": "big"}]}, labels={"region": "us"})


def broken(by: str) -> RoutingSnapshot:
    spec: dict[str, Any] = {
        "rules": [
            {
                "name": "r",
                "candidates": [{"model": "small"}],
                "require": {"poolLabels": {"region": "eu"}},
            },
            {"candidates": [{"model": "big"}]},
        ],
    }
    found = compile_resources(
        load_texts([("a.yaml", "---\n".join([HOME, AWAY, document("RoutePolicy", "auto", spec)]))]),
        GatewaySettings(),
    )
    [route] = found.snapshot.routes
    first, other = route.rules
    if by == "candidates":
        first = first.model_copy(update={"candidates": other.candidates})
    elif by == "fallback":
        fallback = FallbackSnapshot(reasons=("saturated",), to=other.candidates)
        first = first.model_copy(update={"fallback": fallback})
    instead = (other,) if by == "whenSpent" else ()
    changed = route.model_copy(update={"rules": (first, other), "instead": instead})
    return found.snapshot.model_copy(update={"routes": (changed,)})


@pytest.mark.parametrize("by", ["candidates", "fallback", "whenSpent"])
def test_a_way_out_is_seen_whatever_let_it_through(by: str) -> None:
    assert [(one.rule, one.by, one.pool) for one in breaches(broken(by))] == [("r", by, "default/away")]


def test_no_way_out_is_none() -> None:
    assert list(breaches(broken("none"))) == []
