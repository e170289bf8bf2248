"""The simulated engine: nothing leaks, limits hold, prefixes are found, time adds up."""

import asyncio
import random

import aiohttp
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_sim import SimCluster, SimConfig, SimSpec
from pilotage_sim.engine.core import Engine
from pilotage_sim.engine.cost import PRESETS
from pilotage_sim.engine.tokens import token_count
from pilotage_sim.virtual import Arrival, VirtualFleet

SMALL = SimConfig(("m",), kv_cache_tokens=1600, max_running=4, max_loras=2)


def finish(engine: Engine) -> list[str]:
    """Step until idle; ids in order of finishing."""
    done = []
    for _ in range(100_000):
        if engine.idle:
            return done
        done += [one.id for one in engine.step().emitted if one.finished]
    raise AssertionError("the engine does not come to rest")


@given(
    requests=st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=2000), st.integers(1, 60), st.sampled_from([None, "a", "b", "c"])
        ),
        max_size=25,
    ),
    aborted=st.sets(st.integers(0, 24)),
)
@settings(max_examples=examples(60), deadline=None)
def test_all_is_answered_limits_hold_and_no_block_leaks(requests, aborted):
    engine = Engine(SMALL.engine_config())
    for number, (prompt, tokens, adapter) in enumerate(requests):
        engine.add(str(number), prompt, tokens, model="m", adapter=adapter)
        engine.step()
        assert len(engine.running) <= 4
        assert len(engine.running_adapters()) <= 2
        assert engine.blocks.used + engine.blocks.free == engine.blocks.capacity
        if number in aborted:
            engine.abort(str(number))
    finish(engine)
    assert engine.blocks.used == 0
    assert engine.blocks.free == engine.blocks.capacity
    counters = engine.counters
    assert counters.finished + counters.aborted == len(requests)
    if not aborted:
        assert counters.generation_tokens == sum(tokens for _, tokens, _ in requests)
        assert counters.prompt_tokens == sum(token_count(prompt) for prompt, _, _ in requests)


def test_a_conversation_finds_its_earlier_turns_in_the_cache():
    engine = Engine(SimConfig(("m",)).engine_config())
    prompt = b"system: be brief\nuser: " + b"words and more words " * 40 + b"\nassistant: "
    first = engine.add("1", prompt, 32, model="m", adapter=None)
    finish(engine)
    second = engine.add("2", first.text + b"\nuser: and then?\nassistant: ", 4, model="m", adapter=None)
    finish(engine)
    assert first.cached == 0
    assert second.cached >= token_count(prompt) + 32 - 2 * 16


def test_only_the_longest_run_from_the_start_counts_and_adapters_do_not_share():
    engine = Engine(SimConfig(("m",)).engine_config())
    text = bytes(random.Random(1).randbytes(4096))
    engine.add("1", text, 1, model="m", adapter=None)
    finish(engine)
    changed = engine.add("2", b"x" + text[1:], 1, model="m", adapter=None)
    adapted = engine.add("3", text, 1, model="m", adapter="lora")
    again = engine.add("4", text, 1, model="m", adapter=None)
    finish(engine)
    assert (changed.cached, adapted.cached) == (0, 0)
    assert again.cached == (1024 - 1) // 16 * 16, "the last prompt token is always computed"


def test_the_least_recently_used_prefix_is_evicted():
    engine = Engine(SMALL.engine_config())
    texts = [bytes([65 + number]) * 1600 for number in range(5)]  # 400 tokens each, 1,600 fit
    for number, text in enumerate(texts):
        engine.add(str(number), text, 1, model="m", adapter=None)
        finish(engine)
    assert engine.blocks.evictions > 0
    oldest = engine.add("old", texts[0], 1, model="m", adapter=None)
    finish(engine)
    newest = engine.add("new", texts[4], 1, model="m", adapter=None)
    finish(engine)
    assert oldest.cached == 0
    assert newest.cached > 300


