"""Requests of policies with a queue wait while servers are full, and are decided anew at their turn."""

import asyncio
import json

import pytest

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.server.deciding import new_deciding
from pilotage_extproc.server.state import new_state
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.fair_shares import service
from pilotage_extproc.state.health import HealthLedger

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec:
  engine: vllm
  endpoints: %s
  models: [{name: small, pricing: {inputPerMillion: "1", outputPerMillion: "2"}}]
  %s
"""
ONE, TWO = "[{address: 10.0.0.1, port: 80}]", "[{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]"
ADMISSION = "admission: {queueDepth: 1}"
POLICY = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules: [%s]
  %s
"""
SMALL = "{candidates: [{model: small}]}"
LARGE = (POOL % ("[{address: 10.0.0.9, port: 80}]", "admission: {queueDepth: 1}")).replace("small", "large")
LARGE_AT = "10.0.0.9:80"
EITHER = "{candidates: [{model: small}, {model: large}]}"
QUEUE = "queue: {maxWait: 30s, maxRequests: 3}"
REDACTING = QUEUE + "\n  governance: {content: {request: [{detectors: [email], action: redact}]}}"


def compiled(policy=QUEUE, endpoints=ONE, admission=ADMISSION, rule=SMALL):
    texts = [
        ("a.yaml", POOL % (endpoints, admission)),
        ("b.yaml", POLICY % (rule, policy)),
        ("c.yaml", LARGE),
    ]
    found = compile_resources(load_texts(texts), GatewaySettings())
    assert [one for one in found.findings if one.severity == "error"] == []
    return found


class Gateway:
    """A pipeline over engines whose figures the test sets."""

    async def start(self, policy=QUEUE, endpoints=ONE, admission=ADMISSION, rule=SMALL):
        self.settings = GatewaySettings()
        self.table = EndpointTable()
        self.state = new_state(self.settings, self.table, HealthLedger(self.table))
        self.deciding = new_deciding(
            self.settings, self.state, ProfileBook(), process_id="x", clock=monotonic
        )
        self.line = self.deciding.line
        self.asked_for: list[float] = []
        await self.follow(policy, endpoints, admission, rule)
        return self

    async def follow(self, policy=QUEUE, endpoints=ONE, admission=ADMISSION, rule=SMALL):
        snapshot = compiled(policy, endpoints, admission, rule).snapshot
        discovery = Discovery(lambda: None, resolve=None)
        await discovery.follow(snapshot)
        self.table.sync(discovery.wanted())
        self.table.admit(self.table.rows())
        membership = discovery.membership()
        self.deciding.current.install(await self.deciding.builder.build(snapshot, membership))
        await discovery.stop()
        self.line.room_changed()

    def report(self, running, waiting=0, address="10.0.0.1:80"):
        row = self.table.row_of(address)
        self.table.running[row], self.table.waiting[row] = running, waiting
        self.table.scraped_at[row] = monotonic()
        self.state.learner.inflight.scraped(row, monotonic(), idle=not running and not waiting)
        self.state.engine_room.scraped(row)
        self.line.room_changed()

    def fill(self, address="10.0.0.1:80"):
        """The engine queues, two scrapes in a row: it has no room."""
        self.report(4, 2, address)
        self.report(4, 2, address)

    async def ask(self, tenant="", text="hello there", answers=1, **headers):
        exchange = Exchange(RequestHead("POST", "/v1/chat/completions", headers, envoy="e"))
        exchange.may_wait(self._patience)
        exchange.identified(Identity(tenant=tenant))
        pipeline = self.deciding.pipeline
        await pipeline.begin(exchange)
        messages = [{"role": "user", "content": text}]
        sent = {"model": "auto", "messages": messages, "max_tokens": 9, "n": answers}
        exchange.received(json.dumps(sent).encode())
        try:
            await pipeline.decide(exchange)
        except RequestRefused as refused:
            pipeline.abandon(exchange, Outcome.answered(refused.reason.http_status))
            raise
        except asyncio.CancelledError:
            pipeline.abandon(exchange, Outcome.abandoned())
            raise
        return exchange

    async def _patience(self, seconds):
        self.asked_for.append(seconds)

    async def asked(self, count=1, **how):
        """So many requests that wait."""
        before = len(self.line)
        tasks = [asyncio.create_task(self.ask(**how)) for _ in range(count)]
        async with asyncio.timeout(30):
            while len(self.line) < before + count:
                await asyncio.sleep(0)
        return tasks

    def end(self, exchange):
        target = exchange.decision.targets[0]
        usage = TokenUsage(10, None, 9)
        outcome = Outcome(exchange.decision.id, 200, target.address, 1, 1.0, 0.1, usage=usage)
        return self.deciding.pipeline.settle(outcome)

    def inflight(self, address="10.0.0.1:80"):
        return int(self.table.inflight[self.table.row_of(address)])


async def refused(task) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        await task
    return caught.value


