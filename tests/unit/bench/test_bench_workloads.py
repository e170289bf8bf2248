"""The workloads are what their constants say: load, lengths, sharing, and the same for the same seed."""

import statistics
from itertools import pairwise
from random import Random

import pytest
from bench.placement.capacity import fleet_capacity, request_seconds
from bench.placement.constants import FLEETS, MODEL, SEEDS
from bench.placement.lengths import ANSWER, total_tokens
from bench.placement.shapes import adapter_names
from bench.placement.workloads import WORKLOADS, Bursts, Workload, poisson

from pilotage_sim.config import SimConfig
from pilotage_sim.engine.core import Engine
from pilotage_sim.http.requests import generation

ALL = list(WORKLOADS.values())


def described(workload: Workload, servers: int, seed: int, seconds: float) -> list[tuple[object, ...]]:
    return [
        (one.number, one.at_seconds, one.messages, one.prompt_tokens, one.max_tokens, one.adapter)
        for one in workload.requests(servers, seed, seconds)
    ]


@pytest.mark.parametrize("workload", ALL, ids=lambda one: one.name)
def test_a_seed_makes_the_same_requests_and_another_does_not(workload):
    first = described(workload, 8, 11, 5)
    assert first
    assert first == described(workload, 8, 11, 5)
    assert first != described(workload, 8, 23, 5)


@pytest.mark.parametrize("workload", ALL, ids=lambda one: one.name)
def test_the_load_is_the_stated_share_of_capacity(workload):
    """Over the seeds together, after the warm-up; long-tailed lengths leave some percent to chance."""
    seconds, offered = 60.0, 0.0
    for seed in SEEDS:
        requests = workload.requests(8, seed, workload.warmup_seconds + seconds)
        offered += sum(
            request_seconds(one.prompt_tokens, one.max_tokens)
            for one in requests
            if one.at_seconds >= workload.warmup_seconds
        )
    capacity = seconds * len(SEEDS) * fleet_capacity(8, workload.slow(8))
    assert offered / capacity == pytest.approx(workload.load, rel=0.1)


@pytest.mark.parametrize("workload", ALL, ids=lambda one: one.name)
def test_a_larger_fleet_gets_as_much_a_server(workload):
    per_server = [workload.starts_per_second(servers) / servers for servers in FLEETS]
    assert max(per_server) / min(per_server) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("workload", ALL, ids=lambda one: one.name)
def test_stated_lengths_are_the_engines_and_what_http_servers_see(workload):
    engine = Engine(SimConfig((MODEL,)).engine_config())
    numbers = []
    for number, request in enumerate(workload.requests(8, 37, 20)):
        if number < 40:
            prompt = request.prompt()
            assert len(prompt) == 4 * request.prompt_tokens
            assert generation(request.body(MODEL), "messages").prompt == prompt
            queued = engine.add(str(number), prompt, request.max_tokens, model=MODEL, adapter=None)
            assert queued.prompt_tokens == request.prompt_tokens
        assert request.prompt_tokens + request.max_tokens < engine.config.max_model_tokens
        numbers.append(request.number)
    assert numbers == list(range(len(numbers)))


def test_a_turn_of_a_session_is_found_in_the_cache_up_to_the_earlier_answer():
    engine = Engine(SimConfig((MODEL,)).engine_config())
    turns: dict[int, list[int]] = {}
    for request in WORKLOADS["sessions"].requests(8, 11, 30):
        if request.session is not None and request.session < 5:
            one = engine.add(
                str(request.number), request.prompt(), request.max_tokens, model=MODEL, adapter=None
            )
            while not engine.idle:
                engine.step()
            before = turns.setdefault(request.session, [])
            if before:
                assert one.cached >= before[-1] - 2 * engine.config.block_tokens
            before.append(request.prompt_tokens + request.max_tokens)
    assert max(map(len, turns.values())) > 1


def test_shared_prefixes_are_shared_and_questions_are_not():
    requests = list(WORKLOADS["shared-prefix"].requests(8, 11, 60))
    systems = [one.messages[0] for one in requests]
    assert 150 <= len(set(systems)) <= 166
    assert len({one.messages[1] for one in requests}) == len(requests)


def test_four_fifths_of_hot_prefixes_are_one_of_two():
    requests = list(WORKLOADS["hot-prefix"].requests(8, 11, 40))
    hot = [one for one in requests if one.messages[0][1].startswith("group ")]
    assert len({one.messages[0] for one in hot}) == 2
    assert len(hot) / len(requests) == pytest.approx(0.8, abs=0.03)


def test_there_are_fifty_adapters_on_eight_servers_and_some_are_popular():
    workload = WORKLOADS["adapters"]
    assert len(adapter_names(workload.shape, 8)) == 50
    asked = [one.adapter for one in workload.requests(8, 11, 200)]
    assert set(asked) <= set(adapter_names(workload.shape, 8))
    assert asked.count("adapter-0") > 10 * asked.count("adapter-40")


def test_bursts_are_six_times_the_quiet_rate_and_the_mean_is_the_load():
    bursts = Bursts()
    cycle = bursts.quiet_seconds + bursts.burst_seconds
    times = list(poisson(Random(1), 50.0, 200 * cycle, bursts))
    in_burst = sum(at % cycle >= bursts.quiet_seconds for at in times)
    quiet_rate = (len(times) - in_burst) / (200 * bursts.quiet_seconds)
    assert in_burst / (200 * bursts.burst_seconds) / quiet_rate == pytest.approx(6.0, rel=0.05)
    assert len(times) / (200 * cycle) == pytest.approx(50.0, rel=0.03)
    assert all(before < after for before, after in pairwise(times))


def test_one_server_in_eight_is_slow():
    assert WORKLOADS["slow-server"].slow(16) == {0: 3.0, 8: 3.0}
    assert WORKLOADS["bursts"].slow(16) == {}


def test_lengths_follow_their_distributions():
    chance = Random(2)
    drawn = [total_tokens("azure").draw(chance) for _ in range(20_000)]
    assert sum(one <= 2048 for one in drawn) / len(drawn) == pytest.approx(0.7798, abs=0.01)
    assert max(drawn) <= 65536
    assert statistics.fmean(ANSWER.draw(chance) for _ in range(20_000)) == pytest.approx(215, rel=0.03)
