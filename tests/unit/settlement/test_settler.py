"""Every finished request is settled once, by the process that decided it."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.outcome import Outcome, Settled, TokenUsage
from pilotage_extproc.server.state import new_state
from pilotage_extproc.settlement.settler import Settler
from pilotage_extproc.settlement.wire import decode_outcomes, encode_outcomes
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.telemetry.metrics import Telemetry

OUTCOME = Outcome("me-1", 200, "10.0.0.1:8000", 1, 2.0, 0.5, usage=TokenUsage(10, 5, 4))


class RecordingPeers:
    def __init__(self, known: set[str]) -> None:
        self.known, self.delivered, self.propagated = known, [], []

    def deliver(self, owner: str, outcome: Outcome) -> bool:
        if owner in self.known:
            self.delivered.append((owner, outcome))
        return owner in self.known

    def propagate(self, outcome: Outcome) -> None:
        self.propagated.append(outcome)


class Bench:
    def __init__(self) -> None:
        self.open = {"me-1", "me-2"}
        self.learned: list[Outcome] = []
        self.peers = RecordingPeers({"other"})
        self.telemetry = Telemetry()
        self.settler = Settler(
            "me",
            settle=self.settle,
            learn=self.learned.append,
            peers=self.peers,
            telemetry=self.telemetry,
        )

    def settle(self, outcome: Outcome) -> Settled:
        known = outcome.decision_id in self.open
        self.open.discard(outcome.decision_id)
        return Settled(known, "first")


def test_an_own_entry_is_settled_and_counted() -> None:
    bench = Bench()
    bench.settler.log_entry(OUTCOME, "me")
    assert bench.open == {"me-2"}
    assert bench.telemetry.settlements.value("settled") == 1
    assert bench.telemetry.tokens.value("cached_input") == 4


def test_an_entry_seen_twice_is_settled_once() -> None:
    bench = Bench()
    bench.settler.log_entry(OUTCOME, "me")
    bench.settler.log_entry(OUTCOME, "me")
    assert bench.telemetry.settlements.value("settled") == 1
    assert bench.telemetry.settlements.value("duplicate") == 1
    assert bench.telemetry.tokens.value("input") == 10


def test_another_process_entry_goes_to_its_owner() -> None:
    bench = Bench()
    bench.settler.log_entry(replace(OUTCOME, decision_id="other-9"), "other")
    assert [owner for owner, _ in bench.peers.delivered] == ["other"]
    assert bench.open == {"me-1", "me-2"}


def test_an_entry_whose_owner_is_gone_is_counted() -> None:
    bench = Bench()
    bench.settler.log_entry(replace(OUTCOME, decision_id="gone-9"), "gone")
    assert bench.telemetry.settlements.value("unowned") == 1


def test_the_place_of_a_stored_response_is_told_to_all() -> None:
    bench = Bench()
    outcome = replace(OUTCOME, decision_id="other-9", response_id="resp_1")
    bench.settler.log_entry(outcome, "other")
    assert bench.learned == [outcome]
    assert bench.peers.propagated == [outcome]


@pytest.mark.parametrize(
    ("status", "flags", "result"),
    [
        (200, (), "ok"),
        (200, ("upstream_connection_termination",), "truncated"),
        (503, ("upstream_connection_failure",), "server_error"),
        (404, (), "client_error"),
        (0, (), "client_gone"),
        (200, ("downstream_connection_termination",), "client_gone"),
    ],
)
def test_status_and_flags_make_one_word(status: int, flags: tuple[str, ...], result: str) -> None:
    assert replace(OUTCOME, http_status=status, response_flags=flags).result == result


@pytest.mark.parametrize(
    ("stream_error", "flags", "result"),
    [
        (500, (), "server_error"),
        (529, ("downstream_remote_reset",), "server_error"),
        (400, (), "client_error"),
    ],
)
def test_an_error_event_in_a_stream_counts_as_the_status_it_stands_for(
    stream_error: int, flags: tuple[str, ...], result: str
) -> None:
    outcome = replace(OUTCOME, stream_error=stream_error, response_flags=flags)
    assert (outcome.result, outcome.status) == (result, stream_error)


def test_a_response_that_has_begun_can_be_found_and_settles_nothing() -> None:
    bench = Bench()
    bench.settler.response_began("resp_1", "10.0.0.1:8000")
    [learned] = bench.learned
    assert (learned.response_id, learned.upstream_address) == ("resp_1", "10.0.0.1:8000")
    assert bench.peers.propagated == [learned]
    assert bench.open == {"me-1", "me-2"}


outcomes = st.builds(
    Outcome,
    decision_id=st.text(max_size=20),
    http_status=st.integers(0, 599),
    upstream_address=st.none() | st.text(max_size=20),
    attempts=st.integers(0, 9),
    duration_seconds=st.none() | st.floats(0, 1e6),
    ttft_seconds=st.none() | st.floats(0, 1e6),
    response_flags=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    usage=st.builds(TokenUsage, *[st.none() | st.integers(0, 2**40)] * 5),
    response_id=st.none() | st.text(max_size=20),
    stream_error=st.none() | st.integers(400, 599),
    translation=st.lists(st.text(max_size=9), max_size=3).map(tuple),
)


@given(st.lists(outcomes, max_size=5))
def test_outcomes_survive_the_way_to_a_peer(batch: list[Outcome]) -> None:
    assert decode_outcomes(encode_outcomes(batch)) == batch


def test_peers_of_another_version_understand_each_other() -> None:
    [sent] = orjson.loads(encode_outcomes([OUTCOME]))
    assert sent["usage"] == {"input_tokens": 10, "output_tokens": 5, "cached_input_tokens": 4}
    assert "stream_error" not in sent
    newer = {**sent, "later": 1, "usage": {**sent["usage"], "later": 2}}
    assert decode_outcomes(orjson.dumps([newer])) == [OUTCOME]


@given(st.binary(max_size=200))
def test_garbage_from_a_peer_is_a_value_error(data: bytes) -> None:
    try:
        decode_outcomes(data)
    except ValueError:
        return


def test_a_conversation_that_begins_or_moves_is_told_to_peers_and_nobody_else() -> None:
    bench = Bench()
    bench.settler.conversation_placed(2**64 - 1, "strong")
    [told] = decode_outcomes(encode_outcomes(bench.peers.propagated))
    assert (told.conversation, told.upstream_model, told.decision_id) == (2**64 - 1, "strong", "")
    assert bench.learned == []
    table = EndpointTable()
    state = new_state(GatewaySettings(), table, HealthLedger(table))
    state.learn_from(told, now=5.0)
    assert state.conversations.model_of(2**64 - 1, 6.0) == "strong"
