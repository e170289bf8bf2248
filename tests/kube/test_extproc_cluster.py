"""A picker follows what an operator publishes, says what it runs, and connects to its peers."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from accounts import token_with
from extproc_rig import PICKER_NAME, Pods, gateway_at, head, picker_in, pool_of, snapshot_with
from rights import EXTPROC_OWN, EXTPROC_WATCHED
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.server.tls import self_signed
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import Forbidden
from pilotage_kube.replica_report import PoolCount
from pilotage_kube.replica_watch import ReplicaWatch
from pilotage_kube.resource import CONFIG_MAPS, LEASES, NAMESPACES, PODS, SECRETS
from pilotage_kube.snapshot_publisher import SnapshotPublisher


async def test_it_starts_from_the_published_snapshot_with_no_operator_there(client, control_plane, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    snapshot = snapshot_with(pool_of(namespace))
    await SnapshotPublisher(client, namespace=namespace).publish(snapshot)
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.ready()
        assert cluster.runtime.following.snapshot.version == snapshot.version
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")


async def test_it_is_not_ready_and_tells_envoy_of_no_endpoints_before_it_has_seen_its_pods(
    client, control_plane, namespace, proxy: TcpProxy
):
    await Pods(client, namespace).add("one", "10.0.0.1")
    await SnapshotPublisher(client, namespace=namespace).publish(snapshot_with(pool_of(namespace)))
    proxy.cut()
    async with picker_in(control_plane.connection(server=proxy.server), client, namespace) as cluster:
        server = cluster.picker.server
        await asyncio.sleep(0.5)
        assert not server.view.ready()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{server.admin_address}/readyz") as answer,
        ):
            assert answer.status == 503
        assert not cluster.runtime.xds.synced
        proxy.mend()
        await cluster.ready()
        assert cluster.runtime.xds.synced
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")


async def test_a_namespace_whose_pods_may_not_be_seen_is_reported_and_holds_up_nothing(
    client, control_plane, namespace
):
    token = await token_with(client, namespace, "extproc", *EXTPROC_OWN, *EXTPROC_WATCHED)
    other = f"{namespace}-other"
    await client.create(NAMESPACES, NAMESPACES.object(other))
    await Pods(client, namespace).add("one", "10.0.0.1")
    pools = (pool_of(namespace), pool_of(other, "secret"))
    async with picker_in(control_plane.connection(token=token), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(*pools))
        await cluster.ready()
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        await until(lambda: cluster.follower.reporter.report.refusals)
        [refusal] = cluster.follower.reporter.report.refusals
        assert (refusal.resource, refusal.reason) == (f"ModelPool {other}/secret", "PodsNotSeen")
        assert "forbidden" in refusal.message


async def test_the_operator_hears_the_version_and_how_many_servers_may_be_used(
    client, control_plane, namespace
):
    pods = Pods(client, namespace)
    await pods.add("one", "10.0.0.1")
    await pods.add("starting", "10.0.0.2", ready=False)
    watch = ReplicaWatch(client, lambda: None, namespace=namespace)
    task = asyncio.create_task(watch.run())
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        snapshot = snapshot_with(pool_of(namespace, ports=(8000, 8001)))
        await cluster.publisher.publish(snapshot)
        wanted = {f"{namespace}/small": PoolCount(ready=2, total=4)}
        await until(lambda: watch.live() and watch.live()[0].pools == wanted)
        [report] = watch.live()
        assert (report.replica, report.version, report.ready) == ("pod-a", snapshot.version, True)
        assert report.address == cluster.picker.server.address
        await pods.remove("starting")
        wanted = {f"{namespace}/small": PoolCount(ready=2, total=2)}
        await until(lambda: watch.live()[0].pools == wanted)
    # a graceful end takes the report back
    assert await client.list_all(LEASES, namespace) == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_draining_picker_says_so_before_it_goes(client, control_plane, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    watch = ReplicaWatch(client, lambda: None, namespace=namespace)
    task = asyncio.create_task(watch.run())
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        async with gateway_at(cluster.picker.server.address) as gateway:
            open_stream = gateway.process()
            await open_stream.write(head())
            await until(lambda: cluster.runtime.processor.open_streams == 1)
            await until(lambda: watch.live() and watch.live()[0].ready)
            stopping = asyncio.create_task(cluster.stop())
            await until(lambda: watch.live() and not watch.live()[0].ready)
            assert not stopping.done()
            open_stream.cancel()
            await stopping
            await until(lambda: watch.live() == ())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_damaged_snapshot_leaves_the_last_good_one(client, control_plane, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        good = snapshot_with(pool_of(namespace))
        await cluster.publisher.publish(good)
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        await client.merge(
            CONFIG_MAPS, "pilotage-snapshot", {"data": {"manifest": "{", "snapshot": "{"}}, namespace
        )
        await asyncio.sleep(0.5)
        assert cluster.runtime.following.snapshot.version == good.version
        await client.delete(CONFIG_MAPS, "pilotage-snapshot", namespace)
        await until(lambda: cluster.follower.reporter.report.problem)
        assert cluster.addresses(f"{namespace}/small") == {"10.0.0.1:8000"}
        assert cluster.picker.server.view.ready()


@pytest.mark.parametrize("tls", ["plaintext", "self-signed", "files of their own"])
async def test_peers_find_each_other_by_their_reports_and_settle_for_each_other(
    client, control_plane, namespace, tls, tmp_path
):
    await Pods(client, namespace).add("one", "10.0.0.1")
    await SnapshotPublisher(client, namespace=namespace).publish(snapshot_with(pool_of(namespace)))
    async with AsyncExitStack() as stack:
        one, two, three = [
            await stack.enter_async_context(
                picker_in(
                    control_plane.connection(),
                    client,
                    namespace,
                    replica=name,
                    tls={"extproc": port_tls(tls, tmp_path / name)},
                )
            )
            for name in ("pod-a", "pod-b", "pod-c")
        ]
        for each in (one, two, three):
            others = {other.runtime.process_id for other in (one, two, three) if other is not each}
            await until(lambda each=each, others=others: set(known(each).values()) == others)
        await one.has(f"{namespace}/small", "10.0.0.1:8000")
        async with gateway_at(one.picker.server.address, one.runtime.own_certificate()) as gateway:
            await gateway.ask("model-small")
        record = next(iter(one.runtime.state.decisions.newest()))
        # the access-log entry reaches another process than the one that decided
        two.runtime.settler.log_entry(
            Outcome(record.id, 200, "10.0.0.1:8000", 1, 0.5, 0.1),
            one.runtime.process_id,
        )
        await until(lambda: record.outcome is not None)
        assert (await three.picker.server.view.explain(record.id)) is not None
        await two.stop()
        await until(lambda: set(known(one).values()) == {three.runtime.process_id})


async def test_peers_follow_a_certificate_that_is_renewed_on_disk(client, control_plane, namespace, tmp_path):
    await Pods(client, namespace).add("one", "10.0.0.1")
    await SnapshotPublisher(client, namespace=namespace).publish(snapshot_with(pool_of(namespace)))
    files = port_tls("files of their own", tmp_path / "pod-a")
    connection = control_plane.connection()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(
            picker_in(connection, client, namespace, "pod-a", tls={"extproc": files})
        )
        before = one.runtime.own_certificate()
        port_tls("files of their own", tmp_path / "pod-a")
        await until(lambda: one.follower.reporter.report.certificate not in {"", before})
        # it starts after the renewal: it can only know the new one
        two = await stack.enter_async_context(
            picker_in(connection, client, namespace, "pod-b", tls={"extproc": "self-signed"})
        )
        await until(lambda: set(known(two).values()) == {one.runtime.process_id})
        await until(lambda: set(known(one).values()) == {two.runtime.process_id})
        await one.has(f"{namespace}/small", "10.0.0.1:8000")
        port_tls("files of their own", tmp_path / "pod-a")
        async with gateway_at(one.picker.server.address, one.runtime.own_certificate()) as gateway:
            await gateway.ask("model-small")
        record = next(iter(one.runtime.state.decisions.newest()))
        outcome = Outcome(record.id, 200, "10.0.0.1:8000", 1, 0.5, 0.1)
        two.runtime.settler.log_entry(outcome, one.runtime.process_id)
        await until(lambda: record.outcome is not None)


async def test_a_peer_that_serves_plaintext_still_is_met_as_such_by_one_that_serves_tls(
    client, control_plane, namespace
):
    connection = control_plane.connection()
    async with (
        picker_in(connection, client, namespace, "pod-a") as old,
        picker_in(connection, client, namespace, "pod-b", tls={"extproc": "self-signed"}) as new,
    ):
        await until(lambda: set(known(old).values()) == {new.runtime.process_id})
        await until(lambda: set(known(new).values()) == {old.runtime.process_id})


def port_tls(kind: str, folder: Path) -> dict[str, str] | str | None:
    """What `tls.extproc` says; files are written anew each time."""
    if kind != "files of their own":
        return None if kind == "plaintext" else kind
    folder.mkdir(exist_ok=True)
    key, certificate = self_signed(PICKER_NAME)
    for name, held in (("tls.key", key), ("tls.crt", certificate)):
        (folder / "next").write_bytes(held)
        (folder / "next").rename(folder / name)
    return {"certFile": str(folder / "tls.crt"), "keyFile": str(folder / "tls.key")}


def known(cluster) -> dict[str, str | None]:
    return cluster.runtime.peers.process_ids()


async def test_the_least_rights_suffice(client, control_plane, namespace):
    token = await token_with(client, namespace, "extproc", *EXTPROC_OWN, *EXTPROC_WATCHED)
    await Pods(client, namespace).add("one", "10.0.0.1")
    async with (
        ApiClient(control_plane.connection(token=token)) as limited,
        picker_in(control_plane.connection(token=token), client, namespace) as cluster,
    ):
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        await until(lambda: cluster.follower.reporter.report.renewals)
        await until(cluster.follower._replicas.live)
        for informer in (*cluster.follower._inference._pools, *cluster.follower._inference._objectives):
            assert "forbidden" not in (informer.problem or "")
        for forbidden in (
            limited.list_all(SECRETS, namespace),
            limited.list_all(CONFIG_MAPS, namespace),
            limited.list_all(PODS, "kube-system"),
            limited.delete(PODS, "one", namespace),
        ):
            with pytest.raises(Forbidden):
                await forbidden
