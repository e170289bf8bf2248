"""Output budgets of attempts that differ: none at the pick, each attempt's own at its hop."""

import orjson
import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.dialects.brevity import instruction
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.envoy.contract import TRANSFORM
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.token_bounds import MOST_COST
from pilotage_extproc.rules.attempt_table import AttemptTables
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.choose import Choose
from pilotage_extproc.stages.prepare import later_attempt, shaped

FLAT = [{"tokens": 64, "quality": "0.7"}, {"tokens": 1024, "quality": "0.7"}]
STEEP = [{"tokens": 64, "quality": "0.1"}, {"tokens": 1024, "quality": "0.9"}]
SPARE = {"reasons": ["serverError"], "to": [{"model": "spare"}]}


def pool(name, points, usd, engine="openai", **facts):
    curves = [{"enforce": how, "points": points} for how in ("clamp", "instruct")]
    pricing = {"inputPerMillion": usd, "outputPerMillion": usd}
    known = {"quality": {"default": "0.5", "byBudget": curves}, "pricing": pricing, **facts}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "endpoints": [{"address": f"10.0.{len(name)}.1", "port": 80}],
            "engine": engine,
            "models": [{"name": name, **known}],
        },
    }


COUNTED = GatewaySettings(governance={"store": {"valkey": {"address": "127.0.0.1:1"}}})


class Asking:
    """A process whose one policy chooses between a weak and a strong model, with budgets."""

    def __init__(self, snapshot, pipeline) -> None:
        self.pipeline = pipeline
        self.tables = AttemptTables()
        self.tables.of(snapshot)

    async def decided(self, envoy="envoy-1", reach=Reach.SECRETS, **members) -> Exchange:
        sent = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **members}
        exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy=envoy, reach=reach))
        await self.pipeline.begin(exchange)
        exchange.received(orjson.dumps(sent))
        await self.pipeline.decide(exchange)
        return exchange

    def at_each(self, exchange) -> dict[str, dict]:
        """What each attempt's model gets, by the numbers that travel with the pick."""
        found = {}
        for attempt in exchange.attempts:
            version = exchange.decision.snapshot_version
            known = self.tables.find(version, self.tables.number(version, attempt))
            assert (known.upstream_model, known.budget) == (attempt.upstream_model, attempt.budget)
            kind = CallKind.CHAT
            body = exchange.body if exchange.new_body is None else exchange.new_body
            body = later_attempt(body, kind, "application/json", exchange.usage_edit, known) or body
            if exchange.transformed_each:
                body = shaped(body, kind, known.shape).body
            found[known.upstream_model] = orjson.loads(body)
        return found

    def is_asked_each_time(self, exchange) -> bool:
        """Whether Envoy is told to ask before the first attempt too."""
        pick = Picks("p", self.tables.number).bundled(exchange, {}, on_body=True, contract="2")
        return TRANSFORM.encode() in pick


async def asking(
    enforce="clamp", facts=None, levels=(64, 1024), engine="openai", settings=None, **more
) -> Asking:
    budget = {"levels": list(levels), "enforce": enforce, **more.pop("budget", {})}
    objective = {
        "weights": {"quality": 100, "cost": 30},
        "references": {"usd": "0.001", "seconds": "2"},
    }
    rule = {
        "candidates": [{"model": "weak"}, {"model": "strong"}],
        "objective": objective,
        "outputBudget": budget,
        **more.pop("rule", {}),
    }
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": [rule], **more},
    }
    pools = [
        pool("weak", FLAT, "0.5", engine, **(facts or {})),
        pool("strong", STEEP, "1", engine),
        pool("spare", FLAT, "0.5"),
    ]
    settings = settings or GatewaySettings()
    text = yaml.safe_dump_all([*pools, policy])
    compiled = compile_resources(load_texts([("all.yaml", text)]), settings)
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, settings)
    return Asking(compiled.snapshot, pipeline)


async def test_each_attempt_is_bounded_by_its_own_models_budget():
    gateway = await asking()
    exchange = await gateway.decided()
    assert orjson.loads(exchange.new_body)["model"] == "strong"
    assert "max_tokens" not in orjson.loads(exchange.new_body), "the pick leaves the client's own limit"
    assert gateway.is_asked_each_time(exchange)
    got = gateway.at_each(exchange)
    assert {model: body["max_tokens"] for model, body in got.items()} == {"strong": 1024, "weak": 64}


@pytest.mark.parametrize(("limit", "strong", "weak"), [(32, 32, 32), (500, 500, 64), (5000, 1024, 64)])
async def test_the_clients_own_limit_bounds_every_attempt(limit, strong, weak):
    gateway = await asking()
    exchange = await gateway.decided(max_tokens=limit)
    if exchange.transformed_each:
        got = gateway.at_each(exchange)
        assert (got["strong"]["max_tokens"], got["weak"]["max_tokens"]) == (strong, weak)
    else:
        assert orjson.loads(exchange.new_body)["max_tokens"] == min(limit, strong)


async def test_each_attempt_is_asked_to_be_as_brief_as_suits_it():
    gateway = await asking("instruct", budget={"clampAt": 2000})
    exchange = await gateway.decided(max_tokens=500, stream=True)
    got = gateway.at_each(exchange)
    told = {model: body["messages"][0]["content"] for model, body in got.items()}
    assert told == {"strong": f"hi\n\n{instruction(500)}", "weak": f"hi\n\n{instruction(64)}"}
    assert {body["max_tokens"] for body in got.values()} == {500}


