"""`explain` and `check` in a cluster: by a program's credentials, and where a picker cannot be asked."""

import asyncio
import io
import json
import socket
import sys

import pytest
from extproc_rig import gateway_at, picker_in, pool_of, snapshot_with
from kubelet import node, picker_pod
from rich.console import Console

from pilotage_cli.cluster_admin import ClusterAdmin, PickerUnreachable
from pilotage_cli.cluster_check import check_cluster
from pilotage_cli.commands.explain import LAST_DECISION, explain_in_cluster
from pilotage_cli.failure import CommandError
from pilotage_cli.replicas import print_replicas
from pilotage_kube.snapshot_publisher import SnapshotPublisher


async def test_a_picker_that_cannot_be_reached_does_not_keep_a_command_from_the_others(
    client, control_plane, with_crds, namespace, tmp_path
):
    connection = control_plane.connection()
    with socket.socket() as held:  # bound, but nobody listens: as in a picker that has just been killed
        held.bind(("127.0.0.1", 0))
        closed = held.getsockname()[1]
        snapshot = snapshot_with(pool_of(namespace, endpoints=(("10.0.0.1", 8000),)))
        await SnapshotPublisher(client, namespace=namespace).publish(snapshot)
        async with (
            node(client, f"node-{namespace}", tmp_path) as name,
            picker_in(connection, client, namespace) as cluster,
        ):
            await cluster.ready()
            await picker_pod(client, namespace, "picker-a", port=closed, node=name)
            admin = ClusterAdmin(client, namespace, token="any")
            with pytest.raises(PickerUnreachable, match="picker-a cannot be reached") as none:
                await explain_in_cluster(admin, LAST_DECISION)
            assert none.value.exit_code == 2
            reason = str(none.value).partition("port-forward: ")[2]
            assert "\n" not in reason
            assert len(reason) <= 160
            assert reason.endswith("connection refused")
            with pytest.raises(PickerUnreachable):
                await check_cluster(connection, namespace, "any", None)

            alive = int(cluster.picker.server.admin_address.rpartition(":")[2])
            await picker_pod(client, namespace, "picker-b", port=alive, node=name)
            with pytest.raises(CommandError, match=r"no decision yet.*; picker-a cannot be reached") as yet:
                await explain_in_cluster(admin, LAST_DECISION)
            assert yet.value.exit_code == 1
            async with gateway_at(cluster.picker.server.address) as gateway:
                status, _, _ = await gateway.ask("model-small")
            assert status == 200
            last = await explain_in_cluster(admin, LAST_DECISION)
            assert (await explain_in_cluster(admin, f"/decisions/{last['decision']}"))["decision"] == last[
                "decision"
            ]
            with pytest.raises(
                CommandError, match=r"no decision nope here.*; picker-a cannot be reached"
            ) as lost:
                await explain_in_cluster(admin, "/decisions/nope")
            assert lost.value.exit_code == 1

            checked = await check_cluster(connection, namespace, "any", None)
            assert checked.has_problems
            dead, found = checked.replicas
            assert dead["replica"] == "picker-a"
            assert dead["reached"] is False
            assert found["snapshot"] == snapshot.version
            console = Console(file=io.StringIO(), soft_wrap=True)
            print_replicas(console, checked.replicas)
            told = console.file.getvalue().splitlines()
            assert told[0].startswith("picker-a: cannot be reached by port-forward: ")
            assert "snapshot" in told[1]


async def test_check_asks_by_the_credentials_of_a_kubeconfigs_program(
    client, control_plane, with_crds, namespace, tmp_path
):
    """The whole command: lists, and a port-forward to the picker."""
    version = "client.authentication.k8s.io/v1"
    told = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": control_plane.token}}
    (tmp_path / "answer").write_text(json.dumps(told))
    program = {"apiVersion": version, "command": "cat", "args": [str(tmp_path / "answer")]}
    control_plane.write_kubeconfig(tmp_path / "config", {"exec": program})
    (tmp_path / "token").write_text("any")

    async def check() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from pilotage_cli.main import run; run()", "check"),
            *("--kubeconfig", str(tmp_path / "config"), "--context", "test", "-n", namespace),
            *("--token-file", str(tmp_path / "token"), "--output", "json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    snapshot = snapshot_with(pool_of(namespace, endpoints=(("10.0.0.1", 8000),)))
    await SnapshotPublisher(client, namespace=namespace).publish(snapshot)
    async with (
        node(client, f"node-{namespace}", tmp_path) as name,
        picker_in(control_plane.connection(), client, namespace) as cluster,
    ):
        await cluster.ready()
        alive = int(cluster.picker.server.admin_address.rpartition(":")[2])
        await picker_pod(client, namespace, "picker-a", port=alive, node=name)
        status, output = await check()
        [found] = json.loads(output)["replicas"]
        assert (status, found["snapshot"]) == (0, snapshot.version)
        (tmp_path / "answer").unlink()
        status, output = await check()
        assert (status, output.count("\n")) == (2, 1)
        assert "the credentials program 'cat' failed: cat: " in output
