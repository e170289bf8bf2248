"""Requests of policies with limits and budgets: held before they are sent, settled once they have ended."""

import json
from decimal import Decimal

import pytest

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.money import nano_dollars
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.answers import RATE_LIMIT_HEADERS
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.identity import ANONYMOUS, Identity
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.prompt_tokens import prompt_tokens
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.admit import COUNTED
from pilotage_extproc.stages.parse import read_body

POOLS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 80}]
  models:
  - name: small
    contextWindow: 8192
    maxOutputTokens: 500
    pricing: {inputPerMillion: "1", cachedInputPerMillion: "0.1", outputPerMillion: "2"}
---
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: large}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.2, port: 80}]
  models:
  - name: large
    contextWindow: 8192
    maxOutputTokens: 1000
    pricing: {inputPerMillion: "10", outputPerMillion: "20"}
"""
DAILY = '{budgets: [{per: policy, period: day, usd: "5", mode: hard}]}'
HARD = GatewaySettings(governance={"store": {"valkey": {"address": "127.0.0.1:1"}}})


class Gateway:
    """A pipeline, and what a test does with it."""

    def __init__(self, pipeline, state):
        self.pipeline = pipeline
        self.books = state.accounting.memory

    async def ask(self, body=None, *, path="/v1/chat/completions", who=ANONYMOUS, envoy="e", **members):
        """Decide a request; it stays open."""
        exchange = Exchange(RequestHead("POST", path, {}, envoy=envoy))
        exchange.identified(who)
        await self.pipeline.begin(exchange)
        messages = [{"role": "user", "content": "hello there"}]
        exchange.received(body or json.dumps({"model": "auto", "messages": messages, **members}).encode())
        try:
            await self.pipeline.decide(exchange)
        except RequestRefused as refused:
            self.pipeline.abandon(exchange, Outcome.answered(refused.reason.http_status))
            raise
        return exchange

    def end(self, exchange, *usage, **more):
        target = exchange.decision.targets[0]
        outcome = Outcome(
            exchange.decision.id, 200, target.address, 1, 1.0, 0.1, usage=TokenUsage(*usage), **more
        )
        return self.pipeline.settle(outcome)


def compiled(governance: str, settings=HARD, pools=POOLS):
    policy = f"""
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: auto}}
spec:
  match: {{models: [auto]}}
  rules: [{{candidates: [{{model: large}}]}}]
  governance: {governance}
