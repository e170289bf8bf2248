"""Port-forwards that a real API server refuses: which right, pod or node is missing."""

import pytest
from accounts import rule, token_with
from extproc_rig import Pods
from kubelet import picker_pod

from pilotage_cli.cluster_admin import ClusterAdmin
from pilotage_cli.failure import CommandError
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import ApiError, Forbidden, NotFound
from pilotage_kube.port_forward import forwarded
from pilotage_kube.resource import SECRETS

VIEWER = rule("", "pods", "get", "list")


async def test_a_refusal_names_the_right_that_is_missing(client, control_plane, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    token = await token_with(client, namespace, "viewer", VIEWER)
    async with ApiClient(control_plane.connection(token=token)) as viewer:
        with pytest.raises(Forbidden, match="pods/portforward"):
            async with forwarded(viewer, namespace, "one", 9003):
                pass


async def test_a_pod_that_is_not_there_and_a_node_that_is_not_there_are_told(client, namespace):
    await Pods(client, namespace).add("one", "10.0.0.1")
    with pytest.raises(NotFound):
        async with forwarded(client, namespace, "nope", 9003):
            pass
    with pytest.raises(ApiError, match="node"):
        async with forwarded(client, namespace, "one", 9003):
            pass


async def test_a_command_says_what_is_missing(client, control_plane, namespace):
    token = await token_with(client, namespace, "viewer", VIEWER)
    async with ApiClient(control_plane.connection(token=token)) as viewer:
        with pytest.raises(CommandError, match="no picker runs in namespace"):
            await ClusterAdmin(viewer, namespace).pickers()
        await picker_pod(client, namespace)
        [picker] = await ClusterAdmin(viewer, namespace).pickers()
        assert (picker.name, picker.port, picker.secret) == ("picker", 9003, "pilotage-admin")
        with pytest.raises(CommandError, match="get on this Secret, or give the token with --token-file"):
            await ClusterAdmin(viewer, namespace).get(picker, "/status")
        with pytest.raises(CommandError, match="get and create on pods/portforward"):
            await ClusterAdmin(viewer, namespace, token="given").get(picker, "/status")
    secret = SECRETS.object("pilotage-admin", stringData={"other": "x"})
    await client.create(SECRETS, secret, namespace)
    with pytest.raises(CommandError, match="no token in Secret"):
        await ClusterAdmin(client, namespace).get(picker, "/status")


async def test_releases_that_share_a_namespace_are_told_apart(client, namespace):
    await picker_pod(client, namespace, "blue-1", release="blue")
    await picker_pod(client, namespace, "green-1", release="green")
    both = ClusterAdmin(client, namespace)
    assert [(one.name, one.secret) for one in await both.pickers()] == [
        ("blue-1", "blue-admin"),
        ("green-1", "green-admin"),
    ]
    with pytest.raises(CommandError, match="name one of blue, green with --release"):
        await both.only_release()
    green = ClusterAdmin(client, namespace, release="green")
    assert [one.name for one in await green.pickers()] == ["green-1"]
    await green.only_release()
    for name in ("blue", "green"):
        secret = SECRETS.object(f"{name}-admin", stringData={"token": f"{name}'s"})
        await client.create(SECRETS, secret, namespace)
    assert [await both._token_of(one) for one in await both.pickers()] == ["blue's", "green's"]
    with pytest.raises(CommandError, match="no picker runs"):
        await ClusterAdmin(client, namespace, release="red").pickers()
