"""A budget that counts models and is spent for one leads to the fallback's, where the rule lists it."""

import json
from decimal import Decimal

import pytest

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline

SETTINGS = GatewaySettings(governance={"store": {"valkey": {"address": "127.0.0.1:1"}}})
SOFT = {"per": "model", "period": "day", "usd": "0.01", "mode": "soft"}
HARD = {**SOFT, "mode": "hard"}
ALL = ["budget", "connect", "serverError"]
POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {{name: {name}}}
spec:
  engine: openai
  endpoints: [{{address: 10.0.0.{number}, port: 80}}]
  models:
  - name: {name}
    contextWindow: 32768
    maxOutputTokens: 500
    pricing: {{inputPerMillion: "1", outputPerMillion: "{price}"}}
---
"""


class Gateway:
    """Requests of a rule whose candidate is `small`, and whose fallback is `large`."""

    def __init__(self, pipeline, state):
        self.pipeline, self.state = pipeline, state

    async def ask(self, who="", **members) -> Exchange:
        exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy="e"))
        exchange.identified(Identity(who))
        await self.pipeline.begin(exchange)
        said = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **members}
        exchange.received(json.dumps(said).encode())
        try:
            await self.pipeline.decide(exchange)
        except RequestRefused as refused:
            self.pipeline.abandon(exchange, Outcome.answered(refused.reason.http_status))
            raise
        return exchange

    async def asked(self, **members) -> list[str]:
        """The models of a request's list."""
        exchange = await self.ask(**members)
        names = [target.upstream_model for target in exchange.decision.targets]
        self.end(exchange, 1, 1)
        return names

    def end(self, exchange: Exchange, *tokens: int, at: int = 0) -> None:
        address = exchange.decision.targets[at].address
        self.pipeline.settle(
            Outcome(exchange.decision.id, 200, address, 1, 1.0, 0.1, usage=TokenUsage(*tokens))
        )

    async def spend(self, usd: str, who="") -> None:
        """A request whose answer costs that at the first of its list."""
        exchange = await self.ask(who)
        dear = {"small": 2, "large": 20}[exchange.decision.targets[0].upstream_model]
        self.end(exchange, 0, int(Decimal(usd) * 1_000_000 / dear))


async def gateway(budget, *, reasons=ALL, documents="", **rule) -> Gateway:
    rules = [
        {
            "candidates": [{"model": "small"}],
            "fallback": {"reasons": reasons, "to": [{"model": "large"}]},
            **rule,
        }
    ]
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": rules, "governance": {"budgets": budget}},
    }
    pools = POOL.format(name="small", number=1, price=2) + POOL.format(name="large", number=2, price=20)
    loaded = load_texts([("a.yaml", pools + documents), ("b.yaml", json.dumps(policy))])
    found = compile_resources(loaded, SETTINGS)
    assert [one for one in found.findings if one.severity == "error"] == []
    return Gateway(*await offline_pipeline(found.snapshot, SETTINGS))


async def test_a_model_whose_budget_is_spent_is_left_out_for_the_fallback():
    gate = await gateway([SOFT])
    assert await gate.asked() == ["small", "large"]
    await gate.spend("0.02")
    assert await gate.asked() == ["large"]


async def test_the_explanation_says_so():
    gate = await gateway([SOFT])
    await gate.spend("0.02")
    found = explain(DecisionRecord.of(await gate.ask(), 0.0), "x")
    assert found["passedOver"] == [{"model": "small", "reason": "budget", "leftOut": True}]


async def test_without_the_reason_a_soft_budget_refuses_nobody_and_leads_nowhere():
    gate = await gateway([SOFT], reasons=["serverError"])
    await gate.spend("0.02")
    assert await gate.asked() == ["small", "large"]


async def test_where_every_model_is_spent_a_soft_budget_serves_and_a_hard_one_refuses():
    gate = await gateway([SOFT])
    await gate.spend("0.02")
    await gate.spend("0.02")
    assert await gate.asked() == ["small", "large"]
    gate = await gateway([{**HARD, "usd": "0.015"}])
    await gate.spend("0.0145")
    await gate.spend("0.0145")
    with pytest.raises(RequestRefused) as refused:
        await gate.ask()
    assert refused.value.reason is Refusal.BUDGET_SPENT


async def test_a_hard_budget_without_room_for_the_request_leads_on_before_it_is_spent():
    gate = await gateway([{**HARD, "usd": "0.05"}])
    await gate.spend("0.0499")
    # 500 tokens of output at the small model cost $0.001; one costs less than what is left
    assert await gate.asked(max_tokens=500) == ["large"]


async def test_a_budget_of_the_policy_as_a_whole_tells_models_not_apart():
    gate = await gateway([{**SOFT, "per": "policy"}])
    await gate.spend("0.02")
    assert await gate.asked() == ["small", "large"]


async def test_a_budget_of_a_tenant_counts_for_its_requests_alone():
    tenant = """
apiVersion: pilotage.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {budgets: [{per: model, period: day, usd: "0.01", mode: soft}]}
"""
    gate = await gateway([], documents=tenant)
    await gate.spend("0.02", who="acme")
    assert await gate.asked(who="acme") == ["large"]
    assert await gate.asked(who="other") == ["small", "large"]


async def test_a_rule_with_an_objective_leaves_spent_models_out_too():
    objective = {"weights": {"quality": 1}}
    gate = await gateway([SOFT], objective=objective)
    await gate.spend("0.02")
    assert await gate.asked() == ["large"]


@pytest.mark.parametrize("budget", [SOFT, {**HARD, "usd": "0.5"}], ids=["soft", "hard"])
async def test_each_model_s_budget_pays_for_what_that_model_has_answered(budget):
    gate = await gateway([budget], reasons=["serverError"])
    books = gate.state.accounting.memory
    exchange = await gate.ask(max_tokens=500)
    held = {account.rpartition("=")[2]: one.held for (account, _), one in books._budgets.items()}
    if budget["mode"] == "hard":
        assert held["small"] < held["large"], "each at its own price"
        assert held["small"] >= 500 * 2_000
        assert held["large"] >= 500 * 20_000
    gate.end(exchange, 0, 100, at=1)
    booked = {account.rpartition("=")[2]: one.booked for (account, _), one in books._budgets.items()}
    assert booked == {"small": 0, "large": 100 * 20_000}
    assert books.figures()[2] == 0


async def test_a_later_attempt_whose_hard_budget_is_spent_is_left_out_and_the_rest_is_served():
    gate = await gateway([{**HARD, "usd": "0.05"}], reasons=["serverError"])
    exchange = await gate.ask()
    gate.end(exchange, 0, 2500, at=1)  # $0.05 at the large one, though only the small one was tried first
    assert await gate.asked() == ["small"]
    exchange = await gate.ask()
    assert (exchange.attempts, exchange.shapings) == ((), ())


async def test_a_request_whose_end_was_not_seen_counts_at_each_model_until_it_is_known():
    gate = await gateway([{**HARD, "usd": "0.5"}], reasons=["serverError"])
    books = gate.state.accounting.memory
    exchange = await gate.ask(max_tokens=500)
    _, _, held = books.figures()
    gate.pipeline._ledger.give_up(exchange.decision.id)
    assert books.figures() == (0, held, 0)
    gate.end(exchange, 0, 100, at=1)
    assert books.figures() == (100 * 20_000, 0, 0)
