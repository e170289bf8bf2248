"""Plans hold what a policy and its rules ask for, and nothing else."""

import asyncio
from dataclasses import replace

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    CandidateModel,
    EndpointSnapshot,
    Engine,
    NameKind,
    PolicyRoute,
    PoolSnapshot,
    RoutingSnapshot,
    RuleSnapshot,
    StreamUsage,
)
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.pipeline.plans import PlanBook, StageParts
from pilotage_extproc.request.stage import OnError, Step
from pilotage_extproc.rules.build import IndexBuilder
from pilotage_extproc.rules.condition import DOES_NOT_HOLD, HOLDS
from pilotage_extproc.rules.local_time import LocalTime
from pilotage_extproc.rules.readings import ReadingSources
from pilotage_extproc.rules.room import PoolRoom
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.rules.rule import Policy
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.server.state import new_state
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.waiting_line import WaitingLine

SETTINGS = GatewaySettings()
POOL = PoolSnapshot(
    key="default/a",
    engine=Engine.OPENAI,
    endpoints=(EndpointSnapshot(address="10.0.0.1", port=80),),
    stream_usage=StreamUsage.LEAVE,
    models=("m",),
)
CANDIDATE = CandidateModel(
    model="m", weight=None, bindings=(Binding(pool=POOL.key, upstream_model="m", kind=NameKind.MODEL),)
)
ROUTE = PolicyRoute(
    policy="default/p",
    model="m",
    glob=False,
    path=None,
    headers=(),
    rules=(RuleSnapshot(name="only", candidates=(CANDIDATE,)),),
)
HEAD = RequestHead("POST", "/v1/chat/completions", {})
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


class Slow(Step):
    """Finds out a feature after a while."""

    def __init__(self, name: str, needs: str = "", *, fails: bool = False) -> None:
        self.name = name
        self.needs = frozenset([needs] if needs else [])
        self.provides = frozenset([name])
        self.on_error = OnError.SKIP
        self.fails = fails
        self.applied = 0

    def apply(self, exchange):
        self.applied += 1
        return self._find(exchange)

    async def _find(self, exchange) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise ValueError("a bug")
        exchange.learned(self.name, 7)


class Reads:
    """A condition that reads one feature."""

    def __init__(self, feature: str) -> None:
        self.reads = frozenset([feature])
        self.feature = feature

    def holds(self, values):
        return HOLDS if values(self.feature) == 7 else DOES_NOT_HOLD


async def deciding(*features: Slow) -> tuple[Pipeline, PlanBook, CurrentIndex]:
    table = EndpointTable()
    table.sync({"10.0.0.1:80": EndpointFacts(Engine.OPENAI, (POOL.key,))})
    table.admit(table.rows())
    state, current, clock = new_state(SETTINGS, table, HealthLedger(table)), CurrentIndex(), lambda: 1000.0
    room = PoolRoom(current, table, state.engine_room, clock, peers=state.peer_load, process_id="x")
    plans = PlanBook(
        StageParts(
            process_id="x",
            settings=SETTINGS,
            current=current,
            scheduler=Scheduler(table, state.knowledge),
            learner=state.learner,
            owners=state.owners,
            objectives=state.objectives,
            sources=ReadingSources(table, LocalTime("UTC"), clock),
            decisions=state.decisions,
            clock=clock,
            books=state.accounting.books,
            prices=state.accounting.prices,
            alerts=state.accounting.alerts,
            features=features,
            room=room,
            line=WaitingLine(room.free, clock),
        )
    )
    builder = IndexBuilder(table, ProfileBook(plugins={}), plans)
    snapshot = RoutingSnapshot(pools=(POOL,), routes=(ROUTE,)).sealed()
    current.install(await builder.build(snapshot, {POOL.key: ("10.0.0.1:80",)}))
    return Pipeline(plans, state.ledger, SETTINGS), plans, current


def policy_of(current: CurrentIndex) -> Policy:
    return current.index.exact["m"][0].policy


def reading(current: CurrentIndex, plans: PlanBook, feature: str) -> None:
    """Let the policy's rule read a feature, as one compiled with such a condition would."""
    index, policy = current.index, policy_of(current)
    [rule] = policy.rules
    rule = replace(rule, condition=Reads(feature))
    policy = replace(policy, rules=(rule,), features=plans.features(rule.condition.reads))
    entry = replace(index.exact["m"][0], policy=policy)
    current.install(replace(index, exact={"m": (entry,)}))


async def test_a_policy_that_uses_nothing_has_empty_plans():
    slow = Slow("prompt.domain")
    pipeline, _, current = await deciding(slow)
    policy = policy_of(current)
    assert policy.features == ()
    assert [rule.plan.governance for rule in policy.rules] == [()]
    await pipeline.consider(HEAD, BODY)
    assert slow.applied == 0


async def test_what_a_rule_reads_is_awaited_before_it_is_evaluated():
    slow, other = Slow("prompt.domain"), Slow("prompt.language")
    pipeline, plans, current = await deciding(slow, other)
    reading(current, plans, "prompt.domain")
    record = await pipeline.consider(HEAD, BODY)
    assert record.route.rule == "only"
    assert (slow.applied, other.applied) == (1, 0)


async def test_what_a_feature_needs_is_found_out_before_it():
    first, second, other = Slow("text"), Slow("prompt.domain", needs="text"), Slow("prompt.language")
    _, plans, _ = await deciding(first, second, other)
    assert plans.features(frozenset(["prompt.domain"])) == (first, second)
    assert plans.features(frozenset(["request.model"])) == ()


async def test_a_feature_that_cannot_be_had_is_unknown_and_recorded():
    slow = Slow("prompt.domain", fails=True)
    pipeline, plans, current = await deciding(slow)
    reading(current, plans, "prompt.domain")
    index = current.index
    [rule] = policy_of(current).rules
    fallback = replace(rule, condition=None)
    policy = replace(policy_of(current), rules=(rule, fallback))
    current.install(replace(index, exact={"m": (replace(index.exact["m"][0], policy=policy),)}))
    record = await pipeline.consider(HEAD, BODY)
    assert [trial.holds for trial in record.trials] == [False, True]
    assert record.skipped == ("prompt.domain: raised ValueError",)
