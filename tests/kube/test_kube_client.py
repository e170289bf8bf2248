"""The client against a real API server: verbs, typed errors, identities."""

import base64
import json
from pathlib import Path

import pytest
from accounts import rule, token_with
from tcp_proxy import TcpProxy

from pilotage_kube.client import ApiClient
from pilotage_kube.connection import from_kubeconfig, in_pod
from pilotage_kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    InvalidResponse,
    NotFound,
    Unauthorized,
    Unreachable,
)
from pilotage_kube.resource import CONFIG_MAPS, INFERENCE_POOLS, SECRETS
from pilotage_kube.testing import ControlPlane


def config_map(name: str, **data: str) -> dict[str, object]:
    return CONFIG_MAPS.object(name, data=data)


async def test_an_object_is_made_read_changed_and_deleted(client, namespace):
    made = await client.create(CONFIG_MAPS, config_map("one", a="1"), namespace)
    made["data"]["a"] = "2"
    await client.replace(CONFIG_MAPS, made, namespace)
    await client.merge(CONFIG_MAPS, "one", {"data": {"b": "3"}}, namespace)
    assert (await client.get(CONFIG_MAPS, "one", namespace))["data"] == {"a": "2", "b": "3"}
    await client.delete(CONFIG_MAPS, "one", namespace)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "one", namespace)


async def test_applying_owns_fields_and_says_who_else_owns_them(client, namespace):
    await client.apply(CONFIG_MAPS, config_map("one", a="1"), namespace, manager="first")
    with pytest.raises(Conflict):
        await client.apply(CONFIG_MAPS, config_map("one", a="2"), namespace, manager="second", force=False)
    await client.apply(CONFIG_MAPS, config_map("one", a="2"), namespace, manager="second")
    assert (await client.get(CONFIG_MAPS, "one", namespace))["data"] == {"a": "2"}


async def test_refusals_are_typed(client, namespace):
    made = await client.create(CONFIG_MAPS, config_map("one"), namespace)
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map("one"), namespace)
    await client.merge(CONFIG_MAPS, "one", {"data": {"a": "1"}}, namespace)
    with pytest.raises(Conflict) as stale:
        await client.replace(CONFIG_MAPS, made, namespace)
    assert not isinstance(stale.value, AlreadyExists)
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "one", namespace, uid="another")
    with pytest.raises(Invalid):
        await client.create(CONFIG_MAPS, config_map("Not A Name"), namespace)
    with pytest.raises(NotFound):
        await client.list_all(INFERENCE_POOLS, namespace)


async def test_lists_come_whole_however_small_the_pages(client, namespace):
    for number in range(7):
        await client.create(CONFIG_MAPS, config_map(f"map-{number}"), namespace)
    page = await client.page(CONFIG_MAPS, namespace, limit=3)
    assert len(page.items) == 3
    assert page.metadata.more
    rest = await client.page(CONFIG_MAPS, namespace, limit=10, more=page.metadata.more)
    assert len(rest.items) == 4
    names = [meta.name for meta in await client.list_metadata(CONFIG_MAPS, namespace)]
    assert sorted(names) == [f"map-{number}" for number in range(7)]


async def test_an_old_continue_token_is_gone(start_control_plane):
    plane: ControlPlane = start_control_plane("--watch-cache=false")
    async with ApiClient(plane.connection()) as client:
        for number in range(4):
            await client.create(CONFIG_MAPS, config_map(f"map-{number}"), "default")
        page = await client.page(CONFIG_MAPS, "default", limit=2)
        await client.create(CONFIG_MAPS, config_map("later"), "default")
        plane.compact()
        with pytest.raises(Gone):
            await client.page(CONFIG_MAPS, "default", limit=2, more=page.metadata.more)


async def test_a_limited_token_is_held_to_its_role(client, namespace, control_plane):
    token = await token_with(client, namespace, "reader", rule("", "configmaps", "get", "list", "watch"))
    await client.create(CONFIG_MAPS, config_map("one"), namespace)
    async with ApiClient(control_plane.connection(token=token)) as limited:
        assert await limited.get(CONFIG_MAPS, "one", namespace)
        with pytest.raises(Forbidden):
            await limited.list_all(SECRETS, namespace)
        with pytest.raises(Forbidden):
            await limited.create(CONFIG_MAPS, config_map("two"), namespace)
        with pytest.raises(Forbidden):
            await limited.list_all(CONFIG_MAPS)


