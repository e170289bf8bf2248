"""The routing index: made anew only as far as endpoints changed, and routes within one pool."""

import tracemalloc

import pytest

from pilotage_api.snapshot import (
    Binding,
    Engine,
    NameKind,
    Otherwise,
    PathMatch,
    PoolSnapshot,
    RoutingSnapshot,
    SaturationSnapshot,
    StreamUsage,
)
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.request.plan import Plan
from pilotage_extproc.rules.build import IndexBuilder
from pilotage_extproc.rules.globs import glob_pattern
from pilotage_extproc.rules.routing_index import PolicyEntry, RoutingIndex
from pilotage_extproc.rules.rule import Policy
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable

A, B = "ns/a", "ns/b"


def pool(key: str, **more: object) -> PoolSnapshot:
    return PoolSnapshot(
        key=key, engine=Engine.VLLM, endpoints=(), stream_usage=StreamUsage.LEAVE, models=("m",), **more
    )


def snapshot(*pools: PoolSnapshot) -> RoutingSnapshot:
    names = {
        name: tuple(Binding(pool=key, upstream_model="m", kind=NameKind.MODEL) for key in keys)
        for name, keys in {"m-a": (A,), "m-b": (B,), "m": (A, B)}.items()
    }
    return RoutingSnapshot(pools=pools, names=names)


class NoPlans:
    placing = in_pool = forwarded = Plan()

    def features(self, wanted):
        return ()


class Builder:
    """Builds one index after another over one table."""

    def __init__(self) -> None:
        self.table = EndpointTable()
        self.builder = IndexBuilder(self.table, ProfileBook(plugins={}), NoPlans())
        self.snapshot = snapshot(pool(A), pool(B))

    async def build(self, **membership: tuple[str, ...]):
        named = {f"ns/{name}": found for name, found in membership.items()}
        facts = {
            address: EndpointFacts(Engine.VLLM, (key,)) for key, found in named.items() for address in found
        }
        change = self.table.prepare(facts)
        index = await self.builder.build(self.snapshot, named)
        self.table.release(change.removed)
        return index


def addresses(rule) -> list[str]:
    return [target.address for target in rule.route.candidates.targets]


async def test_only_sets_with_a_changed_pool_are_made_anew():
    builder = Builder()
    before = await builder.build(a=("1:1", "2:1"), b=("3:1",))
    after = await builder.build(a=("1:1",), b=("3:1",))
    assert after.names["m-b"].route.candidates is before.names["m-b"].route.candidates
    assert addresses(after.names["m-a"]) == ["1:1"]
    assert addresses(after.names["m"]) == ["1:1", "3:1"]
    assert addresses(after.pool_rules[A]) == ["1:1"]
    assert after.by_address == {"1:1": A, "3:1": B}


async def test_an_address_that_went_and_came_back_has_its_new_row():
    builder = Builder()
    await builder.build(a=("1:1", "2:1"), b=("3:1",))
    await builder.build(a=("2:1",), b=("3:1", "4:1"))
    index = await builder.build(a=("1:1", "2:1"), b=("3:1", "4:1"))
    for rule in (*index.names.values(), *index.pool_rules.values()):
        candidates = rule.route.candidates
        for target, row in zip(candidates.targets, candidates.rows.tolist(), strict=True):
            assert target.row == row == builder.table.row_of(target.address)


async def test_a_pool_that_fills_sooner_has_its_sets_made_anew():
    builder = Builder()
    before = await builder.build(a=("1:1",), b=("3:1",))
    builder.snapshot = snapshot(pool(A, saturation=SaturationSnapshot(queue_depth=2)), pool(B))
    after = await builder.build(a=("1:1",), b=("3:1",))
    assert before.names["m-a"].route.candidates.full_queue is None
    assert after.names["m-a"].route.candidates.full_queue.tolist() == [2]
    assert after.names["m-b"].route.candidates is before.names["m-b"].route.candidates


async def test_hundreds_of_adapters_of_a_large_pool_share_its_columns_and_make_their_targets_on_demand():
    builder = Builder()
    adapters = [f"lora-{number}" for number in range(200)]
    builder.snapshot = RoutingSnapshot(
        pools=(pool(A),),
        names={
            name: (Binding(pool=A, upstream_model=name, kind=NameKind.ADAPTER),) for name in ("m", *adapters)
        },
    )
    endpoints = tuple(f"10.0.{number // 250}.{number % 250}:80" for number in range(2000))
    await builder.build(a=endpoints)  # what the table and the columns cost is not asked for here
    tracemalloc.start()
    index = await builder.build(a=endpoints[1:])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2_000_000, "200 sets of 2,000 targets each would take 30 MB"
    first, last = (index.names[name].route.candidates for name in (adapters[0], adapters[-1]))
    assert first.rows is last.rows
    assert first.targets[1998] == Target(
        builder.table.row_of(endpoints[-1]), endpoints[-1], A, "lora-0", True
    )
    assert last.targets[-1].upstream_model == "lora-199"
    assert [name for name, _ in last.adapters] == ["lora-199"]


async def test_targets_of_several_pools_stand_as_the_columns_do():
    index = await Builder().build(a=("1:1", "2:1"), b=("3:1",))
    targets = index.names["m"].route.candidates.targets
    assert [targets[position] for position in range(3)] == list(targets) == list(targets[:])
    assert [(one.address, one.pool) for one in targets] == [("1:1", A), ("2:1", A), ("3:1", B)]
    assert targets[-1].address == "3:1"
    assert targets.has_address("3:1")
    assert not targets.has_address("4:1")
    with pytest.raises(IndexError):
        targets[3]


async def test_within_a_pool_any_model_goes_to_any_server_under_its_own_name():
    index = await Builder().build(a=("1:1", "2:1"), b=("3:1",))
    rule = index.in_pool(A, "whatever", adapter=False)
    assert [(one.address, one.upstream_model) for one in rule.route.candidates.targets] == [
        ("1:1", "whatever"),
        ("2:1", "whatever"),
    ]
    assert rule.route.candidates.adapters == ()
    assert index.in_pool(A, "whatever", adapter=False) is rule
    [(name, members)] = index.in_pool(A, "lora", adapter=True).route.candidates.adapters
    assert (name, members.tolist()) == ("lora", [0, 1])
    assert index.in_pool("ns/none", "whatever", adapter=False) is None


async def test_a_flood_of_model_names_does_not_grow_the_index():
    index = await Builder().build(a=("1:1",), b=())
    for number in range(5000):
        index.in_pool(A, f"m-{number}", adapter=False)
    assert len(index._fixed) <= 1024


def test_a_policy_with_several_ways_in_is_tried_once_though_another_stands_between_them():
    first, second = (Policy(key, (), Otherwise.NEXT) for key in ("ns/first", "ns/second"))
    whole, part = PathMatch(value="/v1/completions", prefix=False), PathMatch(value="/v1", prefix=True)
    ways = (PolicyEntry(first, whole, ()), PolicyEntry(second, whole, ()), PolicyEntry(first, part, ()))
    anything = tuple(PolicyEntry(one, None, (), glob_pattern("*")) for one in (second, first))
    index = RoutingIndex(RoutingSnapshot(), exact={"m": ways}, globs=anything, any_model=anything)
    assert list(index.matching("m", "/v1/completions", {})) == [first, second]
    assert list(index.matching("other", "/v1/completions", {})) == [second, first]
