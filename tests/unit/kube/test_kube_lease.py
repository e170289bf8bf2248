"""One leader at a time, at any skew of clocks and any loss of messages; time is turned by hand."""

import asyncio
import contextlib

import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lease_register import Door, LeaseRegister

from pilotage_kube.clock import ManualTime, settle
from pilotage_kube.lease import LeaderElection, LeadershipLost, LeaseTiming
from pilotage_kube.lease_record import LeaseRecord, LeaseWatch

TIMING = LeaseTiming(duration_seconds=15, renew_deadline_seconds=10, retry_seconds=2)


class SkewedTime:
    """Another machine's clock: the same seconds, hours apart."""

    def __init__(self, base: ManualTime, skew_seconds: float) -> None:
        self._base = base
        self._skew = skew_seconds

    def __call__(self) -> float:
        return self._base() + self._skew

    async def sleep(self, seconds: float) -> None:
        await self._base.sleep(seconds)


class Contender:
    """One process that leads whenever it can, and notes whether it believes to."""

    def __init__(self, name: str, register: LeaseRegister, clock: ManualTime, skew: float = 0.0) -> None:
        self.door: Door = register.door()
        self.works = False
        self.terms = 0
        self.election = LeaderElection(
            self.door,
            namespace="default",
            name="operator",
            identity=name,
            timing=TIMING,
            clock=SkewedTime(clock, skew),
        )
        self.task = asyncio.create_task(self._compete())

    async def _compete(self) -> None:
        while True:
            with contextlib.suppress(LeadershipLost):
                await self.election.lead(self._work)

    async def _work(self) -> None:
        self.works = True
        self.terms += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def contenders():
    made: list[Contender] = []
    yield made
    for one in made:
        one.door.hangs, one.door.down = False, True
        await one.end()


async def start(contenders, names, register, clock, skews=None):
    for number, name in enumerate(names):
        contenders.append(Contender(name, register, clock, (skews or [0.0] * 9)[number]))
    await settle()
    return contenders


async def test_one_of_two_leads_and_keeps_leading(contenders):
    clock, register = ManualTime(), LeaseRegister()
    one, two = await start(contenders, ["one", "two"], register, clock)
    for _ in range(60):
        await clock.advance(1)
        assert [one.works, two.works].count(True) == 1
    assert {one.terms, two.terms} == {0, 1}


async def test_a_lease_given_back_is_taken_at_the_next_look(contenders):
    clock, register = ManualTime(), LeaseRegister()
    one, two = await start(contenders, ["one"], register, clock) + [Contender("two", register, clock)]
    contenders.append(two)
    await clock.advance(5)
    assert one.works
    await one.end()
    assert register.lease["spec"].get("holderIdentity") is None
    await clock.advance(2.5)
    assert two.works


async def test_a_holder_that_dies_is_followed_after_its_duration_and_not_before(contenders):
    clock, register = ManualTime(), LeaseRegister()
    one, two = await start(contenders, ["one"], register, clock) + [Contender("two", register, clock)]
    contenders.append(two)
    await clock.advance(6)
    one.door.hangs = True
    last_seen = clock()
    while not two.works:
        await clock.advance(0.25)
    # seen last at most one retry before it died, then the duration, then up to one retry
    assert TIMING.duration_seconds - 2.5 <= clock() - last_seen <= TIMING.duration_seconds + 5


async def test_a_holder_cut_off_stops_before_another_may_start(contenders):
    clock, register = ManualTime(), LeaseRegister()
    one, two = await start(contenders, ["one"], register, clock) + [Contender("two", register, clock)]
    contenders.append(two)
    await clock.advance(6)
    one.door.down = True
    stopped = started = None
    for _ in range(200):
        await clock.advance(0.25)
        assert not (one.works and two.works)
        stopped = stopped or (clock() if not one.works else None)
        started = started or (clock() if two.works else None)
    assert started - stopped >= TIMING.duration_seconds - TIMING.renew_deadline_seconds - 2.5


