"""Kubeconfigs: what cannot be used is named with its file and field."""

import os

import pytest
import yaml

from pilotage_kube.connection import in_pod
from pilotage_kube.credentials import TokenFile
from pilotage_kube.errors import ConfigurationError
from pilotage_kube.kubeconfig import connect, from_kubeconfig

HTTP = {"server": "http://127.0.0.1:1"}


def config(user=None, cluster=None, **changes):
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "c", "cluster": cluster or HTTP}],
        "users": [{"name": "u", "user": user or {}}],
        **changes,
    }


def write(folder, content, name="config"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


async def headers(path):
    return dict(await from_kubeconfig([path]).credentials.headers())


async def test_the_current_context_says_where_and_who(tmp_path):
    path = write(tmp_path, config({"token": "abc"}))
    connection = from_kubeconfig([path])
    assert (connection.server, connection.namespace) == ("http://127.0.0.1:1", "team")
    assert await headers(path) == {"Authorization": "Bearer abc"}
    assert "abc" not in repr(connection)


async def test_a_password_and_impersonation_are_sent(tmp_path):
    path = write(tmp_path, config({"username": "a", "password": "b", "as": "someone"}))
    assert await headers(path) == {"Authorization": "Basic YTpi", "Impersonate-User": "someone"}


async def test_files_are_merged_and_the_first_wins(tmp_path):
    first = write(tmp_path, {"current-context": "c"}, "first")
    second = write(tmp_path, config({"token": "second"}, **{"current-context": "other"}), "second")
    assert dict(await from_kubeconfig([first, second]).credentials.headers())["Authorization"].endswith(
        "second"
    )


def test_the_environment_names_files(tmp_path, monkeypatch):
    path = write(tmp_path, config())
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}{os.pathsep}{path}")
    assert connect().namespace == "team"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot read the kubeconfig"),
        ("- a list", "is not a kubeconfig"),
        (config(**{"current-context": ""}), "no current-context"),
        (config(**{"current-context": "x"}), "no entry 'x' in contexts"),
        (config(users=[]), "no entry 'u' in users"),
        (config(cluster={"server": "127.0.0.1"}), "no server URL"),
        (config({"auth-provider": {}}), "use exec"),
        (config({"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}), "without a command"),
        (config({"exec": {"command": "x", "apiVersion": "v0"}}), "not supported"),
        (config({"as": "a", "as-groups": ["system:masters"]}), "as-groups"),
        (
            config(cluster={"server": "https://h", "certificate-authority-data": "%"}),
            "certificate-authority-data is not base64",
        ),
        (config(cluster={"server": "https://h", "certificate-authority": "gone"}), "certificate authority"),
        (
            config({"client-certificate-data": "eA==", "client-key-data": "eA=="}, {"server": "https://h"}),
            "do not fit",
        ),
        (config({"client-certificate": "gone"}, {"server": "https://h"}), "client-certificate"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, told):
    path = write(tmp_path, content)
    with pytest.raises(ConfigurationError, match=told):
        from_kubeconfig([path])


def test_a_missing_kubeconfig_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no kubeconfig at"):
        from_kubeconfig([tmp_path / "config"])


def test_outside_a_pod_there_is_no_pods_account(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match="not in a pod"):
        in_pod(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    with pytest.raises(ConfigurationError, match="automountServiceAccountToken"):
        in_pod(tmp_path)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "failed"),
        ("echo nonsense", "gave no token"),
        ("echo '{\"status\": {}}'", "gave no token"),
        (None, "cannot run"),
    ],
)
async def test_a_credentials_program_that_fails_is_named(tmp_path, script, told):
    if script is not None:
        program = tmp_path / "login"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    told_exec = {"command": "./login", "apiVersion": "client.authentication.k8s.io/v1"}
    path = write(tmp_path, config({"exec": told_exec}))
    with pytest.raises(ConfigurationError, match=told):
        await headers(path)


async def test_a_token_file_is_read_again_as_time_passes(tmp_path):
    from pilotage_kube.clock import ManualTime

    clock = ManualTime()
    file = tmp_path / "token"
    file.write_text("first\n")
    credentials = TokenFile(file, clock)
    assert await credentials.headers() == {"Authorization": "Bearer first"}
    file.write_text("second")
    assert await credentials.headers() == {"Authorization": "Bearer first"}
    await clock.advance(10)
    assert await credentials.headers() == {"Authorization": "Bearer second"}
    file.write_text("third")
    assert await credentials.headers(refused=True) == {"Authorization": "Bearer third"}
    file.write_text("")
    with pytest.raises(ConfigurationError, match="empty"):
        await credentials.headers(refused=True)
