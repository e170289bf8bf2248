"""Many decode steps at once leave an engine as so many single steps do."""

import random

from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_sim import SimConfig
from pilotage_sim.engine.core import Engine
from pilotage_sim.engine.decode import decode, step_ends, steps_ahead
from pilotage_sim.virtual import Arrival, Served, VirtualFleet


def state(engine: Engine) -> tuple[object, ...]:
    """All of an engine that matters, its cache's content and order included."""
    blocks = engine.blocks
    return (
        engine.counters,
        [(one.id, one.computed, one.generated, one.text, one.blocks) for one in engine.running],
        [one.id for one in engine.waiting],
        (blocks.evictions, blocks._by_hash, list(blocks._idle), blocks._unused, blocks._references),
    )


requests = st.lists(
    st.tuples(
        st.integers(0, 3),  # which shared beginning
        st.integers(0, 400),  # bytes of its own
        st.integers(1, 90),  # tokens of the answer
        st.sampled_from([None, "a", "b", "c"]),
    ),
    min_size=1,
    max_size=12,
)


@given(wanted=requests, cache=st.sampled_from([800, 1600, 8000]), cut=st.integers(1, 40))
@settings(max_examples=examples(80), deadline=None)
def test_decoding_at_once_is_decoding_step_by_step(wanted, cache, cut):
    config = SimConfig(("m",), kv_cache_tokens=cache, max_running=6, max_loras=2)
    engines = [Engine(config.engine_config()) for _ in range(2)]
    for number, (shared, own, tokens, adapter) in enumerate(wanted):
        prompt = bytes([65 + shared]) * 300 + random.Random(number).randbytes(own)
        for engine in engines:
            engine.add(str(number), prompt, tokens, model="m", adapter=adapter)
    single, many = engines
    now = 0.0
    for _ in range(20_000):
        if single.idle:
            break
        steps = min(cut, steps_ahead(many))
        if steps:
            ends = step_ends(many, steps, now, 1.0)
            for number in range(steps):
                result = single.step()
                assert all(not one.finished for one in result.emitted)
                assert len(result.emitted) == len(single.running)
                now += result.seconds
                assert now == ends[number]
            decode(many, steps)
        else:
            assert single.step() == many.step()
        assert state(single) == state(many)
    assert single.idle
    assert many.idle


def fleet_run(seed: int, look: bool) -> tuple[list[Served], list[tuple[int, int]]]:
    chance = random.Random(seed)
    fleet = VirtualFleet(2, SimConfig(("m",), kv_cache_tokens=4000), {1: 3.0})
    at, served, seen = 0.0, [], []
    ends: list[tuple[float, int]] = []
    for _ in range(60):
        at += chance.expovariate(20)
        fleet.advance(at, lambda one: ends.append((one.finished_at, one.server)))
        if look:
            seen.append((len(fleet.engine_at(0, at).running), fleet.engine_at(0, at).blocks.used))
        served.append(fleet.submit(chance.randrange(2), Arrival(at, chance.randbytes(800), 40)))
    fleet.advance(float("inf"), lambda one: ends.append((one.finished_at, one.server)))
    assert ends == sorted(ends)
    assert len(ends) == 60
    return served, seen


def test_looking_at_an_engine_between_arrivals_changes_nothing():
    looked, seen = fleet_run(5, look=True)
    left_alone, _ = fleet_run(5, look=False)
    assert looked == left_alone
    assert max(used for _, used in seen) > 0


def test_a_slow_server_takes_so_many_times_longer():
    def alone(slow: float) -> Served:
        fleet = VirtualFleet(1, SimConfig(("m",)), {0: slow})
        [one] = fleet.run([Arrival(0.0, b"x" * 4000, 30)], lambda *_: 0)
        return one

    fast, slow = alone(1.0), alone(3.0)
    assert abs(slow.finished_at - 3 * fast.finished_at) < 1e-9
    assert abs(slow.ttft_seconds - 3 * fast.ttft_seconds) < 1e-9
