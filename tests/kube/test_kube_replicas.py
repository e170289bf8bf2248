"""Replicas report through a real API server, and an operator's view of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tcp_proxy import TcpProxy
from waiting import until

from pilotage_kube.client import ApiClient
from pilotage_kube.replica_report import REPORT_LABEL, Refusal
from pilotage_kube.replica_reporter import ReplicaReporter
from pilotage_kube.replica_watch import ReplicaWatch
from pilotage_kube.resource import LEASES


class View:
    """The operator's view, and how often it was told of news."""

    def __init__(self, client: ApiClient, namespace: str, gone_after_seconds: float = 15.0) -> None:
        self.told = 0
        self.watch = ReplicaWatch(
            client, self._changed, namespace=namespace, gone_after_seconds=gone_after_seconds
        )

    def _changed(self) -> None:
        self.told += 1

    def versions(self) -> dict[str, str]:
        return {report.replica: report.version for report in self.watch.live()}


@asynccontextmanager
async def running(*parts: ReplicaReporter | ReplicaWatch) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_operator_hears_which_version_each_replica_runs(client, namespace):
    view = View(client, namespace)
    reporters = [ReplicaReporter(client, namespace=namespace, replica=name) for name in ("pod-a", "pod-b")]
    async with running(view.watch, *reporters):
        await until(lambda: view.versions() == {"pod-a": "", "pod-b": ""})
        reporters[0].update(version="v1", ready=True)
        await until(lambda: view.versions() == {"pod-a": "v1", "pod-b": ""})
        refusal = Refusal("RoutePolicy team/a", "Unsupported", "a field of a later version")
        reporters[1].update(version="v1", ready=True, refusals=[refusal])
        await until(lambda: view.watch.live()[1].refusals == (refusal,))
        told = view.told
        # renewals are no news
        before = view.watch.live()[0].renewals
        await until(lambda: view.watch.live()[0].renewals > before, seconds=8)
        assert view.told == told
        await reporters[0].withdraw()


async def test_a_withdrawn_report_is_gone_at_once_and_a_dead_replica_after_a_while(client, namespace):
    view = View(client, namespace, gone_after_seconds=2)
    reporters = [ReplicaReporter(client, namespace=namespace, replica=name) for name in ("pod-a", "pod-b")]
    async with running(view.watch):
        async with running(*reporters):
            await until(lambda: len(view.versions()) == 2)
        await reporters[0].withdraw()
        await until(lambda: set(view.versions()) == {"pod-b"}, seconds=10)
        assert await until(lambda: view.versions() == {}, seconds=20) >= 1
        leases = await client.list_all(LEASES, namespace, labels=REPORT_LABEL)
        assert [one["spec"]["holderIdentity"] for one in leases] == ["pod-b"]


async def test_nobody_disappears_while_the_operator_cannot_hear(
    client, control_plane, namespace, proxy: TcpProxy
):
    async with ApiClient(control_plane.connection(server=proxy.server), timeout_seconds=2) as far:
        view = View(far, namespace, gone_after_seconds=2)
        reporter = ReplicaReporter(client, namespace=namespace, replica="pod-a")
        async with running(view.watch):
            async with running(reporter):
                await until(lambda: len(view.versions()) == 1)
                proxy.cut()
                await until(lambda: view.watch.informer.problem)
            await asyncio.sleep(4)
            assert len(view.versions()) == 1
            proxy.mend()
            await until(lambda: view.versions() == {}, seconds=10)


async def test_a_report_is_written_once_the_api_server_can_be_reached(
    client, control_plane, namespace, proxy: TcpProxy
):
    proxy.cut()
    view = View(client, namespace)
    async with ApiClient(control_plane.connection(server=proxy.server), timeout_seconds=2) as far:
        reporter = ReplicaReporter(far, namespace=namespace, replica="pod-a")
        reporter.update(version="v1", ready=True)
        async with running(view.watch, reporter):
            await asyncio.sleep(1)
            assert view.versions() == {}
            proxy.mend()
            await until(lambda: view.versions() == {"pod-a": "v1"})
