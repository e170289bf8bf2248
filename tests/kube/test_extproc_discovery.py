"""A picker finds its pools' pods through a real API server, whatever becomes of that."""

import asyncio
import time

from extproc_rig import Pods, gateway_at, picker_in, pool_of, snapshot_with, status_of
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_kube.client import ApiClient
from pilotage_kube.resource import PODS
from pilotage_kube.testing import ControlPlane


async def test_pods_are_found_by_label_with_every_target_port(client, control_plane, namespace):
    pods, pool = Pods(client, namespace), f"{namespace}/small"
    await pods.add("one", "10.0.0.1")
    await pods.add("other", "10.0.0.9", app="other")
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        snapshot = snapshot_with(pool_of(namespace, ports=(8000, 8001)))
        await cluster.publisher.publish(snapshot)
        await cluster.has(pool, "10.0.0.1:8000", "10.0.0.1:8001")
        await pods.add("two", "fd00::2")
        await cluster.has(pool, "10.0.0.1:8000", "10.0.0.1:8001", "[fd00::2]:8000", "[fd00::2]:8001")
        await client.merge(PODS, "one", {"metadata": {"labels": {"app": "x"}}}, namespace)
        await cluster.has(pool, "[fd00::2]:8000", "[fd00::2]:8001")
        async with gateway_at(cluster.picker.server.address) as gateway:
            status, picked, _ = await gateway.ask("model-small")
        assert status == 200
        assert set(picked) == {"[fd00::2]:8000", "[fd00::2]:8001"}