"""
    return compile_resources(load_texts([("a.yaml", pools), ("b.yaml", policy)]), settings)


async def gateway(governance: str, settings=HARD, pools=POOLS) -> Gateway:
    found = compiled(governance, settings, pools)
    assert [one for one in found.findings if one.severity == "error"] == []
    return Gateway(*await offline_pipeline(found.snapshot, settings))


async def refused(gate: Gateway, **members) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(**members)
    return caught.value


async def test_concurrency_counts_until_the_end():
    gate = await gateway("{limits: [{per: policy, concurrent: 2}]}")
    first = await gate.ask()
    await gate.ask()
    assert (await refused(gate)).reason is Refusal.RATE_LIMITED
    gate.end(first, 10, 10)
    await gate.ask()


async def test_each_tenant_has_its_own_window_and_tokens_are_corrected_by_what_was_used():
    gate = await gateway("{limits: [{per: tenant, window: 1m, outputTokens: 1000}]}")
    one = await gate.ask(who=Identity("a"), max_tokens=900)
    told = await refused(gate, who=Identity("a"), max_tokens=200)
    assert told.headers()["x-ratelimit-remaining-tokens"] == "100"
    await gate.ask(who=Identity("b"), max_tokens=900)
    gate.end(one, 20, 100)
    await gate.ask(who=Identity("a"), max_tokens=900)


async def test_a_request_that_no_window_can_hold_is_not_worth_a_retry():
    gate = await gateway("{limits: [{per: policy, window: 1m, inputTokens: 3}]}")
    assert (await refused(gate)).headers()["x-should-retry"] == "false"


async def test_a_hard_budget_bounds_the_output_and_is_never_overdrawn():
    gate = await gateway('{budgets: [{per: policy, period: day, usd: "0.05", mode: hard}]}')
    exchange = await gate.ask()
    assert json.loads(exchange.new_body)["max_tokens"] == 1000
    _, _, held = gate.books.figures()
    sent = len(exchange.body) + len("large") - len("auto")
    assert held == 1000 * 20_000 + (sent + 2048) * 10_000
    told = await refused(gate)
    assert (told.reason, told.retry_after_seconds) == (Refusal.BUDGET_SPENT, 1)
    gate.end(exchange, 12, 40)
    assert gate.books.figures() == (12 * 10_000 + 40 * 20_000, 0, 0)
    assert gate.end(exchange, 12, 40).known is False
    assert gate.books.figures() == (12 * 10_000 + 40 * 20_000, 0, 0)


async def test_a_budget_that_is_spent_says_that_waiting_does_not_help():
    gate = await gateway('{budgets: [{per: policy, period: day, usd: "0.05", mode: hard}]}')
    gate.end(await gate.ask(max_tokens=500), 1000, 500)
    gate.end(await gate.ask(max_tokens=1), 1000, 1000)
    told = await refused(gate)
    assert (told.retry_after_seconds, told.headers()["x-should-retry"]) == (None, "false")


BODIES = {
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
    "text for n": {"n": "5"},
    "a fraction of tokens": {"max_tokens": 5.0},
    "a tool of the provider": {"tools": [{"type": "web_search"}]},
}


@pytest.mark.parametrize("members", BODIES.values(), ids=BODIES)
async def test_what_cannot_be_bounded_is_refused_by_a_hard_budget(members):
    gate = await gateway(DAILY, pools=POOLS.replace("    contextWindow: 8192\n", ""))
    assert (await refused(gate, **members)).reason.http_status == 400
    await gate.ask()


async def test_an_image_costs_at_most_the_models_window_where_that_is_stated():
    gate = await gateway(DAILY)
    await gate.ask(max_tokens=1, **BODIES["an image"])
    assert gate.books.figures()[2] == 8192 * 10_000 + 20_000


async def test_a_model_without_a_price_is_refused_by_a_hard_budget():
    pools = POOLS.replace('    pricing: {inputPerMillion: "10", outputPerMillion: "20"}\n', "")
    assert "no-price" in [one.code for one in compiled(DAILY, pools=pools).findings]
    gate = await gateway(DAILY, pools=pools)
    assert (await refused(gate)).reason is Refusal.COST_NOT_BOUNDED


async def test_duplicate_limits_are_refused_where_a_budget_relies_on_them():
    gate = await gateway(DAILY)
    twice = b'{"model":"auto","messages":[{"role":"user","content":"x"}],"max_tokens":9000,"max_tokens":5}'
    assert (await refused(gate, body=twice)).reason is Refusal.INVALID_FIELD


async def test_a_hard_budget_takes_no_word_of_one_choice_for_that_of_all():
    """A stream that is cut would have said what its last choice had used."""
    gate = await gateway(DAILY)
    options = {"include_usage": True, "continuous_usage_stats": True}
    told = await refused(gate, n=2, max_tokens=10, stream=True, stream_options=options)
    assert (told.reason, told.param) == (Refusal.INVALID_FIELD, "stream_options.continuous_usage_stats")
    await gate.ask(n=1, max_tokens=10, stream=True, stream_options=options)


async def test_several_choices_and_prompts_are_all_paid_for():
    gate = await gateway(DAILY)
    await gate.ask(max_tokens=10, n=3)
    alone = gate.books.figures()[2]
    gate = await gateway(DAILY)
    body = json.dumps({"model": "auto", "prompt": ["a", "b"], "max_tokens": 10, "n": 4}).encode()
    await gate.ask(body, path="/v1/completions")
    assert alone % 10_000 == 0
    assert gate.books.figures()[2] == 80 * 20_000 + (len(body) + 1 + 2 * 2048) * 10_000


@pytest.mark.parametrize("mode", ["hard", "soft"])
async def test_counting_tokens_costs_none(mode):
    gate = await gateway(
        DAILY.replace("hard", mode).replace(
            "{budgets", "{limits: [{per: policy, window: 1m, inputTokens: 3}], budgets"
        )
    )
    for path in ("/v1/messages/count_tokens", "/tokenize"):
        exchange = await gate.ask(path=path)
        assert gate.books.figures() == (0, 0, 0)
        gate.end(exchange)
    assert gate.books.figures() == (0, 0, 0)


async def test_a_soft_budget_sends_to_other_models_once_it_is_spent():
    gate = await gateway(
        '{budgets: [{per: policy, period: day, usd: "0.001", mode: soft, '
        "whenSpent: {candidates: [{model: small}]}}]}"
    )
    first = await gate.ask()
    assert first.decision.targets[0].upstream_model == "large"
    gate.end(first, 10, 1000)
    second = await gate.ask()
    assert second.decision.targets[0].upstream_model == "small"
    assert second.decision.rule == "budgets[0].whenSpent"
    gate.end(second, 1_000_000, 0, 500_000)
    assert gate.books.figures()[0] == nano_dollars(Decimal("0.0201") + Decimal("0.55"))


async def test_an_unknown_usage_is_estimated_and_corrected_by_a_late_entry():
    gate = await gateway('{budgets: [{per: policy, period: day, usd: "5", mode: soft}]}')
    exchange = await gate.ask()
    gate.end(exchange, counted_output=30)
    settled, estimated, held = gate.books.figures()
    assert (settled, held) == (0, 0)
    assert 30 * 20_000 < estimated < 30 * 20_000 + 40 * 10_000


async def test_a_request_that_was_given_up_is_settled_by_its_late_outcome():
    gate = await gateway('{budgets: [{per: policy, period: day, usd: "5", mode: soft}]}')
    exchange = await gate.ask()
    ledger = gate.pipeline._ledger
    ledger.give_up(exchange.decision.id)
    assert gate.books.figures()[1] > 0
    for _ in range(2):
        gate.end(exchange, 10, 10)
    assert gate.books.figures() == (300_000, 0, 0)


async def test_a_request_that_is_not_sent_gives_all_of_it_back():
    gate = await gateway(
        '{budgets: [{per: policy, period: day, usd: "5", mode: hard}], '
        "limits: [{per: policy, concurrent: 1}]}"
    )
    exchange = await gate.ask()
    gate.pipeline.abandon(exchange, Outcome.abandoned())
    assert gate.books.figures() == (0, 0, 0)
    await gate.ask()


async def test_a_price_that_changes_meanwhile_does_not_change_what_is_settled():
    gate = await gateway('{budgets: [{per: policy, period: day, usd: "5", mode: soft}]}')
    exchange = await gate.ask()
    exchange.release()
    gate.end(exchange, 10, 10)
    assert gate.books.figures()[0] == 300_000


async def test_nothing_is_held_by_an_explanation():
    gate = await gateway(DAILY)
    body = b'{"model":"auto","messages":[{"role":"user","content":"x"}]}'
    await gate.pipeline.consider(RequestHead("POST", "/v1/chat/completions", {}), body)
    assert (gate.books.figures(), len(gate.books)) == ((0, 0, 0), 0)


class Away:
    """A store that cannot be asked."""

    def admit(self, _admission):
        raise StoreAway("connection refused")

    clock_offset_seconds = 0.0

    def spent(self, _claim):
        return 0


@pytest.mark.parametrize(
    ("when_away", "mode", "served"),
    [
        ("refuse", "soft", False),
        ("serve", "soft", True),
        ("serve", "hard", False),
    ],
)
async def test_without_its_store_it_serves_or_refuses_as_set(monkeypatch, when_away, mode, served):
    store = {"valkey": {"address": "127.0.0.1:1"}, "whenAway": when_away}
    settings = GatewaySettings(governance={"store": store})
    gate = await gateway(f'{{budgets: [{{per: policy, period: day, usd: "5", mode: {mode}}}]}}', settings)
    monkeypatch.setattr(gate.pipeline._plans._parts.books, "store", Away())
    if served:
        exchange = await gate.ask()
        assert exchange.skipped == ("admit: connection refused",)
        gate.end(exchange, 1, 1)
    else:
        told = await refused(gate)
        assert (told.reason, told.retry_after_seconds) == (Refusal.LIMITS_AWAY, 1)


BOUNDED = """
---
apiVersion: pilotage.dev/v1alpha1
kind: Tenant
metadata: {name: bounded}
spec:
  models: ["*"]
  limits: [{per: tenant, requests: 1, window: 1m}]
