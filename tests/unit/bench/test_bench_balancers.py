"""The balancers of the benchmark do what Envoy's documentation says."""

from collections import Counter

from bench.placement.balancers import LeastRequest, PrefixHash, RoundRobin
from bench.placement.requests import Request

ANY = Request(0, 0.0, (("user", "hi"),), 1, 1)


def places(balancer, count: int, prompt: bytes = b"") -> list[int]:
    return [balancer.place(ANY, prompt, 0.0) for _ in range(count)]


def test_round_robin_takes_each_server_in_turn_from_one_that_the_seed_chooses():
    assert Counter(places(RoundRobin(5, 1), 50)) == dict.fromkeys(range(5), 10)
    order = places(RoundRobin(5, 1), 10)
    assert order[:5] == order[5:]
    assert {places(RoundRobin(5, seed), 1)[0] for seed in range(40)} == set(range(5))


def test_least_request_prefers_the_one_of_two_choices_with_fewer_requests():
    balancer = LeastRequest(2, 3)
    first = balancer.place(ANY, b"", 0.0)
    later = places(balancer, 1)
    while later[-1] == first:  # both choices fell on the busy one
        balancer.finished(0, first, 0.0)
        later = places(balancer, 1)
    other = later[-1]
    for _ in range(50):
        balancer.place(ANY, b"", 0.0)
    busy = LeastRequest(2, 3)
    busy._active = [10, 0]
    chosen = Counter(places_and_ends(busy, 4000))
    assert other != first
    # the busy one is only chosen where both draws fall on it: a quarter
    assert 0.21 < chosen[0] / 4000 < 0.29


def places_and_ends(balancer: LeastRequest, count: int) -> list[int]:
    """Places that end at once: the counts stay."""
    chosen = []
    for _ in range(count):
        server = balancer.place(ANY, b"", 0.0)
        balancer.finished(0, server, 0.0)
        chosen.append(server)
    return chosen


def test_least_request_looks_at_two_of_many_and_not_at_all():
    balancer = LeastRequest(100, 7)
    balancer._active = [5] * 99 + [0]
    share = places_and_ends(balancer, 20_000).count(99) / 20_000
    assert 0.016 < share < 0.024, "the empty one is found where one of two draws is it: 2 in 100"


def test_least_request_with_equal_counts_is_even():
    chosen = Counter(places(LeastRequest(8, 1), 8000))
    assert max(chosen.values()) - min(chosen.values()) <= 8


def test_prefix_hash_sends_a_prefix_to_one_server_and_prefixes_to_all():
    balancer = PrefixHash(8, 1)
    assert len(set(places(balancer, 20, b"x" * 2000))) == 1
    assert balancer.place(ANY, b"x" * 1024 + b"a", 0.0) == balancer.place(ANY, b"x" * 1024 + b"b", 0.0)
    assert {balancer.place(ANY, bytes([one]) * 2000, 0.0) for one in range(200)} == set(range(8))
