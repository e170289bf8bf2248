"""A request's stages begin in order and finish in reverse, once, whatever happens on the way."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.run import run
from pilotage_extproc.request.stage import OnError, Step

HEAD = RequestHead("POST", "/v1/chat/completions", {})
PASSES, WAITS, REFUSES, RAISES, ANSWERS, HANGS = "passes", "waits", "refuses", "raises", "answers", "hangs"


class Acting(Step):
    """A stage that does as it is told, and writes down what is done with it."""

    settles = True

    def __init__(self, number: int, acts: str, optional: bool, finishes: bool, journal: list) -> None:
        self.name = f"stage-{number}"
        self.on_error = OnError.SKIP if optional else OnError.REFUSE
        self._acts, self._finishes, self._journal = acts, finishes, journal

    def apply(self, exchange):
        self._journal.append(("apply", self.name))
        if self._acts in (WAITS, HANGS):
            return self._wait()
        return self._act(self._acts)

    async def _wait(self):
        await (asyncio.Event().wait() if self._acts == HANGS else asyncio.sleep(0))

    @staticmethod
    def _act(acts: str):
        if acts == REFUSES:
            raise RequestRefused(Refusal.SATURATED, "no")
        if acts == RAISES:
            raise ValueError("a bug")
        return DirectAnswer(b"{}") if acts == ANSWERS else None

    def finish(self, exchange, outcome):
        self._journal.append(("finish", self.name))
        if not self._finishes:
            raise ValueError("a bug on the way out")

    def amend(self, exchange, outcome):
        self._journal.append(("amend", self.name))


stage_options = st.tuples(
    st.sampled_from([PASSES, WAITS, REFUSES, RAISES, ANSWERS, HANGS]), st.booleans(), st.booleans()
)


@given(options=st.lists(stage_options, max_size=8), late=st.booleans())
def test_each_stage_that_began_finishes_once_in_reverse_order(options, late):
    journal: list[tuple[str, str]] = []
    stages = [Acting(number, *option, journal) for number, option in enumerate(options)]
    exchange = Exchange(HEAD)

    async def served() -> str:
        task = asyncio.ensure_future(run(stages, exchange))
        for _ in range(2 * len(stages) + 2):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
        try:
            answer = await task
        except RequestRefused:
            return REFUSES
        except ValueError:
            return RAISES
        except asyncio.CancelledError:
            return HANGS
        return PASSES if answer is None else ANSWERS

    ended = asyncio.run(served())
    began = [name for what, name in journal if what == "apply"]
    assert began == [stage.name for stage in stages[: len(began)]]
    stops = [
        (number, acts)
        for number, (acts, optional, _) in enumerate(options)
        if acts in (REFUSES, ANSWERS, HANGS) or (acts == RAISES and not optional)
    ]
    assert ended == (stops[0][1] if stops else PASSES)
    assert len(began) == (stops[0][0] + 1 if stops else len(stages))
    skipped = [name for name, (acts, optional, _) in zip(began, options, strict=False) if acts == RAISES]
    if ended != RAISES:
        assert [text.partition(":")[0] for text in exchange.skipped] == skipped

    outcomes = [Outcome.unknown("d-1"), Outcome.answered(200)]
    for outcome in outcomes:
        exchange.finish(outcome)
    assert exchange.outcome is outcomes[0], "it ends once"
    if late:
        exchange.amend(outcomes[1])
        assert exchange.outcome is outcomes[1]
    assert [name for what, name in journal if what == "finish"] == began[::-1]
    assert [name for what, name in journal if what == "amend"] == (began[::-1] if late else [])


async def test_stages_that_do_not_wait_are_run_without_giving_the_loop_away():
    journal: list[tuple[str, str]] = []
    stages = [Acting(number, PASSES, False, True, journal) for number in range(5)]
    coroutine = run(stages, Exchange(HEAD))
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value is None
    assert len(journal) == 5


def test_stages_with_nothing_to_settle_are_not_remembered():
    class Plain(Step):
        name = "plain"

        def apply(self, exchange):
            return None

    exchange = Exchange(HEAD)
    asyncio.run(run([Plain()], exchange))
    assert exchange._begun == ()


def test_what_a_stage_keeps_is_its_own():
    first, second = Note[int]("a"), Note[int]("a")
    exchange = Exchange(HEAD)
    assert exchange.kept(first) is None
    exchange.keep(first, 1)
    assert (exchange.kept(first), exchange.kept(second)) == (1, None)


def test_a_request_that_has_not_been_routed_has_no_route():
    with pytest.raises(LookupError):
        _ = Exchange(HEAD).route
    with pytest.raises(LookupError):
        _ = Exchange(HEAD).ranking