"""


async def test_what_nothing_bounds_is_served_and_settled_while_the_store_is_away(monkeypatch):
    """Another tenant's limits are none of its business."""
    store = {"valkey": {"address": "127.0.0.1:1"}, "whenAway": "refuse"}
    settings = GatewaySettings(governance={"store": store})
    gate = await gateway("{}", settings, POOLS + BOUNDED)
    monkeypatch.setattr(gate.pipeline._plans._parts.books, "store", Away())
    settled = []
    monkeypatch.setattr(Away, "settle", lambda _, settlement, told: settled.append(settlement), raising=False)
    gate.end(await gate.ask(), 1, 1)
    assert [one.hold.claims for one in settled] == [()]
    told = await refused(gate, who=Identity("bounded"))
    assert told.reason is Refusal.LIMITS_AWAY


async def test_a_hard_budget_without_a_store_refuses_what_it_would_have_governed():
    settings = GatewaySettings()
    found = compiled(DAILY, settings)
    assert [one.code for one in found.findings] == ["needs-store"]
    gate = Gateway(*await offline_pipeline(found.snapshot, settings))
    assert (await refused(gate)).reason is Refusal.LIMITS_AWAY


async def test_ten_thousand_requests_of_one_tenant_at_once_get_what_there_is_and_no_more():
    gate = await gateway('{budgets: [{per: tenant, period: day, usd: "1", mode: hard}]}')
    who, served = Identity("a"), []
    for _ in range(10_000):
        try:
            served.append(await gate.ask(who=who, max_tokens=10))
        except RequestRefused:
            continue
    bound = gate.books.figures()[2]
    assert bound <= nano_dollars("1") < bound + bound // len(served)
    for exchange in served:
        gate.end(exchange, 10, 10)
    assert gate.books.figures() == (300_000 * len(served), 0, 0)