async def test_a_short_outage_costs_no_leadership(contenders):
    clock, register = ManualTime(), LeaseRegister()
    (one,) = await start(contenders, ["one"], register, clock)
    await clock.advance(4)
    one.door.down = True
    await clock.advance(7)
    one.door.down = False
    await clock.advance(30)
    assert one.works
    assert one.terms == 1


async def test_a_lost_answer_is_found_out(contenders):
    clock, register = ManualTime(), LeaseRegister()
    (one,) = await start(contenders, ["one"], register, clock)
    one.door.loses_answers = True
    await clock.advance(4)
    one.door.loses_answers = False
    await clock.advance(30)
    assert one.works
    assert one.terms == 1


async def test_a_frozen_process_learns_at_once_that_it_no_longer_leads():
    clock, register = ManualTime(), LeaseRegister()
    election = LeaderElection(
        register.door(), namespace="default", name="operator", identity="one", timing=TIMING, clock=clock
    )
    await election.acquire()
    assert election.leading
    assert election.leader == "one"
    clock.now += 10
    assert not election.leading


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_lease_taken_away_ends_the_work_at_the_next_renewal(contenders, deleted):
    clock, register = ManualTime(), LeaseRegister()
    (one,) = await start(contenders, ["one"], register, clock)
    await clock.advance(1)
    if deleted:
        register.lease = None
    else:
        register.write({**register.lease, "spec": {"holderIdentity": "thief", "leaseDurationSeconds": 15}})
    await clock.advance(2)
    assert one.terms == (2 if deleted else 1)
    assert one.works is deleted


async def test_work_that_ends_gives_the_lease_back_and_its_error_is_told():
    clock, register = ManualTime(), LeaseRegister()
    election = LeaderElection(
        register.door(), namespace="default", name="operator", identity="one", timing=TIMING, clock=clock
    )

    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await election.lead(fails)
    assert not election.leading
    assert register.writes == ["one", ""]


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    skews=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    faults=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["down", "hangs", "loses_answers"]), st.booleans()),
        max_size=25,
    ),
    steps=st.lists(st.sampled_from([0.5, 1.0, 3.0, 7.0, 12.0]), min_size=25, max_size=25),
)
async def test_never_two_at_once_whatever_fails_and_however_clocks_differ(skews, faults, steps):
    clock, register = ManualTime(), LeaseRegister()
    contenders: list[Contender] = []
    await start(contenders, ["one", "two", "three"], register, clock, skews)
    try:
        for number, step in enumerate(steps):
            if number < len(faults):
                who, fault, on = faults[number]
                setattr(contenders[who].door, fault, on)
            for _ in range(int(step / 0.5)):
                await clock.advance(0.5)
                assert [one.works for one in contenders].count(True) <= 1
        for one in contenders:
            one.door.down = one.door.hangs = one.door.loses_answers = False
        await clock.advance(40)
        assert [one.works for one in contenders].count(True) == 1
    finally:
        for one in contenders:
            one.door.down = True
            one.door.hangs = False
            await one.end()


def test_a_remote_timestamp_means_nothing():
    watch = LeaseWatch()
    for renewed in ("2199-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.000000Z", "nonsense"):
        watch.observe(LeaseRecord("other", 15, "", renewed), now=100)
        assert not watch.free(114)
    assert watch.free(115)
    # only a change counts as a renewal, whichever way it points
    watch.observe(LeaseRecord("other", 15, "", "1969-01-01T00:00:00.000000Z"), now=115)
    assert not watch.free(129)


@pytest.mark.parametrize(
    "lease", [{}, {"spec": None}, {"spec": {"leaseDurationSeconds": "15"}}, {"spec": []}]
)
def test_a_lease_that_says_nothing_is_free(lease):
    watch = LeaseWatch()
    assert not watch.free(1)
    watch.observe(LeaseRecord.of(lease), now=1)
    assert watch.free(1)


def test_timing_that_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="renew_deadline_seconds"):
        LeaseTiming(duration_seconds=10, renew_deadline_seconds=10)
