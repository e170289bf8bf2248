"""In-flight counts: counted at once, released once, given up where an engine is idle, without drift."""

from effort import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pilotage_api.snapshot import Engine
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.inflight import IDLE_GRACE_SECONDS, Hold, InflightCounts
from pilotage_extproc.state.retirement import Retirement

FACTS = EndpointFacts(Engine.VLLM, ("default/a",))
ADDRESSES = [f"10.0.0.{index}:8000" for index in range(5)]


def one_endpoint() -> tuple[EndpointTable, InflightCounts, int]:
    """A table of one endpoint, its counts, and the row."""
    table = EndpointTable()
    table.sync({"a:1": FACTS})
    row = table.row_of("a:1")
    assert row is not None
    return table, InflightCounts(table), row


def test_a_request_counts_until_it_ends_and_ends_once():
    table, counts, row = one_endpoint()
    hold = counts.begin("d-1", row, 10.0, 5.0)
    assert (table.inflight[row], table.unseen[row], len(counts)) == (1, 1, 1)
    assert counts.end(hold)
    assert not counts.end(hold)
    assert (table.inflight[row], table.unseen[row], table.tokens[row], len(counts)) == (0, 0, 0, 0)


def test_a_scrape_sees_requests_that_began_before_it():
    table, counts, row = one_endpoint()
    before = counts.begin("before", row, 10.0)
    counts.begin("after", row, 12.0)
    table.scraped_at[row] = 11.0
    counts.scraped(row, 11.0, idle=False)
    assert (table.inflight[row], table.unseen[row]) == (2, 1)
    counts.end(before)
    assert (table.inflight[row], table.unseen[row]) == (1, 1)


def test_a_scrape_looks_at_newer_requests_only():
    _, counts, row = one_endpoint()
    for number in range(1000):
        counts.begin(f"old-{number}", row, 9.0)
    counts.begin("new", row, 12.0)

    class Counting(dict):
        """The holds of a row, which says how many were looked at."""

        looked_at = 0

        def __reversed__(self):
            for hold in super().__reversed__():
                self.looked_at += 1
                yield hold

    counts._by_row[row] = Counting(counts._by_row[row])
    counts.scraped(row, 11.0, idle=False)
    assert counts._by_row[row].looked_at == 4, "for those not seen yet, and those that may not be"


def test_what_has_ended_since_the_scrape_leaves_its_figure():
    table, counts, row = one_endpoint()
    holds = [counts.begin(f"seen-{number}", row, 10.0) for number in range(3)]
    # the engine had begun two of the three, and none for others
    table.measured(row, 11.0, 0, 2, 0.0)
    counts.scraped(row, 11.0, idle=False)
    left = []
    for hold in holds:
        counts.end(hold)
        left.append(table.running[row])
    assert left == [1, 0, 0]
    counts.end(counts.begin("after", row, 12.0))
    assert (table.running[row], table.unseen[row]) == (0, 0)


def test_requests_of_others_stay_in_the_scraped_figure():
    table, counts, row = one_endpoint()
    table.measured(row, 11.0, 0, 5, 0.0)
    counts.scraped(row, 11.0, idle=False)
    counts.end(counts.begin("own", row, 12.0))
    assert table.running[row] == 5


def test_an_idle_engine_gives_up_requests_whose_completion_was_never_seen():
    table, counts, row = one_endpoint()
    counts.begin("lost", row, 10.0)
    counts.begin("on its way", row, 21.0)
    for at, idle in ((19.0, True), (19.5, False), (20.0, True), (20.0 + IDLE_GRACE_SECONDS - 0.1, True)):
        assert counts.scraped(row, at, idle=idle) == [], "a page may lag: it must stay idle for some time"
    assert counts.scraped(row, 20.0 + IDLE_GRACE_SECONDS, idle=True) == ["lost"]
    assert (table.inflight[row], len(counts)) == (1, 1)


def test_requests_beyond_what_their_engine_reports_are_given_up_while_it_is_never_idle():
    table, counts, row = one_endpoint()
    for number in range(20):  # picks of a gateway that never tells how they end
        counts.begin(f"silent-{number}", row, 10.0 + number / 10)
    gone = []
    for tenth in range(80):
        at = 13.0 + tenth / 10
        table.measured(row, at, 1, 3, 0.0)
        gone += counts.scraped(row, at, idle=False)
    assert table.inflight[row] == 4
    assert (table.waiting[row], table.running[row]) == (1, 3), "the engine's own figures stay"
    assert gone == [f"silent-{number}" for number in range(16)]