async def test_an_admitted_request_is_told_what_the_tightest_of_its_limits_leaves():
    limits = (
        "{per: tenant, window: 1m, requests: 10, totalTokens: 9000}, {per: policy, window: 1h, requests: 3}"
    )
    gate = await gateway(f"{{limits: [{limits}]}}")
    await gate.ask(max_tokens=100)
    exchange = await gate.ask(max_tokens=100)
    shown = gate.pipeline.decision_headers(exchange)
    assert shown["x-ratelimit-limit-requests"] == "3"
    assert shown["x-ratelimit-remaining-requests"] == "1"
    assert shown["x-ratelimit-reset-requests"] == "60m0s"
    assert shown["x-ratelimit-limit-tokens"] == "9000"
    assert 8600 < int(shown["x-ratelimit-remaining-tokens"]) < 8800
    assert shown["x-ratelimit-reset-tokens"] == "1m0s"
    assert set(shown) == set(RATE_LIMIT_HEADERS)


async def test_without_a_window_nothing_is_said_of_limits():
    gate = await gateway("{limits: [{per: policy, concurrent: 2}]}")
    assert gate.pipeline.decision_headers(await gate.ask()) == {}


async def test_tokens_are_held_as_estimated_of_the_body_that_goes_on():
    gate = await gateway("{limits: [{per: policy, window: 1m, inputTokens: 100000}]}")
    exchange = await gate.ask(messages=[{"role": "user", "content": "word " * 400}])
    assert exchange.kept(COUNTED)[1] == (prompt_tokens(exchange_of("word " * 400)),)
    changed = exchange_of("word " * 400)
    assert prompt_tokens(changed) > 300
    changed.rewritten(b"{}", exchange_of("word").document)  # as rules on content do
    assert prompt_tokens(changed) < 20


def exchange_of(content: str) -> Exchange:
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}))
    exchange.recognised(Call(CallKind.CHAT, "/v1/chat/completions", "/v1/chat/completions"))
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": content}]}).encode()
    exchange.received(body)
    exchange.read(read_body(CallKind.CHAT, body))
    return exchange


@pytest.mark.parametrize(
    ("budget", "stream"), [(DAILY, True), (DAILY, False), (DAILY.replace("hard", "soft"), True)]
)
async def test_envoy_is_told_where_a_stream_of_a_hard_budget_ends_at_the_latest(budget, stream):
    gate = await gateway(budget)
    exchange = await gate.ask(max_tokens=80, n=2, stream=stream)
    picks = Picks("p", lambda _version, _attempt: 0, lambda: False)
    written = picks.bundled(exchange, {}, on_body=True, contract="2")
    expected = b"chat 2 178" if stream and budget is DAILY else b"allowance"
    assert (expected in written) == (expected != b"allowance")


@pytest.mark.parametrize("mode", ["soft", "hard"])
async def test_a_limit_holds_the_output_of_all_choices(mode):
    limits = "limits: [{per: policy, window: 1m, outputTokens: 5000}]"
    gate = await gateway(f"{{{limits}, {DAILY.replace('hard', mode)[1:]}")
    exchange = await gate.ask(path="/v1/completions", max_tokens=100, prompt=["a", "b", "c"], n=2)
    assert exchange.kept(COUNTED)[1][0] == 600


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_that_servers_read_as_none_holds_as_much_as_none(limit):
    gate = await gateway("{limits: [{per: policy, window: 1m, outputTokens: 5000}]}")
    assert (await gate.ask(max_tokens=limit)).kept(COUNTED)[1] == (1000,)
