"""Requests of policies that change them: the first attempt's body, and when each is changed on its own."""

import orjson
import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.envoy.contract import TRANSFORM
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.rules.attempt_table import AttemptTables
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.prepare import Prepare, PrepareTransformed

KIND = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "hi"}
BRIEF = {"systemPrompt": {"prefix": "Briefly."}}
EACH = {**BRIEF, "perModel": [{"model": "spare", "parameters": {"remove": ["top_k"]}}]}
CURVE = [{"tokens": 64, "quality": "0.3"}, {"tokens": 256, "quality": "0.6"}]


def pool(name, number):
    quality = {"default": "0.5", "byBudget": [{"enforce": "clamp", "points": CURVE}]}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "endpoints": [{"address": f"10.0.0.{number}", "port": 80}],
            "engine": "openai",
            "models": [{"name": name, "quality": quality}],
        },
    }


class Asking:
    """A process with one policy for `auto`, and what it makes of requests."""

    def __init__(self, snapshot, pipeline) -> None:
        self.snapshot, self.pipeline = snapshot, pipeline
        self.tables = AttemptTables()
        self.tables.of(snapshot)

    async def decided(self, envoy="envoy-1", path="/v1/chat/completions", **members) -> Exchange:
        sent = {"model": "auto", "messages": [KIND, USER], **members}
        exchange = Exchange(RequestHead("POST", path, {}, envoy=envoy))
        await self.pipeline.begin(exchange)
        exchange.received(orjson.dumps(sent))
        await self.pipeline.decide(exchange)
        return exchange

    def pick(self, exchange) -> bytes:
        return Picks("p", self.tables.number).bundled(exchange, {}, on_body=True, contract="2")


async def asking(transform=None, fallback=True, governance=None, **rule) -> Asking:
    if fallback:
        rule["fallback"] = {"reasons": ["serverError"], "to": [{"model": "spare"}]}
    spec = {
        "match": {"models": ["auto"]},
        "rules": [{"candidates": [{"model": "first"}], **rule}],
        **({"transform": transform} if transform else {}),
        **({"governance": governance} if governance else {}),
    }
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": spec,
    }
    text = yaml.safe_dump_all([pool("first", 1), pool("spare", 2), policy])
    settings = GatewaySettings()
    compiled = compile_resources(load_texts([("all.yaml", text)]), settings)
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, settings)
    return Asking(compiled.snapshot, pipeline)


def body_of(exchange) -> dict:
    return orjson.loads(exchange.new_body)


def prepare_of(exchange):
    return next(stage for stage in exchange.plan.deciding if stage.name == "prepare")


async def test_a_policy_without_a_transform_keeps_the_plan_that_all_share():
    gateway = await asking()
    exchange = await gateway.decided()
    assert exchange.plan is gateway.pipeline._plans.placing
    assert type(prepare_of(exchange)) is Prepare
    assert gateway.snapshot.transforms == ()
    assert TRANSFORM.encode() not in gateway.pick(exchange)


async def test_where_models_are_changed_alike_the_first_body_is_changed_and_nobody_else_asked():
    gateway = await asking(BRIEF)
    exchange = await gateway.decided()
    assert type(prepare_of(exchange)) is PrepareTransformed
    assert body_of(exchange)["messages"] == [{"role": "system", "content": "Briefly.\n\nBe kind."}, USER]
    assert not exchange.transformed_each
    assert TRANSFORM.encode() not in gateway.pick(exchange)


async def test_where_models_are_changed_differently_the_body_waits_for_each_attempt():
    gateway = await asking(EACH)
    exchange = await gateway.decided(top_k=3)
    assert body_of(exchange) == {"model": "first", "messages": [KIND, USER], "top_k": 3}
    assert [attempt.transform.name for attempt in exchange.attempts] == ["default/auto/0", "default/auto/1"]
    said = gateway.pick(exchange)
    assert TRANSFORM.encode() in said
    assert b"Briefly" not in said, "metadata reaches logs"


async def test_an_attempt_that_is_alone_is_changed_at_once():
    gateway = await asking(EACH, fallback=False)
    exchange = await gateway.decided()
    assert body_of(exchange)["messages"][0]["content"] == "Briefly.\n\nBe kind."
    assert exchange.attempts == ()


async def test_other_gateways_send_one_body_so_it_is_the_first_models():
    exchange = await (await asking(EACH)).decided(envoy=None)
    assert body_of(exchange)["messages"][0]["content"] == "Briefly.\n\nBe kind."
    assert not exchange.transformed_each


async def test_while_the_version_before_may_serve_envoy_the_first_models_change_holds_for_all():
    exchange = await (await asking(EACH)).decided()
    PrepareTransformed(prepare_of(exchange)._by_model, lambda: True).apply(exchange)
    assert body_of(exchange)["messages"][0]["content"] == "Briefly.\n\nBe kind."
    assert not exchange.transformed_each
    assert len(exchange.attempts) == 2, "later attempts still get their model's name"


async def test_what_cannot_be_changed_for_a_fallback_is_refused_before_the_first_attempt():
    spare = {"model": "spare", "parameters": {"temperature": {"maximum": "1"}}}
    gateway = await asking({**BRIEF, "perModel": [spare]})
    with pytest.raises(RequestRefused) as refused:
        await gateway.decided(temperature="9")
    assert refused.value.param == "temperature"


async def test_calls_that_no_policy_changes_go_as_ever():
    gateway = await asking(EACH)
    exchange = await gateway.decided(path="/v1/embeddings", input="x", top_k=1)
    assert body_of(exchange)["top_k"] == 1
    assert exchange.attempts[1].transform is None
    assert gateway.pick(exchange)


async def test_where_a_spent_budget_sends_requests_they_are_changed_too():
    budget = {"per": "policy", "period": "day", "timeZone": "UTC", "usd": "1", "mode": "soft"}
    gateway = await asking(
        {"perModel": [{"model": "spare", **BRIEF}]},
        fallback=False,
        governance={"budgets": [{**budget, "whenSpent": {"candidates": [{"model": "spare"}]}}]},
    )
    exchange = await gateway.decided()
    assert body_of(exchange)["messages"] == [KIND, USER]
    [spent] = [stage for stage in exchange.plan.governance if stage.name == "whenSpent"]
    exchange.diverted(spent._instead[0], spent._plan)
    for stage in exchange.plan.deciding:
        stage.apply(exchange)
    assert body_of(exchange)["model"] == "spare"
    assert body_of(exchange)["messages"][0]["content"] == "Briefly.\n\nBe kind."


@pytest.mark.parametrize(("most", "kept"), [("100", 100), ("1000", 256)])
async def test_of_an_output_budget_and_a_bound_the_tighter_wins(most, kept):
    objective = {"weights": {"quality": 1}, "references": {"usd": "0.001", "seconds": "2"}}
    gateway = await asking(
        {"parameters": {"max_tokens": {"maximum": most}}},
        fallback=False,
        objective=objective,
        outputBudget={"levels": [64, 256], "enforce": "clamp"},
    )
    assert body_of(await gateway.decided())["max_tokens"] == kept
    assert body_of(await gateway.decided(max_tokens=5000))["max_tokens"] == kept
    assert body_of(await gateway.decided(max_tokens=20))["max_tokens"] == 20