def test_a_row_used_again_is_not_touched_by_requests_of_its_former_life():
    table, counts, row = one_endpoint()
    former = counts.begin("former", row, 10.0)
    table.sync({"b:1": FACTS})
    assert table.row_of("b:1") == row
    counts.begin("latter", row, 11.0)
    counts.end(former)
    assert (table.inflight[row], table.unseen[row]) == (1, 1)


class Drift(RuleBasedStateMachine):
    """Random events; the columns always equal a recount."""

    def __init__(self) -> None:
        super().__init__()
        self.table = EndpointTable()
        self.counts = InflightCounts(self.table)
        self.now = 100.0
        self.sequence = 0
        self.holds: dict[str, Hold] = {}
        self.open: dict[str, tuple[str, int, float]] = {}
        self.idle_since: dict[str, float] = {}
        self.scraped_running: dict[str, int] = {}
        self.retirements: dict[str, Retirement] = {}

    @rule(wanted=st.sets(st.sampled_from(ADDRESSES)))
    def endpoints_come_and_go(self, wanted):
        gone = set(self.table.rows()) - wanted
        self.table.sync(dict.fromkeys(sorted(wanted), FACTS))
        self.open = {key: value for key, value in self.open.items() if value[0] not in gone}
        self.idle_since = {key: value for key, value in self.idle_since.items() if key not in gone}
        self.scraped_running = {k: v for k, v in self.scraped_running.items() if k not in gone}
        self.retirements = {key: value for key, value in self.retirements.items() if key not in gone}
        # until those of a row's former life are over, its counts say nothing
        for hold in self.holds.values():
            if hold.counted and hold.generation != self.table.generation[hold.row]:
                self.counts.end(hold)

    @precondition(lambda self: len(self.table))
    @rule(choice=st.integers(0, 10), count=st.integers(1, 20))
    def requests_begin(self, choice, count):
        address = sorted(self.table.rows())[choice % len(self.table)]
        for _ in range(count):
            self.sequence += 1
            self.now += 0.01
            row = self.table.row_of(address)
            key = f"d-{self.sequence}"
            self.holds[key] = self.counts.begin(key, row, self.now)
            self.open[f"d-{self.sequence}"] = (address, row, self.now)

    @rule(choice=st.integers(0, 1000))
    def a_request_ends_or_an_unknown_one_is_reported(self, choice):
        hold = self.holds.get(f"d-{choice}")
        if hold is not None:
            self.counts.end(hold)
        self.open.pop(f"d-{choice}", None)

    @precondition(lambda self: len(self.table))
    @rule(choice=st.integers(0, 10), running=st.integers(0, 30))
    def an_engine_is_scraped(self, choice, running):
        address = sorted(self.table.rows())[choice % len(self.table)]
        row, idle = self.table.row_of(address), not running
        self.table.measured(row, self.now, 0, running, 0.0)
        self.scraped_running[address] = running
        self.counts.scraped(row, self.now, idle=idle)
        if not idle:
            self.idle_since.pop(address, None)
        elif self.now - self.idle_since.setdefault(address, self.now) >= IDLE_GRACE_SECONDS:
            limit = self.now - IDLE_GRACE_SECONDS
            self.open = {k: v for k, v in self.open.items() if v[0] != address or v[2] >= limit}
        own = [key for key, value in self.open.items() if value[0] == address]
        if len(own) <= running:
            self.retirements.pop(address, None)
            return
        watch = self.retirements.setdefault(address, Retirement())
        times = [self.open[key][2] for key in reversed(own)]
        for key in own[: watch.due(len(own), lambda: times, running, self.now)]:
            del self.open[key]

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def counts_are_a_recount(self):
        for address, row in self.table.rows().items():
            own = [began for where, _, began in self.open.values() if where == address]
            assert self.table.inflight[row] == len(own)
            unseen = [began for began in own if began > self.table.scraped_at[row]]
            assert self.table.unseen[row] == len(unseen)
            assert 0 <= self.table.running[row] <= self.scraped_running.get(address, 0)


Drift.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=60, deadline=None)
TestDrift = Drift.TestCase
