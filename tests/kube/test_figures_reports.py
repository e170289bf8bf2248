"""Figures of tenants' budgets in the API server: written where they are new, and gone with their picker."""

import asyncio
from contextlib import asynccontextmanager

import orjson
from accounts import token_with
from rights import EXTPROC_OWN

from pilotage_api.tenant_spending import PartyFigures
from pilotage_kube.client import ApiClient
from pilotage_kube.figures_report import FIGURES_LABEL, FiguresReport, TenantFigures, read_figures
from pilotage_kube.figures_reporter import FiguresReporter
from pilotage_kube.informer import Informer
from pilotage_kube.replica_watch import ReplicaWatch
from pilotage_kube.resource import LEASES
from pilotage_kube.testing import ControlPlane


def report(spent: int, at: float = 1.0) -> FiguresReport:
    one = TenantFigures("acme", PartyFigures("tenant", "day", "UTC", "", 0, spent, 0))
    return FiguresReport("pod-a", False, (one,), at=at)


class Says:
    """What a picker has to say, and how often it was asked."""

    def __init__(self) -> None:
        self.report: FiguresReport | None = None
        self.asked = 0

    async def __call__(self) -> FiguresReport | None:
        self.asked += 1
        return self.report

    async def twice(self) -> None:
        """Until it was asked twice more: what was said before is written."""
        wanted = self.asked + 2
        async with asyncio.timeout(10):
            while self.asked < wanted:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def reporting(plane: ControlPlane, client: ApiClient, namespace: str, says: Says):
    token = await token_with(client, namespace, "extproc", *EXTPROC_OWN)
    async with ApiClient(plane.connection(token=token)) as poor:
        reporter = FiguresReporter(poor, says, namespace=namespace, replica="pod-a", soonest_seconds=0.05)
        task = asyncio.create_task(reporter.run())
        yield reporter
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def found(client: ApiClient, namespace: str) -> tuple[str, int]:
    """Version of the Lease, and what was spent by it."""
    lease = await client.get(LEASES, "pilotage-extproc-pod-a-figures", namespace)
    [one] = read_figures(memoryview(orjson.dumps(lease))).budgets
    return lease["metadata"]["resourceVersion"], one.figures.spent


async def test_what_is_new_is_written_with_a_pickers_rights_and_what_is_not_is_left(
    control_plane, client, namespace
):
    says = Says()
    async with reporting(control_plane, client, namespace, says) as reporter:
        await says.twice()
        assert await client.list_all(LEASES, namespace) == []
        says.report = report(5)
        await says.twice()
        version, spent = await found(client, namespace)
        assert spent == 5
        says.report = report(5, at=2.0)  # read again
        await says.twice()
        assert await found(client, namespace) == (version, 5)
        says.report = report(7)
        await says.twice()
        assert (await found(client, namespace))[1] == 7
        await reporter.withdraw()
        assert await client.list_all(LEASES, namespace) == []


async def test_peers_do_not_see_them_and_the_operator_does(control_plane, client, namespace):
    says = Says()
    says.report = report(5)
    replicas = ReplicaWatch(client, lambda: None, namespace=namespace)
    label = f"{FIGURES_LABEL}=pilotage-extproc"
    figures = Informer(client, LEASES, read_figures, namespace=namespace, labels=label)
    tasks = [asyncio.create_task(one.run()) for one in (replicas, figures)]
    async with reporting(control_plane, client, namespace, says):
        async with asyncio.timeout(10):
            while not figures.store:
                await asyncio.sleep(0.02)
        assert [one.replica for one in figures.store.values()] == ["pod-a"]
        assert replicas.live() == ()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