async def test_a_request_waits_for_room_and_goes_when_there_is_some():
    gate = await Gateway().start()
    gate.fill()
    [task] = await gate.asked()
    assert gate.asked_for == [30.0]
    assert gate.inflight() == 0
    gate.report(4)
    exchange = await task
    assert exchange.decision.targets[0].address == "10.0.0.1:80"
    assert (gate.inflight(), len(gate.line)) == (1, 0)
    record = gate.state.decisions.find(exchange.decision.id)
    assert record is not None
    assert explain(record, "x")["queuedSeconds"] == pytest.approx(record.queued_seconds, abs=1e-3)
    assert record.queued_seconds > 0


async def test_where_there_is_room_nobody_waits_or_asks_for_patience():
    gate = await Gateway().start()
    exchange = await gate.ask()
    assert gate.asked_for == []
    record = gate.state.decisions.find(exchange.decision.id)
    assert record is not None
    assert explain(record, "x")["queuedSeconds"] is None


async def test_a_tenant_is_charged_for_each_answer_that_its_call_asks_for():
    gate = await Gateway().start()
    await gate.ask("acme")
    await gate.ask("other", answers=4)
    charged = {one.tenant: one.amount for one in gate.line.take_charges()}
    assert charged["other"] - charged["acme"] == pytest.approx(service(0, 3 * 9), abs=1)


async def test_values_are_replaced_alike_in_a_request_that_is_decided_twice():
    gate = await Gateway().start(REDACTING)
    at_once = await gate.ask(text="write to alice@mail.example")
    assert b"[EMAIL_" in at_once.new_body
    gate.end(at_once)
    gate.fill()
    [task] = await gate.asked(text="write to alice@mail.example")
    gate.report(4)
    assert (await task).new_body == at_once.new_body


async def test_what_comes_back_in_the_answer_is_known_anew_after_a_wait():
    gate = await Gateway().start(REDACTING.replace("action: redact", "action: redact, restore: text"))
    gate.fill()
    [task] = await gate.asked(text="write to alice@mail.example")
    gate.report(4)
    decided = await task
    name = decided.new_body[decided.new_body.index(b"[EMAIL_") :][:18].decode()
    assert decided.answer.originals.get(name) == "alice@mail.example"
    decided.release()
    assert decided.answer is None


async def test_no_more_go_than_there_is_room():
    gate = await Gateway().start()
    gate.fill()
    tasks = await gate.asked(3)
    gate.report(3)
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks[:2])
    await asyncio.sleep(0)
    assert (gate.inflight(), len(gate.line)) == (2, 1)
    gate.end(tasks[0].result())
    await tasks[2]


async def test_who_comes_later_is_not_let_past_those_that_wait():
    gate = await Gateway().start()
    gate.fill()
    first = await gate.asked()
    second = await gate.asked()
    gate.report(4)
    done, _ = await asyncio.wait([*first, *second], return_when=asyncio.FIRST_COMPLETED)
    assert done == set(first)
    second[0].cancel()
    await asyncio.gather(*second, return_exceptions=True)


async def test_a_request_is_decided_anew_and_goes_to_a_server_that_has_come_meanwhile():
    gate = await Gateway().start()
    gate.fill()
    [task] = await gate.asked()
    await gate.follow(endpoints=TWO)
    exchange = await task
    assert exchange.decision.targets[0].address == "10.0.0.2:80"


async def test_a_model_without_servers_holds_requests_until_one_is_there():
    gate = await Gateway().start(endpoints="[]")
    [task] = await gate.asked()
    await gate.follow(endpoints=ONE)
    exchange = await task
    assert exchange.decision.targets[0].address == "10.0.0.1:80"


async def test_a_full_model_is_passed_over_for_another_of_the_rule_that_has_room():
    gate = await Gateway().start(rule=EITHER)
    gate.fill()
    exchange = await gate.ask()
    assert [target.address for target in exchange.decision.targets] == [LARGE_AT, "10.0.0.1:80"]
    assert exchange.new_body is not None
    assert json.loads(exchange.new_body)["model"] == "large"


async def test_a_request_that_goes_to_another_model_is_changed_and_counted_for_that_model():
    more = """
  transform: {perModel: [{model: large, parameters: {temperature: {default: "0.5"}}}]}
  governance: {limits: [{per: model, window: 1m, requests: 1}]}"""
    gate = await Gateway().start(policy=QUEUE + more, rule=EITHER)
    gate.fill()
    exchange = await gate.ask()
    assert [one.upstream_model for one in exchange.attempts] == ["large", "small"]
    assert exchange.transformed_each
    with pytest.raises(RequestRefused) as caught:
        await gate.ask()
    assert caught.value.reason is Refusal.RATE_LIMITED
    gate.report(1)
    assert (await gate.ask()).decision.targets[0].address == "10.0.0.1:80"


@pytest.mark.parametrize("where", ["10.0.0.1:80", LARGE_AT])
async def test_a_request_waits_until_any_of_its_models_has_room(where):
    gate = await Gateway().start(rule=EITHER)
    gate.fill()
    gate.fill(LARGE_AT)
    [task] = await gate.asked()
    gate.report(3, address=where)
    exchange = await asyncio.wait_for(task, 5)
    assert exchange.decision.targets[0].address == where
    assert gate.inflight(where) == 1