async def test_selected_pods_and_named_endpoints_stand_side_by_side(client, control_plane, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        named = pool_of(namespace, "named", endpoints=(("10.9.9.9", 80),))
        await cluster.publisher.publish(snapshot_with(pool_of(namespace), named))
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        await cluster.has(f"{namespace}/named", "10.9.9.9:80")


async def test_only_ready_pods_are_picked_and_one_that_recovers_keeps_what_is_known_of_it(
    client, control_plane, namespace
):
    pods, pool = Pods(client, namespace), f"{namespace}/small"
    await pods.add("one", "10.0.0.1")
    await pods.add("starting", "10.0.0.2", ready=False)
    await pods.add("done", "10.0.0.3")
    await pods.say("done", status_of("10.0.0.3", phase="Succeeded"))
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(pool, "10.0.0.1:8000")
        table = cluster.runtime.state.table
        assert "10.0.0.2:8000" not in table.rows()
        row = table.row_of("10.0.0.1:8000")
        table.failures[row] = 3
        await pods.say("one", status_of("10.0.0.1", ready=False))
        await pods.say("starting", status_of("10.0.0.2"))
        await cluster.has(pool, "10.0.0.2:8000")
        await pods.say("one", status_of("10.0.0.1"))
        await cluster.has(pool, "10.0.0.1:8000", "10.0.0.2:8000")
        assert table.row_of("10.0.0.1:8000") == row
        assert table.failures[row] == 3


async def test_a_terminating_pod_is_picked_no_more_within_200_ms_while_its_streams_go_on(
    client, control_plane, namespace
):
    pods, pool = Pods(client, namespace), f"{namespace}/small"
    for number in range(1, 4):
        await pods.add(f"pod-{number}", f"10.0.0.{number}")
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(pool, "10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")
        async with gateway_at(cluster.picker.server.address) as gateway:
            _, picked, _ = await gateway.ask("model-small")
            first = picked[0]
            assert len(cluster.runtime.state.ledger) == 1
            name = f"pod-{first.split(':')[0][-1]}"
            await pods.terminate(name)
            # counted from the API server's answer, which comes after or just before the watch event
            told = time.monotonic()
            await until(lambda: first not in cluster.addresses(pool))
            assert time.monotonic() - told < 0.2
            assert (await client.get(PODS, name, namespace))["metadata"]["deletionTimestamp"]
            for _ in range(20):
                _, picked, _ = await gateway.ask("model-small")
                assert first not in picked
        # Envoy keeps what it was told for a moment, and streams under way for as long as they last
        assert cluster.runtime.xds.synced
        await pods.remove(name)
        assert len(cluster.runtime.state.ledger) >= 1


async def test_a_pool_whose_pods_all_went_is_answered_503(client, control_plane, namespace):
    pods = Pods(client, namespace)
    await pods.add("one", "10.0.0.1")
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        await pods.remove("one")
        await cluster.has(f"{namespace}/small")
        async with gateway_at(cluster.picker.server.address) as gateway:
            status, _, body = await gateway.ask("model-small")
        assert status == 503
        assert b"no_endpoints" in body


async def test_a_cut_network_changes_nothing_and_what_was_missed_is_caught_up(
    client, control_plane, namespace, proxy: TcpProxy
):
    pods, pool = Pods(client, namespace), f"{namespace}/small"
    await pods.add("one", "10.0.0.1")
    await pods.add("two", "10.0.0.2")
    async with picker_in(control_plane.connection(server=proxy.server), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(pool, "10.0.0.1:8000", "10.0.0.2:8000")
        proxy.cut()
        await until(lambda: cluster.runtime.pods.age_seconds() > 0)
        await pods.remove("one")
        await pods.add("three", "10.0.0.3")
        await asyncio.sleep(1)
        assert cluster.addresses(pool) == {"10.0.0.1:8000", "10.0.0.2:8000"}
        assert cluster.picker.server.view.ready()
        proxy.mend()
        await cluster.has(pool, "10.0.0.2:8000", "10.0.0.3:8000")


async def test_a_410_makes_a_relist_that_drops_no_healthy_endpoint(start_control_plane):
    plane: ControlPlane = start_control_plane("--watch-cache=false")
    async with ApiClient(plane.connection()) as client, TcpProxy(plane.port) as proxy:
        pods, pool = Pods(client, "default"), "default/small"
        for number in range(1, 5):
            await pods.add(f"pod-{number}", f"10.0.0.{number}")
        async with picker_in(plane.connection(server=proxy.server), client, "default") as cluster:
            await cluster.publisher.publish(snapshot_with(pool_of("default")))
            await cluster.has(pool, *(f"10.0.0.{number}:8000" for number in range(1, 5)))
            [watched] = cluster.runtime.pods._watched.values()
            proxy.cut()
            await until(lambda: watched.informer.problem is not None)
            await pods.remove("pod-1")
            await pods.add("pod-5", "10.0.0.5")
            plane.compact()
            least = asyncio.create_task(fewest(cluster, pool))
            proxy.mend()
            await until(lambda: watched.informer.counts.lists == 2)
            await cluster.has(pool, *(f"10.0.0.{number}:8000" for number in range(2, 6)))
            least.cancel()
            assert await least >= 3


async def fewest(cluster, pool: str) -> int:
    """The fewest endpoints of a pool that could be picked at any moment, until cancelled."""
    least = len(cluster.addresses(pool))
    try:
        while True:
            await asyncio.sleep(0)
            least = min(least, len(cluster.addresses(pool)))
    except asyncio.CancelledError:
        return least


async def test_a_restarted_api_server_is_followed_on_and_requests_never_notice(start_control_plane):
    plane: ControlPlane = start_control_plane()
    async with ApiClient(plane.connection()) as client:
        pods, pool = Pods(client, "default"), "default/small"
        await pods.add("one", "10.0.0.1")
        async with picker_in(plane.connection(), client, "default") as cluster:
            await cluster.publisher.publish(snapshot_with(pool_of("default")))
            await cluster.has(pool, "10.0.0.1:8000")
            await asyncio.to_thread(plane.stop_apiserver, kill=True)
            async with gateway_at(cluster.picker.server.address) as gateway:
                for _ in range(20):
                    status, picked, _ = await gateway.ask("model-small")
                    assert (status, picked) == (200, ["10.0.0.1:8000"])
            await asyncio.to_thread(plane.start_apiserver)
            await pods.add("two", "10.0.0.2")
            await cluster.has(pool, "10.0.0.1:8000", "10.0.0.2:8000")


async def test_namespaces_are_watched_as_long_as_a_pool_needs_them(client, control_plane, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.publisher.publish(snapshot_with(pool_of(namespace)))
        await cluster.has(f"{namespace}/small", "10.0.0.1:8000")
        assert set(cluster.runtime.pods._watched) == {namespace}
        await cluster.publisher.publish(snapshot_with(pool_of(namespace, endpoints=(("10.9.9.9", 80),))))
        await cluster.has(f"{namespace}/small", "10.9.9.9:80")
        assert cluster.runtime.pods._watched == {}
        assert cluster.runtime.pods.selection._pods == {}
