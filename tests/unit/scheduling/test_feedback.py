"""Outcomes correct what placing assumed: who holds the prompt, who fails, how large tokens are."""

import random
from dataclasses import replace

import pytest

from pilotage_api.snapshot import Engine, HealthSnapshot
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.features import NO_FEATURES, RequestFeatures
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.prompt_blocks import prompt_blocks, root_of
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.scheduling.feedback import Learner, Placed
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import Hold, InflightCounts
from pilotage_extproc.state.prefix_index import PrefixIndex

FACTS = EndpointFacts(Engine.VLLM, ("default/a",), HealthSnapshot(consecutive_failures=1))
ADDRESSES = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
PROMPT = prompt_blocks(b"Tell me a long story about a lighthouse. " * 100)
FEATURES = RequestFeatures(prompt=PROMPT, bytes_per_token=4.0)
NOW = 1000.0


class Taught:
    def __init__(self) -> None:
        self.table = EndpointTable()
        self.table.sync(dict.fromkeys(ADDRESSES, FACTS))
        self.knowledge = Knowledge(PrefixIndex(max_bytes=1 << 22), AdapterSlots(), Sessions())
        self.calibration = TokenCalibration()
        self.placed: dict[str, Placed] = {}
        self.learner = Learner(
            self.table,
            self.knowledge,
            InflightCounts(self.table),
            HealthLedger(self.table),
            self.calibration,
        )

    def row(self, index: int) -> int:
        found = self.table.row_of(ADDRESSES[index])
        assert found is not None
        return found

    def place(
        self, features: RequestFeatures = FEATURES, *, adapter: bool = False, decision: str = "d-1"
    ) -> None:
        targets = tuple(
            Target(self.row(index), address, "default/a", "m", adapter)
            for index, address in enumerate(ADDRESSES)
        )
        self.placed[decision] = self.learner.placed(decision, targets, features, cached_tokens=0.0, now=NOW)

    def settle(self, outcome: Outcome) -> None:
        self.learner.settled(self.placed[outcome.decision_id], outcome, NOW)

    def holders(self) -> list[int]:
        found = self.knowledge.prefixes.cached_bytes(PROMPT.of_model(root_of("m")), 64)
        if found is None:
            return []
        return [
            index for index in range(len(ADDRESSES)) if found[self.row(index)] > 0.9 * PROMPT.prompt_bytes
        ]

    def out(self) -> list[int]:
        return [index for index in range(len(ADDRESSES)) if self.table.ejected_until[self.row(index)]]


@pytest.fixture
def taught() -> Taught:
    return Taught()


def ended(served: int | None, status: int = 200, attempts: int = 1, **more: object) -> Outcome:
    address = None if served is None else ADDRESSES[served]
    return replace(Outcome("d-1", status, address, attempts, 1.0, 0.1), **more)


def test_a_placed_prompt_is_at_its_endpoint_at_once_and_its_tokens_count(taught):
    taught.place()
    assert taught.holders() == [0]
    assert taught.table.tokens[taught.row(0)] == pytest.approx(PROMPT.prompt_bytes / 4)
    taught.settle(ended(0))
    assert taught.holders() == [0]
    assert taught.table.tokens[taught.row(0)] == taught.table.inflight[taught.row(0)] == 0


def test_the_endpoint_that_in_fact_served_is_the_one_that_holds_the_prompt(taught):
    taught.place()
    taught.settle(ended(2, attempts=3))
    assert taught.holders() == [2]
    assert taught.out() == [0, 1], "those tried before it failed"


CANCELLED = ended(0, 0, response_flags=("downstream_connection_termination",))
FAILED = ended(0, 503)


@pytest.mark.parametrize("twin", [CANCELLED, FAILED], ids=["cancelled", "failed"])
@pytest.mark.parametrize("which_ends_badly", ["d-1", "d-2"])
@pytest.mark.parametrize("served_first", [True, False])
def test_a_prompt_that_was_served_is_held_whatever_becomes_of_its_twin(
    taught, twin, which_ends_badly, served_first
):
    taught.place(decision="d-1")
    taught.place(decision="d-2")
    other = "d-2" if which_ends_badly == "d-1" else "d-1"
    outcomes = [replace(ended(0), decision_id=other), replace(twin, decision_id=which_ends_badly)]
    for outcome in outcomes if served_first else reversed(outcomes):
        taught.settle(outcome)
    assert taught.holders() == [0]


def test_what_only_the_failed_request_brought_is_unlearned_and_what_others_share_with_it_stays(taught):
    text = b"Tell me a long story about a lighthouse. " * 100
    longer = RequestFeatures(prompt=prompt_blocks(text + b"And of the sea. " * 200), bytes_per_token=4.0)
    taught.place(longer, decision="d-1")
    taught.place(decision="d-2")
    taught.settle(FAILED)
    assert taught.holders() == [0]
    assert taught.knowledge.prefixes.block_count == len(PROMPT.hashes)