async def test_a_model_that_reasons_is_never_clamped_as_a_fallback_either():
    gateway = await asking(facts={"capabilities": ["reasoning"]})
    got = gateway.at_each(await gateway.decided())
    assert got["strong"]["max_tokens"] == 1024
    assert "max_tokens" not in got["weak"]


async def test_a_fallback_of_the_rule_has_a_budget_of_its_own():
    gateway = await asking(rule={"candidates": [{"model": "strong"}], "fallback": SPARE})
    got = gateway.at_each(await gateway.decided())
    assert {model: body["max_tokens"] for model, body in got.items()} == {"strong": 1024, "spare": 64}


async def test_where_budgets_agree_the_pick_has_it_and_nobody_else_is_asked():
    gateway = await asking(levels=[256])
    exchange = await gateway.decided()
    assert orjson.loads(exchange.new_body)["max_tokens"] == 256
    assert not gateway.is_asked_each_time(exchange)
    assert {body["max_tokens"] for body in gateway.at_each(exchange).values()} == {256}


async def test_a_policys_own_changes_come_after_the_budget_of_each_attempt():
    bound = {"parameters": {"max_tokens": {"maximum": "100"}}, "systemPrompt": {"prefix": "Briefly."}}
    gateway = await asking(transform=bound)
    exchange = await gateway.decided()
    assert gateway.is_asked_each_time(exchange)
    assert orjson.loads(exchange.new_body)["messages"][0]["role"] == "user", "changed once, at its hop"
    got = gateway.at_each(exchange)
    assert {model: body["max_tokens"] for model, body in got.items()} == {"strong": 100, "weak": 64}
    assert all(body["messages"][0] == {"role": "system", "content": "Briefly."} for body in got.values())


async def test_values_that_content_rules_replace_are_replaced_at_every_attempt():
    rules = {"content": {"request": [{"detectors": ["email"], "action": "redact"}]}}
    gateway = await asking("instruct", governance=rules)
    exchange = await gateway.decided(messages=[{"role": "user", "content": "I am a@example.com"}])
    assert gateway.is_asked_each_time(exchange)
    told = {model: body["messages"][0]["content"] for model, body in gateway.at_each(exchange).items()}
    assert not any("a@example.com" in text for text in told.values())
    assert told["strong"].endswith(instruction(1024))
    assert told["weak"].endswith(instruction(64))


async def test_a_tenants_salt_goes_to_every_attempt():
    gateway = await asking(engine="vllm", governance={"kvIsolation": "tenant"})
    exchange = await gateway.decided()
    got = gateway.at_each(exchange)
    assert {model: body["max_tokens"] for model, body in got.items()} == {"strong": 1024, "weak": 64}
    assert len({body["cache_salt"] for body in got.values()}) == 1


async def test_the_bound_of_a_hard_budget_and_each_attempts_own_hold_both():
    hard = {"per": "policy", "period": "day", "timeZone": "UTC", "usd": "50", "mode": "hard"}
    gateway = await asking(settings=COUNTED, governance={"budgets": [hard]})
    exchange = await gateway.decided(max_tokens=900)
    assert exchange.kept(MOST_COST).output_tokens == 900
    assert gateway.is_asked_each_time(exchange)
    got = gateway.at_each(exchange)
    assert {model: body["max_tokens"] for model, body in got.items()} == {"strong": 900, "weak": 64}


async def test_what_has_waited_is_given_its_budgets_anew():
    gateway = await asking()
    exchange = await gateway.decided()
    exchange.undecided()
    for stage in exchange.plan.deciding:
        stage.apply(exchange)
    got = gateway.at_each(exchange)
    assert {model: body["max_tokens"] for model, body in got.items()} == {"strong": 1024, "weak": 64}


async def test_other_gateways_send_one_body_so_its_budget_is_that_of_all():
    exchange = await (await asking()).decided(envoy=None, reach=Reach.SERVERS)
    assert orjson.loads(exchange.new_body)["max_tokens"] == 1024
    assert exchange.choice.later_levels == {}


async def test_while_the_version_before_may_serve_envoy_all_have_the_first_ones_budget():
    gateway = await asking()
    exchange = await gateway.decided()
    [choose] = [stage for stage in exchange.plan.deciding if isinstance(stage, Choose)]
    choose._older_about = lambda: True
    choose.apply(exchange)
    assert exchange.choice.later_levels == {}


async def test_what_cannot_be_bounded_for_a_later_attempt_is_refused_at_once():
    gateway = await asking()
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy="envoy-1"))
    await gateway.pipeline.begin(exchange)
    messages = b'"messages":[{"role":"user","content":"hi"}]'
    exchange.received(b'{"model":"auto","max_tokens":900,"max_tokens":900,%b}' % messages)
    with pytest.raises(RequestRefused) as refused:
        await gateway.pipeline.decide(exchange)
    assert refused.value.param == "max_tokens"


async def test_an_explanation_shows_the_budget_of_each_attempt():
    gateway = await asking()
    sent = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})
    record = await gateway.pipeline.consider(RequestHead("POST", "/v1/chat/completions", {}), sent)
    shown = explain(record, "x")["choice"]
    assert [(one["model"], one["outputBudget"]) for one in shown["attempts"]] == [
        ("strong", 1024),
        ("weak", 64),
    ]
