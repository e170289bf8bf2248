"""Whose statuses nobody else keeps, by a clock that the test turns; no API server can be reached here."""

import json
from collections.abc import AsyncIterator

import pytest
from operator_cases import pool, stored

from pilotage_kube.client import ApiClient
from pilotage_kube.clock import ManualTime
from pilotage_kube.connection import from_kubeconfig
from pilotage_operator.resource_revision import Stored
from pilotage_operator.writer_view import WriterView

OURS, ELSEWHERE = "default/pilotage-snapshot", "another/pilotage-snapshot"


class Case:
    """A view by a clock, and when this process wrote which status."""

    def __init__(self, client: ApiClient) -> None:
        self.clock = ManualTime()
        self.written: dict[str, float] = {}
        self.view = WriterView(
            client, gateway=OURS, written_at=lambda one: self.written.get(one.form.name), clock=self.clock
        )

    async def silent(self, *resources: Stored) -> tuple[set[str], float | None]:
        found, again = await self.view.look({one.key: one for one in resources})
        return {key.name for key in found}, again


@pytest.fixture
async def case(tmp_path) -> AsyncIterator[Case]:
    nowhere = {"contexts": [{"name": "c", "context": {"cluster": "c"}}], "current-context": "c"}
    clusters = [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}]
    (tmp_path / "config").write_text(json.dumps({**nowhere, "clusters": clusters}))
    async with ApiClient(from_kubeconfig([tmp_path / "config"]), timeout_seconds=1.0) as client:
        yield Case(client)


def says(
    writer: str, name: str = "small", *, generation: int = 1, observed: int = 1, uid: str = ""
) -> Stored:
    return stored(
        pool(name, generation=generation, uid=uid), {"gateway": writer, "observedGeneration": observed}
    )


async def test_a_generation_that_its_writer_does_not_observe_for_a_minute_is_left(case):
    current, edited = says(ELSEWHERE, "current"), says(ELSEWHERE, "edited", generation=2)
    assert await case.silent(current, edited) == (set(), 60.0)
    case.clock.now += 59
    # further edits do not begin the minute anew
    later = says(ELSEWHERE, "edited", generation=3)
    assert await case.silent(current, later) == (set(), 1.0)
    case.clock.now += 1
    assert await case.silent(current, later) == ({"edited"}, None)
    assert case.view.reads == 0


async def test_the_minute_begins_anew_with_what_the_writer_observes_and_with_another_life(case):
    await case.silent(says(ELSEWHERE, generation=2))
    case.clock.now += 50
    assert await case.silent(says(ELSEWHERE, generation=3, observed=2)) == (set(), 60.0)
    case.clock.now += 50
    namesake = says(ELSEWHERE, generation=3, observed=2, uid="another")
    assert await case.silent(namesake) == (set(), 60.0)
    case.clock.now += 50
    assert await case.silent(says(ELSEWHERE, generation=3, observed=3, uid="another")) == (set(), None)
    case.clock.now += 50
    assert await case.silent(namesake) == (set(), 60.0)


async def test_our_own_statuses_and_those_that_nobody_wrote_concern_nobody(case):
    case.clock.now += 100
    unwritten = stored(pool("new"))
    for _ in range(2):
        assert await case.silent(says(OURS, generation=2), unwritten) == (set(), None)
        case.clock.now += 100


async def test_a_status_is_taken_over_once_a_minute_at_most(case):
    """A writer that lives after all takes it back; it must not become a fight."""
    impossible = says("no gateway")
    assert await case.silent(impossible) == ({"small"}, None)
    case.written["small"] = case.clock.now
    assert await case.silent(impossible) == (set(), 60.0)
    case.clock.now += 60
    assert await case.silent(impossible) == ({"small"}, None)


@pytest.mark.parametrize(
    "writer", ["no gateway", "default/", "default/../secrets", "/x", "default/a?b", "x" * 500]
)
async def test_what_is_no_name_of_a_gateway_is_never_asked_for(case, writer):
    assert await case.silent(says(writer)) == ({"small"}, None)
    assert case.view.reads == 0


async def test_who_cannot_be_asked_for_counts_as_there_and_is_asked_for_rarely_and_few_at_once(case):
    many = [says(f"default/gateway-{number}", f"pool-{number}") for number in range(40)]
    for _ in range(3):
        assert await case.silent(*many) == (set(), None)
    assert case.view.reads == 16
    case.clock.now += 30
    assert await case.silent(*many) == (set(), None)
    assert case.view.reads == 32