async def test_a_request_waits_until_any_of_its_models_has_a_server():
    gate = await Gateway().start(endpoints="[]", rule=EITHER)
    gate.fill(LARGE_AT)
    [task] = await gate.asked()
    await gate.follow(endpoints=ONE, rule=EITHER)
    exchange = await asyncio.wait_for(task, 5)
    assert exchange.decision.targets[0].address == "10.0.0.1:80"


@pytest.mark.parametrize(
    "rule",
    [
        "{candidates: [{model: small}], fallback: {reasons: [unavailable], to: [{model: large}]}}",
        "{candidates: [{model: small, weight: 1}, {model: large, weight: 0}], stickyBy: x-user}",
    ],
)
async def test_a_request_that_has_to_stay_with_its_model_waits_for_that(rule):
    gate = await Gateway().start(rule=rule)
    gate.fill()
    [task] = await gate.asked(**{"x-user": "ann"})
    assert not task.done()
    gate.report(3)
    exchange = await asyncio.wait_for(task, 5)
    assert exchange.decision.targets[0].address == "10.0.0.1:80"


async def test_without_a_queue_a_model_without_servers_is_refused_at_once():
    gate = await Gateway().start(policy="", endpoints="[]")
    assert (await refused(gate.ask())).reason is Refusal.NO_ENDPOINTS


async def test_a_client_that_leaves_frees_its_place():
    gate = await Gateway().start()
    gate.fill()
    [first] = await gate.asked()
    [second] = await gate.asked()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert len(gate.line) == 1
    gate.report(4)
    await second


async def test_one_that_waits_too_long_is_answered_503_and_says_why():
    gate = await Gateway().start(policy="queue: {maxWait: 20ms}")
    gate.fill()
    why = await refused(gate.ask())
    assert why.reason is Refusal.QUEUE_TIMEOUT
    assert why.headers() == {"x-pilotage-reason": "queue_timeout", "retry-after": "1"}
    assert len(gate.line) == 0


async def test_a_full_queue_answers_429():
    gate = await Gateway().start()
    gate.fill()
    tasks = await gate.asked(3)
    assert (await refused(gate.ask())).reason is Refusal.QUEUE_FULL
    gate.line.close()
    assert {(await refused(task)).reason for task in tasks} == {Refusal.DRAINING}


async def test_money_is_held_when_a_request_goes_and_not_while_it_waits():
    budget = 'governance: {budgets: [{per: policy, period: day, usd: "1", mode: soft}]}'
    gate = await Gateway().start(policy=f"{QUEUE}\n  {budget}")
    gate.fill()
    [task] = await gate.asked()
    assert len(gate.state.accounting.memory) == 0
    gate.report(4)
    await task
    assert len(gate.state.accounting.memory) == 1


async def test_a_loud_tenant_s_queue_is_not_before_a_quiet_one():
    gate = await Gateway().start(policy="queue: {maxWait: 30s}")
    gate.fill()
    loud = await gate.asked(20, tenant="loud")
    [quiet] = await gate.asked(tenant="quiet")
    for _ in range(2):
        gate.report(4)
        await asyncio.sleep(0.01)
    assert quiet.done()
    for task in loud:
        task.cancel()
    await asyncio.gather(*loud, return_exceptions=True)


async def test_a_tenant_of_higher_priority_goes_before_those_that_came_earlier():
    tenant = """
---
apiVersion: pilotage.dev/v1alpha1
kind: Tenant
metadata: {name: first}
spec: {priority: 5}
"""
    gate = await Gateway().start(policy=f"{QUEUE}{tenant}")
    gate.fill()
    [ordinary] = await gate.asked(tenant="other")
    [urgent] = await gate.asked(tenant="first")
    gate.report(4)
    done, _ = await asyncio.wait([ordinary, urgent], return_when=asyncio.FIRST_COMPLETED)
    assert done == {urgent}
    ordinary.cancel()
    await asyncio.gather(ordinary, return_exceptions=True)


async def test_a_policy_without_a_queue_has_nothing_of_it_in_its_plan():
    gate = await Gateway().start(policy="")
    plan = gate.deciding.current.index.exact["auto"][0].policy.rules[0].plan
    assert plan.waiting == ()
    assert [stage.name for stage in plan.committing] == ["count", "record"]


async def test_a_policy_with_a_queue_has_it_in_its_plan_only_between_deciding_and_committing():
    gate = await Gateway().start()
    plan = gate.deciding.current.index.exact["auto"][0].policy.rules[0].plan
    assert [stage.name for stage in plan.waiting] == ["wait"]
    assert plan.committing[-1].name == "went"


def test_an_admission_bound_on_servers_that_show_no_load_is_said_to_do_nothing():
    pool = (POOL % (ONE, ADMISSION)).replace("vllm", "openai")
    found = compile_resources(
        load_texts([("a.yaml", pool), ("b.yaml", POLICY % (SMALL, QUEUE))]), GatewaySettings()
    )
    codes = [(one.code, one.path) for one in found.findings]
    assert ("no-effect", "spec.admission") in codes
    assert ("no-admission", "spec.queue") in codes
