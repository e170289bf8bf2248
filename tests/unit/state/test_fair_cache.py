"""A room that parties share: none of them pushes out what others have that have less."""

from collections import Counter, OrderedDict

from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.state.fair_cache import FairCache

KEYS = st.integers(0, 12).map(str)
STEPS = st.lists(st.tuples(KEYS, st.sampled_from("abc"), st.booleans()), max_size=60)


def test_a_loud_party_pushes_out_its_own() -> None:
    cache = FairCache[int](3)
    cache.put("quiet", 0, "q")
    for number in range(1000):
        cache.put(f"l{number}", number, "l")
    assert cache.get("quiet") == 0
    assert [cache.get(f"l{number}") for number in (997, 998, 999)] == [None, 998, 999]


def test_a_party_alone_may_have_all_of_it_until_others_come() -> None:
    cache = FairCache[int](4)
    for number in range(4):
        cache.put(f"l{number}", number, "l")
    cache.put("q0", 0, "q")
    cache.put("q1", 1, "q")
    assert [key for key in ("l0", "l1", "l2", "l3", "q0", "q1") if key in cache] == ["l2", "l3", "q0", "q1"]


@given(STEPS, st.integers(1, 6))
@settings(max_examples=examples(200))
def test_it_is_what_a_search_among_all_parties_would_keep(
    steps: list[tuple[str, str, bool]], capacity: int
) -> None:
    cache, kept = FairCache[str](capacity), OrderedDict[str, str]()
    for key, party, reads in steps:
        if reads:
            assert (cache.get(key) is None) == (key not in kept)
            if key in kept:
                kept.move_to_end(key)
            continue
        cache.put(key, party, party)
        kept[key] = party
        kept.move_to_end(key)
        if len(kept) > capacity:
            counts = Counter(kept.values())
            [lost] = [one for one in kept if one not in cache]
            whose = kept[lost]
            assert counts[whose] == max(counts.values())
            assert lost == next(one for one in kept if kept[one] == whose)
            del kept[lost]
        assert len(cache) == len(kept)
        assert all(one in cache for one in kept)
