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
