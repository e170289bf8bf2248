"""What pickers refuse of InferencePools, as Events that `kubectl describe` shows."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from accounts import token_with
from extproc_rig import Pods, gateway_at, picker_in
from operator_run import Operators, idle
from rights import OPERATOR_NAMESPACE, OPERATOR_WATCHED
from waiting import until

from pilotage_kube.resource import EVENTS, INFERENCE_POOLS
from pilotage_kube.testing import ControlPlane
from pilotage_operator.process import OperatorProcess

FOREIGN_CRDS = Path(__file__).parents[1] / "fixtures" / "gateway-api-inference-extension-1.5"


@pytest.fixture(scope="module", autouse=True)
def foreign_crds(with_crds: ControlPlane) -> Iterator[None]:
    """InferencePools are known to the API server while this module runs."""
    with_crds.kubectl("apply", "-f", str(FOREIGN_CRDS))
    with_crds.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    yield
    with_crds.kubectl("delete", "-f", str(FOREIGN_CRDS), "--wait")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@asynccontextmanager
async def replica(operators: Operators, name: str, host: str = "127.0.0.1", port: int = 0) -> Any:
    """A picker; each of several needs an address of its own, as pods have."""
    listen = {"extproc": f"{host}:{port}", "admin": f"{host}:0", "gateway": f"{host}:0"}
    connection = operators.plane.connection()
    async with picker_in(connection, operators.client, operators.namespace, name, listen=listen) as found:
        yield found


async def make(operators: Operators, name: str, port: int) -> dict[str, Any]:
    """An InferencePool on this port."""
    spec = {
        "selector": {"matchLabels": {"app": "small"}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": "pilotage-extproc", "port": {"number": port}},
    }
    return await operators.client.create(
        INFERENCE_POOLS, INFERENCE_POOLS.object(name, spec=spec), operators.namespace
    )


def posts(process: OperatorProcess) -> float:
    """How many objects an operator tried to create."""
    return process.metrics.writes.labels("POST")._value.get()


async def told(operators: Operators, name: str) -> list[dict[str, Any]]:
    found = await operators.client.list_all(EVENTS, operators.namespace)
    return [one for one in found if one["regarding"]["name"] == name]


async def test_the_loser_of_a_port_says_so_once_however_many_pickers_and_operators_there_are(operators):
    rights = (*OPERATOR_NAMESPACE, *OPERATOR_WATCHED)
    token = await token_with(operators.client, operators.namespace, "operator", *rights)
    await Pods(operators.client, operators.namespace).add("one", "10.0.0.1")
    port = free_port()
    process = operators.start(token=token)
    async with replica(operators, "pod-a") as one, replica(operators, "pod-b", "127.0.0.2") as two:
        await make(operators, "older", port)
        await asyncio.sleep(1.1)  # creation times count in seconds
        younger = await make(operators, "younger", port)
        for picker in (one, two):
            await until(lambda picker=picker: picker.follower.reporter.report.refusals)
        await operators.eventually(lambda: told(operators, "younger"))
        # the other picker's word, and a later one with nothing new
        await make(operators, "elsewhere", free_port())
        await until(lambda: len(one.picker.server.pool_ports.ports) == 2)
        await idle(process)
        [event] = await told(operators, "younger")
        assert event["regarding"]["uid"] == younger["metadata"]["uid"]
        assert (event["type"], event["reason"]) == ("Warning", "PortConflict")
        assert f"serves InferencePool {operators.namespace}/older already" in event["note"]
        assert await told(operators, "older") == await told(operators, "elsewhere") == []
        # as a person reads it
        shown = operators.plane.kubectl("describe", "inferencepool", "younger", "-n", operators.namespace)
        assert "PortConflict" in shown.split("Events:")[1]
        assert "endpointPickerRef.port" in shown.split("Events:")[1]
        shown = operators.plane.kubectl("describe", "inferencepool", "older", "-n", operators.namespace)
        assert shown.split("Events:")[1].strip() == "<none>"
        # another operator finds the same, and that it was told
        await operators.end(process)
        successor = operators.start(token=token)
        await until(lambda: posts(successor) >= 1)
        await idle(successor)
        assert [one["metadata"]["uid"] for one in await told(operators, "younger")] == [
            event["metadata"]["uid"]
        ]
        assert successor.active.events.written == 0
        # nobody wrote to the pool
        found = await operators.client.get(INFERENCE_POOLS, "younger", operators.namespace)
        assert found["metadata"]["resourceVersion"] == younger["metadata"]["resourceVersion"]


async def test_an_operator_without_any_resource_is_enough_for_inferencepools(operators):
    await Pods(operators.client, operators.namespace).add("one", "10.0.0.1")
    port = free_port()
    async with replica(operators, "pod-a") as picker:
        await make(operators, "mine", port)
        await until(lambda: picker.picker.server.pool_ports.ports)
        # nothing is published: it waits, and says for what
        await until(lambda: picker.follower.reporter.report.problem)
        assert "is the operator running?" in picker.follower.reporter.report.problem
        assert not picker.picker.server.view.ready()
        operators.start()
        await picker.ready()
        await picker.has(f"inferencepool/{operators.namespace}/mine", "10.0.0.1:8000")
        async with gateway_at(f"127.0.0.1:{port}") as gateway:
            assert (await gateway.ask("any-name"))[:2] == (200, ["10.0.0.1:8000"])


async def test_a_port_that_cannot_be_opened_and_the_pickers_own_show_on_their_pools(operators):
    own = free_port()
    operators.start()
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        async with replica(operators, "pod-a", port=own):
            await make(operators, "on-a-taken-port", taken)
            await make(operators, "on-the-pickers-port", own)
            await operators.eventually(lambda: told(operators, "on-a-taken-port"))
            await operators.eventually(lambda: told(operators, "on-the-pickers-port"))
            # the picker tries again every five seconds
            await asyncio.sleep(6)
            [unusable] = await told(operators, "on-a-taken-port")
            [reserved] = await told(operators, "on-the-pickers-port")
    assert unusable["reason"] == "PortUnusable"
    assert f"port {taken} cannot be used" in unusable["note"]
    assert reserved["reason"] == "PortReserved"
    assert f"port {own} is the picker's own (listen.extproc)" in reserved["note"]
    assert "inferencePoolPorts" in reserved["note"]


async def test_an_operator_that_may_not_write_events_says_so_once_and_goes_on(operators, caplog):
    rights = [
        one for one in (*OPERATOR_NAMESPACE, *OPERATOR_WATCHED) if one["apiGroups"] != ["events.k8s.io"]
    ]
    token = await token_with(operators.client, operators.namespace, "operator", *rights)
    process = operators.start(token=token)
    own = free_port()
    with caplog.at_level(logging.WARNING, "pilotage_operator"):
        async with replica(operators, "pod-a", port=own) as picker:
            await until(lambda: process.active is not None and process.active.reconciler.progress.published)
            await idle(process)
            before = posts(process)
            for number in range(3):
                await make(operators, f"wrong-{number}", own)
            await until(lambda: posts(process) == before + 3)
            # another change of what pickers say
            await make(operators, "right", free_port())
            await until(lambda: len(picker.picker.server.pool_ports.ports) == 1)
            await idle(process)
            assert posts(process) == before + 3
    refused = [one.getMessage() for one in caplog.records if "cannot write Events" in one.getMessage()]
    assert len(refused) == 1
    assert "create on events.events.k8s.io" in refused[0]
    assert process.active.problem is None
