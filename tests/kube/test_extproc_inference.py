"""InferencePools of the Gateway API Inference Extension: a port each, and only the replica is open."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
import yaml
from extproc_rig import Pods, gateway_at, picker_in, pool_of, snapshot_with
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from waiting import until

from pilotage_cli.replicas import print_replicas
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import KubeError
from pilotage_kube.resource import (
    CUSTOM_RESOURCE_DEFINITIONS,
    INFERENCE_OBJECTIVES,
    INFERENCE_POOLS,
    OLD_INFERENCE_OBJECTIVES,
)
from pilotage_kube.testing import ControlPlane

CRDS = Path(__file__).parents[1] / "fixtures" / "gateway-api-inference-extension-1.5"
SERVICE = "pilotage-extproc"


async def install(client: ApiClient) -> None:
    """The CRDs as published."""
    for path in sorted(CRDS.glob("*.yaml")):
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, yaml.safe_load(path.read_text()))


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that was free a moment ago."""

    def found() -> int:
        with socket.create_server(("127.0.0.1", 0)) as one:
            return int(one.getsockname()[1])

    return found


@pytest.fixture(scope="module")
def plane_with_crds(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The session's control plane, with the CRDs for as long as this module runs."""
    control_plane.kubectl("apply", "-f", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    yield control_plane
    control_plane.kubectl("delete", "-f", str(CRDS), "--wait")


@pytest.fixture
async def cluster(plane_with_crds: ControlPlane, client: ApiClient, namespace: str) -> AsyncIterator[Any]:
    """A picker that follows one ModelPool over the same pods."""
    await Pods(client, namespace).add("one", "10.0.0.1")
    async with picker_in(plane_with_crds.connection(), client, namespace) as found:
        await found.publisher.publish(snapshot_with(pool_of(namespace)))
        await found.has(f"{namespace}/small", "10.0.0.1:8000")
        yield found


def inference_pool(name: str, port: int, service: str = SERVICE, **more: Any) -> dict[str, Any]:
    spec = {
        "selector": {"matchLabels": {"app": "small"}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": service, "port": {"number": port}},
    }
    return INFERENCE_POOLS.object(name, spec=spec | more)


async def listening(cluster: Any, *ports: int) -> None:
    await until(lambda: set(cluster.picker.server.pool_ports.ports) == set(ports))


async def test_a_pool_gets_the_port_it_names_and_any_model_goes_through_unchanged(
    cluster, client, namespace, free_port
):
    port = free_port()
    await client.create(INFERENCE_POOLS, inference_pool("mine", port), namespace)
    await listening(cluster, port)
    await cluster.has(f"inferencepool/{namespace}/mine", "10.0.0.1:8000")
    async with gateway_at(f"127.0.0.1:{port}") as gateway:
        status, picked, body = await gateway.ask("a-name-no-policy-knows")
        assert (status, picked, body) == (200, ["10.0.0.1:8000"], b"")
    record = next(iter(cluster.runtime.state.decisions.newest()))
    assert record.route.candidates.targets[0].pool == f"inferencepool/{namespace}/mine"
    # on the picker's own port the policies decide
    async with gateway_at(cluster.picker.server.address) as gateway:
        status, _, body = await gateway.ask("a-name-no-policy-knows")
        assert (status, orjson.loads(body)["error"]["code"]) == (404, "model_not_found")


async def test_only_the_pools_own_pods_are_candidates_and_the_port_goes_with_the_pool(
    cluster, client, namespace, free_port
):
    await Pods(client, namespace).add("other", "10.0.0.2", app="other")
    port = free_port()
    selector = {"matchLabels": {"app": "other"}}
    await client.create(INFERENCE_POOLS, inference_pool("mine", port, selector=selector), namespace)
    await cluster.has(f"inferencepool/{namespace}/mine", "10.0.0.2:8000")
    await listening(cluster, port)
    async with gateway_at(f"127.0.0.1:{port}") as gateway:
        for _ in range(5):
            _, picked, _ = await gateway.ask("model-small")
            assert picked == ["10.0.0.2:8000"]
    await client.delete(INFERENCE_POOLS, "mine", namespace)
    await listening(cluster)


async def test_health_is_served_on_the_pools_port(cluster, client, namespace, free_port):
    port = free_port()
    await client.create(INFERENCE_POOLS, inference_pool("mine", port), namespace)
    await listening(cluster, port)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_of_two_pools_on_one_port_the_older_is_served_and_the_other_reported(
    cluster, client, namespace, free_port
):
    port = free_port()
    await client.create(INFERENCE_POOLS, inference_pool("older", port), namespace)
    await asyncio.sleep(1.1)  # creation times count in seconds
    await client.create(INFERENCE_POOLS, inference_pool("a-younger", port), namespace)
    await until(lambda: cluster.follower.reporter.report.refusals)
    [refusal] = cluster.follower.reporter.report.refusals
    assert (refusal.resource, refusal.reason) == (f"InferencePool {namespace}/a-younger", "PortConflict")
    assert f"{namespace}/older" in refusal.message
    assert cluster.picker.server.pool_ports.ports == {port: f"inferencepool/{namespace}/older"}
    metrics = cluster.picker.server.view.metrics().decode()
    assert 'pilotage_inference_pools{state="refused"} 1.0' in metrics
    # as `pilotage check --context` shows it
    shown = Console(record=True, width=400, file=io.StringIO())
    print_replicas(shown, [orjson.loads(cluster.picker.server.view.status())])
    assert f"InferencePool {namespace}/a-younger: port {port} serves" in shown.export_text()
    # the loser is served once the port is free, and nobody wrote to either
    await client.delete(INFERENCE_POOLS, "older", namespace)
    await until(
        lambda: cluster.picker.server.pool_ports.ports == {port: f"inferencepool/{namespace}/a-younger"}
    )
    found = await client.get(INFERENCE_POOLS, "a-younger", namespace)
    assert "status" not in found
    assert {one["manager"] for one in found["metadata"]["managedFields"]} == {"pilotage"}  # the test's own


async def test_pools_of_another_picker_are_left_alone(cluster, client, namespace, free_port):
    await client.create(INFERENCE_POOLS, inference_pool("theirs", free_port(), "another-epp"), namespace)
    port = free_port()
    await client.create(INFERENCE_POOLS, inference_pool("mine", port), namespace)
    await listening(cluster, port)


async def test_a_port_in_use_is_reported(cluster, client, namespace):
    taken = int(cluster.picker.server.address.rpartition(":")[2])
    await client.create(INFERENCE_POOLS, inference_pool("mine", taken), namespace)
    await until(lambda: cluster.follower.reporter.report.refusals)
    [refusal] = cluster.follower.reporter.report.refusals
    assert (refusal.resource, refusal.reason) == (f"InferencePool {namespace}/mine", "PortUnusable")


async def test_a_request_that_may_be_shed_gets_429_where_all_servers_are_full(
    cluster, client, namespace, free_port
):
    port = free_port()
    for name, priority in (("batch", -1), ("chat", 1)):
        spec = {"priority": priority, "poolRef": {"name": "mine"}}
        await client.create(
            OLD_INFERENCE_OBJECTIVES, OLD_INFERENCE_OBJECTIVES.object(name, spec=spec), namespace
        )
    await client.create(INFERENCE_POOLS, inference_pool("mine", port), namespace)
    await listening(cluster, port)
    pool = f"inferencepool/{namespace}/mine"
    await cluster.has(pool, "10.0.0.1:8000")
    objectives = cluster.runtime.state.objectives
    await until(lambda: objectives.priority(pool, "batch") == -1 and objectives.priority(pool, "chat") == 1)
    objective = "x-gateway-inference-objective"
    newer = "x-llm-d-inference-objective"
    async with gateway_at(f"127.0.0.1:{port}") as gateway:
        assert (await gateway.ask("m", **{objective: "batch"}))[0] == 200
        table = cluster.runtime.state.table
        table.waiting[table.row_of("10.0.0.1:8000")] = 5
        table.scraped_at[table.row_of("10.0.0.1:8000")] = cluster.runtime.clock() + 60
        status, _, body = await gateway.ask("m", **{objective: "batch"})
        assert (status, orjson.loads(body)["error"]["code"]) == (429, "saturated")
        assert (await gateway.ask("m", **{newer: "batch"}))[0] == 429
        assert (await gateway.ask("m", **{newer: "chat", objective: "batch"}))[0] == 200
        assert (await gateway.ask("m", **{objective: "chat"}))[0] == 200
        assert (await gateway.ask("m"))[0] == 200


async def test_the_crds_may_come_later(start_control_plane, free_port):
    plane: ControlPlane = start_control_plane()
    async with ApiClient(plane.connection()) as client:
        await Pods(client, "default").add("one", "10.0.0.1")
        async with picker_in(plane.connection(), client, "default") as cluster:
            await cluster.publisher.publish(snapshot_with(pool_of("default")))
            await cluster.ready()
            await install(client)
            port = free_port()

            async def created() -> None:
                while True:
                    try:
                        await client.create(INFERENCE_POOLS, inference_pool("mine", port), "default")
                        return
                    except KubeError:
                        await asyncio.sleep(0.2)

            async with asyncio.timeout(20):
                await created()
            await listening(cluster, port)
            await cluster.has("inferencepool/default/mine", "10.0.0.1:8000")


def moved_objectives() -> dict[str, Any]:
    """The CRD of llm-d's group, as far as it matters here."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha2", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": INFERENCE_OBJECTIVES.plural, "kind": INFERENCE_OBJECTIVES.kind}
    group = INFERENCE_OBJECTIVES.group
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return CUSTOM_RESOURCE_DEFINITIONS.object(f"{INFERENCE_OBJECTIVES.plural}.{group}", spec=spec)


async def test_where_objectives_have_moved_to_another_group_those_left_behind_do_not_count(
    start_control_plane,
):
    plane: ControlPlane = start_control_plane()
    namespace = "default"
    async with ApiClient(plane.connection()) as client:
        await install(client)
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, moved_objectives())
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for resource, name, priority in (
            (OLD_INFERENCE_OBJECTIVES, "batch", -1),
            (OLD_INFERENCE_OBJECTIVES, "left-behind", -1),
            (INFERENCE_OBJECTIVES, "batch", -5),
        ):
            spec = {"priority": priority, "poolRef": {"name": "mine"}}
            await client.create(resource, resource.object(name, spec=spec), namespace)
        async with picker_in(plane.connection(), client, namespace) as cluster:
            pool = f"inferencepool/{namespace}/mine"
            objectives = cluster.runtime.state.objectives
            await until(lambda: objectives.priority(pool, "batch") == -5)
            assert objectives.priority(pool, "left-behind") == 0