@pytest.mark.parametrize("where", ["pod", "tokenFile", "kubeconfig"])
async def test_a_renewed_token_is_taken_up_after_a_refusal(control_plane, tmp_path, monkeypatch, where):
    def write(token: str) -> None:
        (tmp_path / "token").write_text(token)
        user = {"token": token} if where == "kubeconfig" else {"tokenFile": "token"}
        control_plane.write_kubeconfig(tmp_path / "config", user)

    write("expired")
    (tmp_path / "ca.crt").write_bytes(control_plane.authority.read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(control_plane.port))
    connection = in_pod(tmp_path) if where == "pod" else from_kubeconfig([tmp_path / "config"])
    async with ApiClient(connection) as client:
        with pytest.raises(Unauthorized):
            await client.list_all(CONFIG_MAPS, "default")
        write(control_plane.token)
        assert isinstance(await client.list_all(CONFIG_MAPS, "default"), list)


async def test_a_pod_finds_its_api_server(control_plane, tmp_path, monkeypatch):
    (tmp_path / "token").write_text(control_plane.token)
    (tmp_path / "ca.crt").write_bytes(control_plane.authority.read_bytes())
    (tmp_path / "namespace").write_text("default\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(control_plane.port))
    connection = in_pod(tmp_path)
    assert connection.namespace == "default"
    async with ApiClient(connection) as client:
        assert isinstance(await client.list_all(CONFIG_MAPS, "default"), list)


async def test_a_kubeconfig_serves_as_it_serves_kubectl(control_plane, tmp_path):
    async with ApiClient(from_kubeconfig([control_plane.kubeconfig])) as client:
        assert isinstance(await client.list_all(CONFIG_MAPS, "default"), list)
    program = tmp_path / "login"
    told = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": control_plane.token},
    }
    program.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    program.chmod(0o755)
    config = json.loads(control_plane.kubeconfig.read_text())
    authority = Path(config["clusters"][0]["cluster"].pop("certificate-authority")).read_bytes()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
    config["users"][0]["user"] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login"}
    }
    (tmp_path / "config").write_text(json.dumps(config))
    async with ApiClient(from_kubeconfig([tmp_path / "config"])) as client:
        assert isinstance(await client.list_all(CONFIG_MAPS, "default"), list)


async def test_a_cut_network_is_unreachable(control_plane, proxy: TcpProxy):
    connection = control_plane.connection(server=proxy.server)
    async with ApiClient(connection, timeout_seconds=1) as client:
        await client.list_all(CONFIG_MAPS, "default")
        proxy.cut()
        with pytest.raises(Unreachable):
            await client.list_all(CONFIG_MAPS, "default")
        proxy.mend()
        await client.list_all(CONFIG_MAPS, "default")
        proxy.freeze()
        with pytest.raises(Unreachable, match="in time"):
            await client.list_all(CONFIG_MAPS, "default")


async def test_an_unknown_authority_is_not_trusted(control_plane, tmp_path):
    user = {"token": control_plane.token}
    control_plane.write_kubeconfig(tmp_path / "config", user, **{"certificate-authority": None})
    async with ApiClient(from_kubeconfig([tmp_path / "config"])) as client:
        with pytest.raises(Unreachable):
            await client.list_all(CONFIG_MAPS, "default")


async def test_an_answer_is_read_up_to_its_bound(control_plane, client, namespace, monkeypatch):
    await client.create(CONFIG_MAPS, config_map("one", a="x" * 2000), namespace)
    monkeypatch.setattr("pilotage_kube.client._MAX_RESPONSE_BYTES", 1000)
    with pytest.raises(InvalidResponse, match="more than 1000 bytes"):
        await client.get(CONFIG_MAPS, "one", namespace)
    monkeypatch.undo()
    assert await client.get(CONFIG_MAPS, "one", namespace)


async def test_neither_proxies_nor_passwords_are_taken_from_the_environment(
    control_plane, tmp_path, monkeypatch
):
    (tmp_path / "netrc").write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with ApiClient(control_plane.connection()) as client:
        assert isinstance(await client.list_all(CONFIG_MAPS, "default"), list)