def test_prefill_costs_arithmetic_and_decode_costs_traffic():
    cost = PRESETS["llama-3.1-8b-h100"]
    prefill = cost.step_seconds(tokens=8000, context_tokens=0)
    decode = cost.step_seconds(tokens=1, context_tokens=0)
    assert prefill == pytest.approx(0.002 + 2 * 8.03e9 * 8000 / (989e12 * 0.5))
    assert decode == pytest.approx(0.002 + 2 * 8.03e9 / (3.35e12 * 0.7))
    assert cost.step_seconds(tokens=64, context_tokens=64 * 8000) > 2 * decode


def arrivals(count: int, gap: float) -> list[Arrival]:
    chance = random.Random(7)
    return [Arrival(number * gap, chance.randbytes(400), 8) for number in range(count)]


def test_virtual_time_repeats_exactly_and_a_larger_fleet_is_faster():
    def run(servers: int) -> list[float]:
        turn = iter(range(10**9))
        fleet = VirtualFleet(servers, SimConfig(("m",)))
        served = fleet.run(arrivals(300, 0.001), lambda *_: next(turn) % servers)
        assert all(one.tokens == 8 for one in served)
        return [one.ttft_seconds for one in served]

    assert run(8) == run(8)
    assert sum(run(8)) < sum(run(1))


async def test_real_time_agrees_with_virtual_time():
    config = SimConfig(("m",), time_scale=5.0)
    [virtual] = VirtualFleet(1, SimConfig(("m",))).run(
        [Arrival(0.0, b"user: " + b"w" * 400 + b"\nassistant: ", 10)], lambda *_: 0
    )
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, config)])
    loop = asyncio.get_running_loop()
    took = []
    async with aiohttp.ClientSession() as session:
        for letter in "wxyz":  # a busy machine makes some slow, none fast
            message = {"role": "user", "content": letter * 400}
            body = {"model": "m", "messages": [message], "max_tokens": 10}
            began = loop.time()
            async with session.post(
                f"http://{cluster.servers[0].address}/v1/chat/completions", json=body
            ) as answer:
                told = await answer.json()
            took.append((loop.time() - began) / 5.0)
            assert told["usage"]["prompt_tokens"] == virtual.prompt_tokens
            assert took[-1] > 0.95 * virtual.finished_at
    await cluster.stop()
    assert min(took) == pytest.approx(virtual.finished_at, rel=0.25, abs=0.02)


def test_a_request_that_does_not_fit_evicts_nothing():
    engine = Engine(SMALL.engine_config())  # 100 blocks
    engine.add("warm", b"w" * 1600, 1, model="m", adapter=None)  # leaves 25 blocks cached
    finish(engine)
    engine.add("running", b"r" * 4000, 40, model="m", adapter=None)  # takes 63 of the other 75
    engine.step()
    engine.add("too large", b"l" * 3200, 1, model="m", adapter=None)  # needs 50
    engine.step()
    assert engine.blocks.evictions == 0
    assert [one.id for one in engine.waiting] == ["too large"]
    finish(engine)
    again = engine.add("again", b"w" * 1600, 1, model="m", adapter=None)
    finish(engine)
    assert engine.counters.finished == 4
    assert again.cached == 0, "what waited needed its place in the end"


def test_cached_blocks_a_request_takes_over_are_not_free_for_it_as_well():
    engine = Engine(SMALL.engine_config())
    engine.add("warm", b"w" * 3200, 1, model="m", adapter=None)  # leaves 50 blocks cached, 50 empty
    finish(engine)
    engine.add("running", b"r" * 1600, 40, model="m", adapter=None)  # takes 25 of the empty ones
    engine.step()
    engine.add("longer", b"w" * 3200 + b"l" * 1920, 1, model="m", adapter=None)  # 50 cached, 31 more
    engine.step()
    assert [one.id for one in engine.waiting] == ["longer"]
    finish(engine)
    assert engine.blocks.used == 0
