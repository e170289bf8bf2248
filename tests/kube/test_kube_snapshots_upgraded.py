"""A store written by the version before, through a real API server: read, upgraded, and given back."""

import base64
import json
import zlib
from pathlib import Path

from snapshots import snapshot_of
from test_kube_snapshots import STORE, following, shards
from waiting import until

from pilotage_api.previous_snapshot import lowered
from pilotage_kube.client import ApiClient
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_kube.snapshot_publisher import SnapshotPublisher

FORMER = Path(__file__).parents[1] / "fixtures" / "version-before"
VERSION = json.loads((FORMER / "head.json").read_text())["current"]["version"]


async def write_former(client: ApiClient, namespace: str) -> None:
    """As an operator of the version before leaves it."""
    head = json.loads((FORMER / "head.json").read_text())
    [shard] = head["current"]["shards"]
    packed = base64.b64encode(zlib.compress((FORMER / "content.json").read_bytes(), 6)).decode()
    metadata = {"labels": {"pilotage.dev/snapshot-store": STORE}}
    await client.create(
        CONFIG_MAPS,
        CONFIG_MAPS.object(shard["name"], namespace, metadata=metadata, binaryData={"data": packed}),
        namespace,
    )
    data = {"head": json.dumps(head)}
    body = CONFIG_MAPS.object(STORE, namespace, metadata=metadata, data=data)
    await client.create(CONFIG_MAPS, body, namespace)


async def stored_head(client: ApiClient, namespace: str) -> dict:
    return json.loads((await client.get(CONFIG_MAPS, STORE, namespace))["data"]["head"])


async def test_what_the_version_before_published_is_followed(client, namespace):
    await write_former(client, namespace)
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        [snapshot] = followed.taken
        assert snapshot.version == VERSION
        assert [one.rules[0].name for one in snapshot.routes if one.policy == "default/auto"] == [
            "small-first",
            "small-first",
        ]


async def test_an_upgrade_goes_on_from_there_and_keeps_it_while_someone_reads_nothing_else(client, namespace):
    await write_former(client, namespace)
    publisher, snapshot = SnapshotPublisher(client, namespace=namespace), snapshot_of(3)
    older = lowered(snapshot)
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        await publisher.publish(snapshot, keep={VERSION}, older=older)
        await until(lambda: followed.reader.version == snapshot.version)
        head = await stored_head(client, namespace)
        assert (head["format"], head["current"]["version"]) == (1, older.snapshot.version)
        assert [one["version"] for one in head["retained"]] == [VERSION]
        assert len(await shards(client, namespace)) == 3
        # nobody is older any more
        await publisher.publish(snapshot)
        await publisher.publish(snapshot_of(4))
        await until(lambda: followed.reader.version == snapshot_of(4).version)
        assert len(await shards(client, namespace)) == 2
        assert followed.reader.problem is None


async def test_a_reader_whose_newest_is_damaged_starts_from_the_older_form(client, namespace):
    publisher, snapshot = SnapshotPublisher(client, namespace=namespace), snapshot_of(3)
    older = lowered(snapshot)
    await publisher.publish(snapshot, older=older)
    head = await stored_head(client, namespace)
    [newest] = head["newest"]["shards"]
    await client.delete(CONFIG_MAPS, newest["name"], namespace)
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        assert followed.reader.version == older.snapshot.version
        assert newest["name"] in followed.reader.problem
        await publisher.publish(snapshot, older=older)
        await until(lambda: followed.reader.version == snapshot.version, 20)


async def test_an_operator_of_the_version_before_takes_over_again(client, namespace):
    await SnapshotPublisher(client, namespace=namespace).publish(snapshot_of(3))
    async with following(client, namespace) as followed:
        await followed.reader.wait_ready()
        await client.delete(CONFIG_MAPS, STORE, namespace)
        await write_former(client, namespace)
        await until(lambda: followed.reader.version == VERSION)
        assert followed.reader.problem is None
