"""What endpoints hold already: prefixes, adapters, sessions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scheduling_fleet import Fleet

from pilotage_api.snapshot import ProfileSnapshot, WeightedSnapshot
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.prompt_blocks import prompt_blocks, root_of
from pilotage_extproc.state.affinity import AdapterSlots

SESSION = ProfileSnapshot(scorers=(WeightedSnapshot(type="session-affinity", weight=1),))
PREFIX = ProfileSnapshot(scorers=(WeightedSnapshot(type="prefix-cache", weight=1),))
LONG = b"The quick brown fox jumps over the lazy dog. " * 400


def asking(text: bytes) -> RequestFeatures:
    return RequestFeatures(prompt=prompt_blocks(text), bytes_per_token=4.0)


def teach(fleet: Fleet, index: int, text: bytes, model: str = "m0") -> None:
    blocks = prompt_blocks(text).of_model(root_of(model))
    fleet.knowledge.prefixes.learn(int(fleet.candidates.rows[index]), blocks, 4.0)


def test_a_prompt_goes_where_its_prefix_is():
    fleet = Fleet(8)
    teach(fleet, 5, LONG)
    ranking = fleet.rank(request=asking(LONG + b"And then?"))
    assert ranking.order[0] == 5
    uncached = fleet.term(ranking, "uncached-prefill")
    assert uncached[5] < 0.1 * uncached[0]
    assert 0.9 * len(LONG) / 4 < ranking.cached_tokens <= len(LONG) / 4
    assert fleet.term(fleet.rank(PREFIX, request=asking(LONG)), "prefix-cache", PREFIX)[5] < 0.07


def test_load_outweighs_a_prefix_hit():
    fleet = Fleet(4)
    teach(fleet, 2, LONG)
    fleet.set("waiting", 0, 0, 400, 0)
    fleet.set("running", 0, 0, 256, 0)
    assert fleet.rank(request=asking(LONG)).order[0] != 2


def test_another_models_cache_is_no_cache():
    fleet = Fleet(4)
    teach(fleet, 1, LONG, model="other")
    assert fleet.rank(request=asking(LONG)).cached_tokens == 0


def test_each_model_of_a_table_is_asked_for_its_own_prefixes():
    fleet = Fleet(2, tiers=2)
    teach(fleet, 1, LONG, model="m0")
    teach(fleet, 2, LONG, model="m1")
    cached = fleet.term(fleet.rank(PREFIX, request=asking(LONG)), "prefix-cache", PREFIX)
    assert cached[0] == cached[3] == 1.0
    assert cached[1] == cached[2] < 0.07


def test_a_request_for_an_adapter_goes_where_it_is_loaded_then_where_there_is_room():
    fleet = Fleet(3, adapter="sql-lora")
    rows = fleet.candidates.rows.tolist()
    slots = fleet.knowledge.adapters
    slots.scraped(rows[0], 2, ["a", "b"])
    slots.scraped(rows[1], 2, ["a", "sql-lora"])
    slots.scraped(rows[2], 2, ["a"])
    ranking = fleet.rank()
    assert ranking.order == [1, 2, 0]
    assert fleet.term(ranking, "lora-affinity") == [1.0, 0.0, 0.5]


def test_an_adapter_placed_a_moment_ago_counts_as_loaded_and_pushes_out_the_oldest():
    fleet = Fleet(2, adapter="new")
    row = int(fleet.candidates.rows[0])
    slots = fleet.knowledge.adapters
    slots.scraped(row, 2, ["busy"])
    slots.placed(row, "idle")
    slots.placed(row, "new")
    assert fleet.rank().order[0] == 0
    assert (slots.has(row, "idle"), slots.has(row, "busy")) == (False, True)


def test_a_session_stays_where_it_was_until_that_endpoint_is_gone():
    fleet = Fleet(3)
    row = int(fleet.candidates.rows[2])
    fleet.knowledge.sessions.placed(77, row, int(fleet.table.generation[row]))
    asked = RequestFeatures(session=77)
    assert fleet.rank(SESSION, request=asked).order[0] == 2
    fleet.table.generation[row] += 1
    assert fleet.term(fleet.rank(SESSION, request=asked), "session-affinity", SESSION) == [0, 0, 0]
    assert fleet.term(fleet.rank(SESSION), "session-affinity", SESSION) == [0, 0, 0]


def test_sessions_are_bounded():
    sessions = Fleet(1).knowledge.sessions
    sessions._max_sessions = 2
    for session in (1, 2, 3):
        sessions.placed(session, 0, 0)
    assert [sessions.row_of(session) for session in (1, 2, 3)] == [None, (0, 0), (0, 0)]


def test_an_adapter_that_waits_for_a_slot_pushes_out_none_that_runs():
    fleet = Fleet(1, adapter="new")
    row = int(fleet.candidates.rows[0])
    slots = fleet.knowledge.adapters
    slots.scraped(row, 4, ["a", "b", "c", "d"], ["e"])
    slots.placed(row, "new")
    assert [slots.has(row, name) for name in ("a", "b", "c", "d", "e", "new")] == [True] * 4 + [False] * 2


def test_an_engine_that_names_adapters_without_end_costs_little():
    slots = Fleet(1).knowledge.adapters
    for turn in range(5):
        slots.scraped(0, 10**11, [f"{turn}-{number}" for number in range(50_000)])
    assert len(slots._slots[0].recent) <= 256


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["scraped", "placed", "forget"]),
            st.integers(0, 150),
            st.sampled_from("abcdef"),
            st.integers(1, 3),
        ),
        max_size=80,
    )
)
def test_what_an_adapter_costs_by_column_is_what_each_endpoint_alone_would_say(events):
    slots = AdapterSlots()
    for what, row, name, limit in events:
        if what == "scraped":
            slots.scraped(row, limit, [name])
        elif what == "placed":
            slots.placed(row, name)
        else:
            slots.forget(row)
    rows = np.arange(200)
    for name in "abcdef":
        expected = []
        for row in rows.tolist():
            known = slots._slots.get(row)
            held = () if known is None else known.recent
            room = known is None or len(held) < (known.limit or 4)
            expected.append(0.0 if name in held else 0.5 if room else 1.0)
        assert slots.costs(name, rows).tolist() == expected
    assert len(slots.costs("a", rows[:0])) == 0
