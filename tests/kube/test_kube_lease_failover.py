"""Leadership through a real API server."""

import asyncio
import contextlib
import time

import pytest
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_kube.client import ApiClient
from pilotage_kube.lease import LeaderElection, LeadershipLost, LeaseTiming, unique_identity
from pilotage_kube.resource import LEASES

TIMING = LeaseTiming(duration_seconds=3, renew_deadline_seconds=2, retry_seconds=0.3)


class Process:
    """Leads whenever it can."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        self.works = False
        self.lost = 0
        self.election = LeaderElection(
            client,
            namespace=namespace,
            name="operator",
            identity=unique_identity(name),
            timing=TIMING,
        )
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self.election.lead(self._work)
            except LeadershipLost:
                self.lost += 1

    async def _work(self) -> None:
        self.works = True
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def processes():
    made: list[Process] = []
    yield made
    for one in made:
        await one.end()


async def test_the_second_follows_at_once_when_the_first_ends_well(client, namespace, processes):
    one = Process(client, namespace, "one")
    processes.append(one)
    await until(lambda: one.works)
    two = Process(client, namespace, "two")
    processes.append(two)
    await asyncio.sleep(1)
    assert not two.works
    assert two.election.leader == one.election.identity
    await one.end()
    assert await until(lambda: two.works) < 1.5
    lease = await client.get(LEASES, "operator", namespace)
    assert lease["spec"]["holderIdentity"] == two.election.identity
    assert lease["spec"]["leaseTransitions"] == 1


async def test_the_second_follows_a_cut_off_first_and_never_beside_it(
    client, control_plane, namespace, proxy: TcpProxy, processes
):
    async with ApiClient(control_plane.connection(server=proxy.server), timeout_seconds=1) as far:
        one = Process(far, namespace, "one")
        processes.append(one)
        await until(lambda: one.works)
        two = Process(client, namespace, "two")
        processes.append(two)
        await asyncio.sleep(1)
        proxy.freeze()
        began = time.monotonic()
        while not two.works:
            assert not (one.works and two.works)
            assert time.monotonic() - began < 10
            await asyncio.sleep(0.02)
        assert not one.works
        assert one.lost == 1
        assert time.monotonic() - began >= TIMING.duration_seconds - TIMING.retry_seconds * 1.5
        proxy.mend()
        await asyncio.sleep(1)
        assert (one.works, two.works) == (False, True)
        await one.end()


async def test_many_started_at_once_give_one_leader(client, namespace, processes):
    processes += [Process(client, namespace, f"process-{number}") for number in range(6)]
    await until(lambda: any(one.works for one in processes))
    for _ in range(20):
        await asyncio.sleep(0.05)
        assert [one.works for one in processes].count(True) == 1


async def test_a_restarted_api_server_costs_no_leadership_if_it_is_back_in_time(start_control_plane):
    plane = start_control_plane()
    timing = LeaseTiming(duration_seconds=40, renew_deadline_seconds=30, retry_seconds=0.3)
    async with ApiClient(plane.connection(), timeout_seconds=2) as client:
        election = LeaderElection(client, namespace="default", name="operator", identity="one", timing=timing)
        await election.acquire()
        keeping = asyncio.create_task(election.keep())
        await asyncio.to_thread(plane.stop_apiserver, kill=True)
        await asyncio.to_thread(plane.start_apiserver)
        before = (await client.get(LEASES, "operator", "default"))["spec"]["renewTime"]

        async def renewed() -> None:
            while (await client.get(LEASES, "operator", "default"))["spec"]["renewTime"] == before:
                await asyncio.sleep(0.1)

        async with asyncio.timeout(10):
            await renewed()
        assert election.leading
        assert not keeping.done()
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
