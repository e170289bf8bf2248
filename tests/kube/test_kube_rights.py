"""The least rights that each part needs, and that they suffice."""

import asyncio

import pytest
from accounts import token_with
from rights import EXTPROC_OWN, OPERATOR_NAMESPACE
from snapshots import snapshot_of
from waiting import until

from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import Forbidden
from pilotage_kube.lease import LeaderElection
from pilotage_kube.replica_reporter import ReplicaReporter
from pilotage_kube.replica_watch import ReplicaWatch
from pilotage_kube.resource import CONFIG_MAPS, SECRETS
from pilotage_kube.snapshot_publisher import SnapshotPublisher
from pilotage_kube.snapshot_reader import SnapshotReader


async def test_extproc_and_operator_work_with_the_least_rights(client, control_plane, namespace):
    extproc_token = await token_with(client, namespace, "extproc", *EXTPROC_OWN)
    operator_token = await token_with(client, namespace, "operator", *OPERATOR_NAMESPACE)
    taken: list[RoutingSnapshot] = []

    async def take(snapshot: RoutingSnapshot) -> None:
        taken.append(snapshot)

    async with (
        ApiClient(control_plane.connection(token=extproc_token)) as extproc,
        ApiClient(control_plane.connection(token=operator_token)) as operator,
    ):
        election = LeaderElection(operator, namespace=namespace, name="pilotage-operator", identity="one")
        await election.acquire()
        reader = SnapshotReader(extproc, take, namespace=namespace)
        reporter = ReplicaReporter(extproc, namespace=namespace, replica="pod-a")
        watch = ReplicaWatch(operator, lambda: None, namespace=namespace)
        tasks = [asyncio.create_task(part.run()) for part in (reader, reporter, watch)]
        publisher = SnapshotPublisher(operator, namespace=namespace)
        for count in (1, 2, 3):
            await publisher.publish(snapshot_of(count))
            await until(lambda wanted=count: taken and len(taken[-1].routes) == wanted)
        reporter.update(version=reader.version, ready=True)
        await until(lambda: [one.version for one in watch.live()] == [taken[-1].version])
        await reporter.withdraw()
        await until(lambda: watch.live() == ())
        await election.release()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for forbidden in (
            extproc.list_all(CONFIG_MAPS, namespace),
            extproc.list_all(SECRETS, namespace),
            extproc.create(CONFIG_MAPS, CONFIG_MAPS.object("mine"), namespace),
            operator.list_all(SECRETS, namespace),
            operator.list_all(CONFIG_MAPS, "kube-system"),
        ):
            with pytest.raises(Forbidden):
                await forbidden
