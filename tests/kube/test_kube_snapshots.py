"""Publishing and following snapshots through a real API server."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from snapshots import snapshot_of
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import Conflict, NotFound
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_kube.snapshot_publisher import STORE_LABEL, SnapshotPublisher
from pilotage_kube.snapshot_reader import SnapshotReader

STORE = "pilotage-snapshot"


class Followed:
    """A reader and what it brought into force."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.taken: list[RoutingSnapshot] = []
        self.refuses = ""
        self.reader = SnapshotReader(client, self._take, namespace=namespace)

    async def _take(self, snapshot: RoutingSnapshot) -> None:
        if snapshot.version == self.refuses:
            raise ValueError("not this one")
        self.taken.append(snapshot)


@asynccontextmanager
async def following(client: ApiClient, namespace: str) -> AsyncIterator[Followed]:
    followed = Followed(client, namespace)
    task = asyncio.create_task(followed.reader.run())
    try:
        yield followed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def shards(client: ApiClient, namespace: str) -> set[str]:
    metas = await client.list_metadata(CONFIG_MAPS, namespace, labels=f"{STORE_LABEL}={STORE}")
    return {meta.name for meta in metas} - {STORE}


async def test_what_is_published_is_what_readers_follow(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    async with following(client, namespace) as followed:
        await until(lambda: followed.reader.problem)
        assert "is the operator running?" in followed.reader.problem
        for count in (1, 3):
            snapshot = snapshot_of(count)
            await publisher.publish(snapshot)
            await until(lambda wanted=snapshot: followed.taken[-1:] == [wanted])
        assert followed.reader.problem is None
        assert followed.reader.version == followed.reader.published == snapshot.version
        assert [len(one.routes) for one in followed.taken] == [1, 3]


async def test_a_large_snapshot_comes_in_shards(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    snapshot = snapshot_of(4000, noise=400)
    manifest = await publisher.publish(snapshot)
    assert len(manifest.shards) >= 2
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        assert followed.taken == [snapshot]


async def test_an_edit_costs_few_writes_and_old_shards_go(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    versions = []
    for count in range(1, 6):
        before = publisher.writes
        versions.append((await publisher.publish(snapshot_of(count))).version)
        # the shard, the head, at most one old shard; the first time also the empty head
        assert publisher.writes - before <= 3
    before = publisher.writes
    await publisher.publish(snapshot_of(5))
    assert publisher.writes == before
    head = await publisher.published()
    assert head.current.version == versions[-1]
    assert [one.version for one in head.retained] == [versions[-2]]
    assert len(await shards(client, namespace)) == 2


async def test_versions_that_replicas_still_run_are_kept(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    good = await publisher.publish(snapshot_of(1))
    for count in (2, 3, 4):
        await publisher.publish(snapshot_of(count), keep={good.version})
    head = await publisher.published()
    assert [one.version for one in head.retained] == [snapshot_of(3).version, good.version]
    assert {ref.name for ref in good.shards} <= await shards(client, namespace)


async def test_a_damaged_shard_leaves_the_last_good_in_force(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    first, second, third = snapshot_of(1), snapshot_of(2), snapshot_of(3)
    await publisher.publish(first)
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        # put a wrong shard where the second's will be looked for, before it is published
        manifest = await publisher.publish(second)
        await until(lambda: followed.reader.version == second.version)
        name = manifest.shards[0].name
        await client.delete(CONFIG_MAPS, name, namespace)
        wrong = {"data": base64.b64encode(b"nonsense").decode()}
        body = CONFIG_MAPS.object(name, metadata={"labels": {STORE_LABEL: STORE}}, binaryData=wrong)
        await client.create(CONFIG_MAPS, body, namespace)
        async with following(client, namespace) as late:
            # one that starts now cannot use the current one, and starts from the one before
            await late.reader.wait_ready()
            assert late.reader.version == first.version
            assert "digest differs" in late.reader.problem
            await publisher.publish(third)
            await until(lambda: late.reader.version == third.version)
            assert late.reader.problem is None
        await until(lambda: followed.reader.version == third.version)


async def test_a_missing_shard_is_waited_for_and_publishing_again_repairs_it(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    manifest = await publisher.publish(snapshot_of(2))
    await client.delete(CONFIG_MAPS, manifest.shards[0].name, namespace)
    async with following(client, namespace) as followed:
        await until(lambda: followed.reader.problem)
        assert "not found" in followed.reader.problem
        await publisher.publish(snapshot_of(2))
        await followed.reader.wait_ready()
        await until(lambda: followed.reader.problem is None)


async def test_a_snapshot_that_is_refused_leaves_the_last_good_in_force(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    first, second = snapshot_of(1), snapshot_of(2)
    await publisher.publish(first)
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        followed.refuses = second.version
        await publisher.publish(second)
        await until(lambda: followed.reader.published == second.version and followed.reader.problem)
        assert followed.reader.version == first.version
        assert "not this one" in followed.reader.problem


@pytest.mark.parametrize("text", ["", "{", '{"format": 99}', '{"current": {"version": 1}}'])
async def test_a_spoilt_head_leaves_the_last_good_in_force_and_is_overwritten(client, namespace, text):
    publisher = SnapshotPublisher(client, namespace=namespace)
    await publisher.publish(snapshot_of(1))
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        await client.merge(CONFIG_MAPS, STORE, {"data": {"head": text}}, namespace)
        await until(lambda: followed.reader.problem)
        assert followed.reader.version == snapshot_of(1).version
        await publisher.publish(snapshot_of(2))
        await until(lambda: followed.reader.version == snapshot_of(2).version)


async def test_a_deleted_store_leaves_the_last_good_in_force_and_is_made_anew(client, namespace):
    publisher = SnapshotPublisher(client, namespace=namespace)
    await publisher.publish(snapshot_of(1))
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        for name in {STORE} | await shards(client, namespace):
            await client.delete(CONFIG_MAPS, name, namespace)
        await until(lambda: followed.reader.problem)
        assert followed.reader.version == snapshot_of(1).version
        with pytest.raises(NotFound):
            await publisher.published()
        await publisher.publish(snapshot_of(1))
        await until(lambda: followed.reader.problem is None)
        assert len(followed.taken) == 1


async def test_shards_belong_to_the_head_and_the_head_to_its_owner(client, namespace):
    made = await client.create(CONFIG_MAPS, CONFIG_MAPS.object("owner"), namespace)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": made["metadata"]["uid"]}
    manifest = await SnapshotPublisher(client, namespace=namespace, owner=owner).publish(snapshot_of(1))
    head = await client.get(CONFIG_MAPS, STORE, namespace)
    assert head["metadata"]["ownerReferences"] == [owner]
    shard = await client.get(CONFIG_MAPS, manifest.shards[0].name, namespace)
    assert shard["metadata"]["ownerReferences"][0]["uid"] == head["metadata"]["uid"]
    assert shard["immutable"] is True


async def test_two_publishers_at_once_lose_nothing(client, namespace):
    publishers = [SnapshotPublisher(client, namespace=namespace) for _ in range(2)]
    for round_ in range(5):
        wanted = [snapshot_of(10 + 2 * round_ + number) for number in range(2)]
        results = await asyncio.gather(
            *(one.publish(snapshot) for one, snapshot in zip(publishers, wanted, strict=True)),
            return_exceptions=True,
        )
        assert all(
            not isinstance(result, BaseException) or isinstance(result, Conflict) for result in results
        )
        head = await publishers[0].published()
        assert head.current.version in {one.version for one in wanted}
        assert {ref.name for ref in head.current.shards} <= await shards(client, namespace)


async def test_traffic_goes_on_while_the_api_server_cannot_be_reached(
    client, control_plane, namespace, proxy: TcpProxy
):
    publisher = SnapshotPublisher(client, namespace=namespace)
    await publisher.publish(snapshot_of(1))
    async with (
        ApiClient(control_plane.connection(server=proxy.server), timeout_seconds=2) as far,
        following(far, namespace) as followed,
    ):
        await followed.reader.wait_ready()
        proxy.cut()
        await publisher.publish(snapshot_of(2))
        await until(lambda: followed.reader.informer.problem)
        assert followed.reader.version == snapshot_of(1).version
        proxy.mend()
        await until(lambda: followed.reader.version == snapshot_of(2).version)