@pytest.mark.parametrize(
    ("outcome", "out"),
    [
        (ended(0, 500), [0]),
        (ended(0, 400), []),
        (ended(0, 200, response_flags=("upstream_connection_termination",)), [0]),
        (ended(0, 200, response_flags=("downstream_connection_termination",)), []),
        (ended(0, 200, stream_error=500), [0]),
        (ended(0, 200, stream_error=500, response_flags=("downstream_remote_reset",)), [0]),
        (ended(0, 200, stream_error=400), []),
        (ended(None, 503, attempts=3, response_flags=("upstream_connection_failure",)), [0, 1, 2]),
        (ended(None, 503, attempts=1, response_flags=("upstream_overflow",)), []),
        (ended(None, 503, attempts=1, response_flags=("no_healthy_upstream",)), []),
        (ended(1, 200, attempts=1), []),
        (ended(1, 503, attempts=2), []),
        (ended(1, 200, attempts=2), [0]),
    ],
    ids=[
        "server error",
        "client error",
        "died mid-stream",
        "client left",
        "error in the stream",
        "error in the stream, and the client left",
        "the stream says that the request was wrong",
        "nobody listened",
        "gateway full",
        "gateway knew no host",
        "first was passed over",
        "all failed alike: the request may be what is wrong",
        "the second could answer it",
    ],
)
def test_who_is_blamed_for_what(taught, outcome, out):
    taught.place()
    taught.settle(outcome)
    assert taught.out() == out


@pytest.mark.parametrize("outcome", [ended(0, 500), ended(0, 400), ended(None, 503)])
def test_a_prompt_that_was_not_computed_is_at_nobodys(taught, outcome):
    taught.place()
    taught.settle(outcome)
    assert taught.holders() == []


def test_token_sizes_are_learned_from_the_engines_count(taught):
    taught.place()
    tokens = PROMPT.prompt_bytes // 5
    taught.settle(ended(0, usage=TokenUsage(input_tokens=tokens)))
    assert taught.calibration.bytes_per_token("m") == pytest.approx(5.0, abs=0.1)


def test_an_endpoint_that_was_replaced_is_neither_blamed_nor_credited(taught):
    taught.place()
    taught.table.sync(dict.fromkeys(ADDRESSES[1:], FACTS))
    taught.table.sync(dict.fromkeys((*ADDRESSES[1:], "10.0.0.9:80"), FACTS))
    taught.settle(ended(0, 500))
    row = taught.table.row_of("10.0.0.9:80")
    assert taught.table.ejected_until[row] == 0
    assert taught.table.inflight[row] == 0


def test_adapters_and_sessions_are_remembered_where_they_were_placed(taught):
    taught.place(RequestFeatures(session=7), adapter=True)
    assert taught.knowledge.adapters.has(taught.row(0), "m")
    assert taught.knowledge.sessions.row_of(7) == (taught.row(0), 0)


def test_a_restarted_endpoint_holds_nothing(taught):
    taught.place()
    adapter = Target(taught.row(1), ADDRESSES[1], "p", "a", True)
    taught.learner.placed("d-2", (adapter,), NO_FEATURES, cached_tokens=0.0, now=NOW)
    for index in range(2):
        taught.learner.forget(taught.row(index))
    assert taught.holders() == []
    assert not taught.knowledge.adapters.has(taught.row(1), "a")


def test_counts_do_not_drift_in_a_million_random_events(taught):
    chance = random.Random(3)
    counts, table = taught.learner.inflight, taught.table
    open_: list[tuple[Hold, int, float]] = []
    now, sequence = NOW, 0
    for _ in range(1_000_000):
        now += 1e-4
        if chance.random() < 0.5 and len(open_) < 200:
            sequence += 1
            row, tokens = taught.row(sequence % 3), chance.random() * 1e4
            open_.append((counts.begin(str(sequence), row, now, tokens), row, tokens))
        elif open_:
            at = chance.randrange(len(open_))
            open_[at], open_[-1] = open_[-1], open_[at]
            counts.end(open_.pop()[0])
    for index in range(3):
        row = taught.row(index)
        mine = [tokens for _, where, tokens in open_ if where == row]
        assert table.inflight[row] == len(mine)
        assert table.tokens[row] == pytest.approx(sum(mine), abs=1e-3)
    for hold, _, _ in open_:
        counts.end(hold)
    assert not table.inflight.any()
    assert not table.tokens.any()
    assert not table.unseen.any()


def test_media_and_stored_context_teach_nothing_of_how_large_tokens_are(taught):
    mixed = prompt_blocks(b"Look at this picture of a lighthouse, and at that one. " * 100, all_text=False)
    taught.place(FEATURES._replace(prompt=mixed))
    taught.settle(ended(0, usage=TokenUsage(input_tokens=2 * mixed.prompt_bytes // 3)))
    assert taught.calibration.bytes_per_token("m") == 4.0
    assert taught.knowledge.prefixes.block_count, "what it holds is learned all the same"
