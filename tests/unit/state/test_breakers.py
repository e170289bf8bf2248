"""Circuit breakers: opened by failures in a row or by request, closed by a trickle."""

from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.state.breakers import LONGEST_SECONDS, MOST_TIMES, TRIAL_SECONDS, Breakers, Circuit

POOL, MODEL = Circuit("default/p"), Circuit("default/p", "m")
NOW = 1000.0


class Told(Breakers):
    def __init__(self) -> None:
        self.changes: list[tuple[Circuit, float | None]] = []
        super().__init__(lambda circuit, left: self.changes.append((circuit, left)))

    def fail(self, times: int, now: float = NOW, circuit: Circuit = MODEL) -> None:
        for _ in range(times):
            self.failed(circuit, now, most_failures=3, open_seconds=10)

    def blocks(self, now: float, circuit: Circuit = MODEL) -> bool:
        return circuit in self.blocked(now)


def test_failures_in_a_row_open_it_and_a_success_ends_the_row():
    breakers = Told()
    breakers.fail(2)
    breakers.succeeded(MODEL, NOW)
    breakers.fail(2)
    assert not breakers.blocks(NOW)
    breakers.fail(1)
    assert breakers.blocks(NOW + 9.9)
    assert not breakers.blocks(NOW, POOL), "each circuit is its own"
    assert breakers.changes == [(MODEL, 10)]


def test_after_its_time_one_request_a_second_is_let_in():
    breakers = Told()
    breakers.fail(3)
    at = NOW + 10
    assert not breakers.blocks(at)
    breakers.tried(MODEL, at)
    assert breakers.blocks(at + TRIAL_SECONDS - 0.01)
    assert not breakers.blocks(at + TRIAL_SECONDS)


def test_the_first_that_succeeds_closes_it():
    breakers = Told()
    breakers.fail(3)
    breakers.succeeded(MODEL, NOW + 10)
    assert not breakers.blocks(NOW + 10)
    assert (breakers.open_count, breakers.troubled) == (0, False)
    assert breakers.changes[-1] == (MODEL, None)


def test_a_request_that_began_before_it_opened_does_not_close_it():
    breakers = Told()
    breakers.fail(3)
    breakers.succeeded(MODEL, NOW - 1)
    assert breakers.blocks(NOW + 1)


def test_one_that_fails_again_opens_it_for_longer_up_to_a_bound():
    breakers, at = Told(), NOW
    breakers.fail(3)
    for times in range(2, MOST_TIMES + 3):
        at += 1000
        breakers.fail(1, at)
        assert breakers.changes[-1] == (MODEL, 10 * min(times, MOST_TIMES))


def test_requests_that_were_under_way_when_it_opened_tell_nothing_new():
    breakers = Told()
    breakers.fail(30)
    assert breakers.changes == [(MODEL, 10)]


def test_a_server_says_how_long_to_stay_away_within_reason():
    breakers = Told()
    breakers.stay_away(MODEL, 7, NOW)
    assert breakers.blocks(NOW + 6.9)
    assert not breakers.blocks(NOW + 7)
    breakers.stay_away(MODEL, 86_400, NOW)
    assert not breakers.blocks(NOW + LONGEST_SECONDS)


def test_what_another_process_has_found_out_is_followed_and_not_told_on():
    breakers = Told()
    breakers.told(MODEL, 5, NOW)
    assert breakers.blocks(NOW + 4.9)
    breakers.told(MODEL, None, NOW + 1)
    assert not breakers.blocks(NOW + 2)
    assert breakers.changes == []
    assert breakers.open_count == 0


def test_what_is_open_is_shown():
    breakers = Told()
    breakers.stay_away(POOL, 7, NOW)
    assert [(one.circuit, one.seconds_left) for one in breakers.open(NOW + 2)] == [(POOL, 5)]
    breakers.keep_only(())
    assert (breakers.open(NOW), breakers.open_count) == ([], 0)


happenings = st.lists(
    st.tuples(
        st.sampled_from(["fail", "succeed", "stay", "told", "untold", "try", "keep"]),
        st.sampled_from([POOL, MODEL]),
        st.floats(0, 30),
    ),
    max_size=40,
)


@given(happenings)
def test_whatever_happens_the_counts_are_true_and_every_breaker_lets_someone_in_again(found):
    breakers, now = Told(), NOW
    for what, circuit, after in found:
        now += after
        if what == "fail":
            breakers.fail(1, now, circuit)
        elif what == "succeed":
            breakers.succeeded(circuit, now)
        elif what == "stay":
            breakers.stay_away(circuit, after, now)
        elif what == "told":
            breakers.told(circuit, after, now)
        elif what == "untold":
            breakers.told(circuit, None, now)
        elif what == "try":
            breakers.tried(circuit, now)
        else:
            breakers.keep_only({circuit.pool})
        assert breakers.open_count == len(breakers.open(now))
        assert set(breakers.blocked(now)) <= {one.circuit for one in breakers.open(now)}
        assert not breakers.blocked(now + LONGEST_SECONDS + TRIAL_SECONDS)
