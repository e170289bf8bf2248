"""In-flight counts: counted at once, settled once, healed, without drift."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pilotage_api.snapshot import Engine
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.inflight import IDLE_GRACE_SECONDS, InflightLedger

FACTS = EndpointFacts(Engine.VLLM, ("default/a",))
ADDRESSES = [f"10.0.0.{index}:8000" for index in range(5)]


def one_endpoint(ttl_seconds: float = 60) -> tuple[EndpointTable, InflightLedger, int]:
    """A table of one endpoint, its ledger, and the row."""
    table = EndpointTable()
    table.sync({"a:1": FACTS})
    row = table.row_of("a:1")
    assert row is not None
    return table, InflightLedger(table, ttl_seconds=ttl_seconds), row


def test_a_request_counts_until_it_is_settled_and_settles_once():
    table, ledger, row = one_endpoint()
    ledger.begin("d-1", row, 10.0)
    assert (table.inflight[row], table.unseen[row]) == (1, 1)
    assert ledger.settle("d-1") is not None
    assert ledger.settle("d-1") is None
    assert (table.inflight[row], table.unseen[row]) == (0, 0)


def test_a_scrape_sees_requests_that_began_before_it():
    table, ledger, row = one_endpoint()
    ledger.begin("before", row, 10.0)
    ledger.begin("after", row, 12.0)
    table.scraped_at[row] = 11.0
    ledger.scraped(row, 11.0, idle=False)
    assert (table.inflight[row], table.unseen[row]) == (2, 1)
    ledger.settle("before")
    assert (table.inflight[row], table.unseen[row]) == (1, 1)


def test_what_has_ended_since_the_scrape_leaves_its_figure():
    table, ledger, row = one_endpoint()
    for number in range(3):
        ledger.begin(f"seen-{number}", row, 10.0)
    # the engine had begun two of the three, and none for others
    table.measured(row, 11.0, 0, 2, 0.0)
    ledger.scraped(row, 11.0, idle=False)
    left = []
    for number in range(3):
        ledger.settle(f"seen-{number}")
        left.append(table.running[row])
    assert left == [1, 0, 0]
    ledger.begin("after", row, 12.0)
    ledger.settle("after")
    assert (table.running[row], table.unseen[row]) == (0, 0)


def test_requests_of_others_stay_in_the_scraped_figure():
    table, ledger, row = one_endpoint()
    table.measured(row, 11.0, 0, 5, 0.0)
    ledger.scraped(row, 11.0, idle=False)
    ledger.begin("own", row, 12.0)
    ledger.settle("own")
    assert table.running[row] == 5


def test_an_idle_engine_heals_requests_whose_completion_was_never_seen():
    table, ledger, row = one_endpoint(ttl_seconds=900)
    ledger.begin("lost", row, 10.0)
    ledger.begin("on its way", row, 21.0)
    for at, idle in ((19.0, True), (19.5, False), (20.0, True), (20.0 + IDLE_GRACE_SECONDS - 0.1, True)):
        ledger.scraped(row, at, idle=idle)
        assert ledger.healed == 0, "a page may lag: it must stay idle for some time"
    ledger.scraped(row, 20.0 + IDLE_GRACE_SECONDS, idle=True)
    assert (table.inflight[row], ledger.healed, len(ledger)) == (1, 1, 1)


def test_a_request_that_was_given_up_and_ends_all_the_same_is_known_once():
    table, ledger, row = one_endpoint()
    ledger.begin("slow", row, 10.0, 5.0, note="what it was")
    ledger.expire(100.0)
    assert table.inflight[row] == table.tokens[row] == 0
    entry = ledger.settle("slow")
    assert entry is not None
    assert entry.note == "what it was"
    assert ledger.settle("slow") is None
    assert table.inflight[row] == table.tokens[row] == 0


def test_time_heals_the_rest():
    table, ledger, row = one_endpoint()
    ledger.begin("old", row, 10.0)
    ledger.begin("new", row, 50.0)
    ledger.expire(71.0)
    assert (table.inflight[row], ledger.healed) == (1, 1)


def test_a_row_used_again_is_not_touched_by_requests_of_its_former_life():
    table, ledger, row = one_endpoint()
    ledger.begin("former", row, 10.0)
    table.sync({"b:1": FACTS})
    assert table.row_of("b:1") == row
    ledger.begin("latter", row, 11.0)
    ledger.settle("former")
    assert (table.inflight[row], table.unseen[row]) == (1, 1)


class Drift(RuleBasedStateMachine):
    """Random events; the columns always equal a recount."""

    def __init__(self) -> None:
        super().__init__()
        self.table = EndpointTable()
        self.ledger = InflightLedger(self.table, ttl_seconds=50)
        self.now = 100.0
        self.sequence = 0
        self.open: dict[str, tuple[str, int, float]] = {}
        self.idle_since: dict[str, float] = {}
        self.scraped_running: dict[str, int] = {}

    @rule(wanted=st.sets(st.sampled_from(ADDRESSES)))
    def endpoints_come_and_go(self, wanted):
        gone = set(self.table.rows()) - wanted
        self.table.sync(dict.fromkeys(sorted(wanted), FACTS))
        self.open = {key: value for key, value in self.open.items() if value[0] not in gone}
        self.idle_since = {key: value for key, value in self.idle_since.items() if key not in gone}
        self.scraped_running = {k: v for k, v in self.scraped_running.items() if k not in gone}

    @precondition(lambda self: len(self.table))
    @rule(choice=st.integers(0, 10), count=st.integers(1, 20))
    def requests_begin(self, choice, count):
        address = sorted(self.table.rows())[choice % len(self.table)]
        for _ in range(count):
            self.sequence += 1
            self.now += 0.01
            row = self.table.row_of(address)
            self.ledger.begin(f"d-{self.sequence}", row, self.now)
            self.open[f"d-{self.sequence}"] = (address, row, self.now)

    @rule(choice=st.integers(0, 1000))
    def a_request_ends_or_an_unknown_one_is_reported(self, choice):
        self.ledger.settle(f"d-{choice}")
        self.open.pop(f"d-{choice}", None)

    @precondition(lambda self: len(self.table))
    @rule(choice=st.integers(0, 10), running=st.integers(0, 30))
    def an_engine_is_scraped(self, choice, running):
        address = sorted(self.table.rows())[choice % len(self.table)]
        row, idle = self.table.row_of(address), not running
        self.table.measured(row, self.now, 0, running, 0.0)
        self.scraped_running[address] = running
        self.ledger.scraped(row, self.now, idle=idle)
        if not idle:
            self.idle_since.pop(address, None)
        elif self.now - self.idle_since.setdefault(address, self.now) >= IDLE_GRACE_SECONDS:
            limit = self.now - IDLE_GRACE_SECONDS
            self.open = {k: v for k, v in self.open.items() if v[0] != address or v[2] >= limit}

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds):
        self.now += seconds
        self.ledger.expire(self.now)
        self.open = {k: v for k, v in self.open.items() if v[2] > self.now - 50}

    @invariant()
    def counts_are_a_recount(self):
        for address, row in self.table.rows().items():
            own = [began for where, _, began in self.open.values() if where == address]
            assert self.table.inflight[row] == len(own)
            unseen = [began for began in own if began > self.table.scraped_at[row]]
            assert self.table.unseen[row] == len(unseen)
            assert 0 <= self.table.running[row] <= self.scraped_running.get(address, 0)


Drift.TestCase.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
TestDrift = Drift.TestCase
