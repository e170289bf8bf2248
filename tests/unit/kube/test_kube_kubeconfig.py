"""Kubeconfigs: what cannot be used is named with its file and field."""

import asyncio
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pilotage_kube.clock import ManualTime
from pilotage_kube.connection import connect, from_kubeconfig, in_pod
from pilotage_kube.errors import ConfigurationError
from pilotage_kube.kubeconfig import Kubeconfig
from pilotage_kube.session import Session

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


def answer(status, version="client.authentication.k8s.io/v1"):
    return f"""echo '{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {status}}}'"""


async def headers(*paths):
    access = await from_kubeconfig(list(paths)).credentials.load()
    return sorted((await access.headers()).items())


def program(folder, script):
    path = folder / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"command": "./login", "apiVersion": "client.authentication.k8s.io/v1"}


async def test_the_current_context_says_where_and_who(tmp_path):
    path = write(tmp_path, config({"token": "abc"}))
    connection = from_kubeconfig([path])
    assert (connection.server, connection.namespace) == ("http://127.0.0.1:1", "team")
    assert await headers(path) == [("Authorization", "Bearer abc")]
    assert "abc" not in repr(connection)
    assert "abc" not in repr(await connection.credentials.load())


async def test_a_password_and_all_of_impersonation_are_sent(tmp_path):
    extra = {"example.dev/reason": ["one", "two"]}
    user = {"username": "a", "password": "b", "as": "someone", "as-uid": "7", "as-groups": ["x", "y"]}
    assert await headers(write(tmp_path, config({**user, "as-user-extra": extra}))) == [
        ("Authorization", "Basic YTpi"),
        ("Impersonate-Extra-example.dev%2Freason", "one"),
        ("Impersonate-Extra-example.dev%2Freason", "two"),
        ("Impersonate-Group", "x"),
        ("Impersonate-Group", "y"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-User", "someone"),
    ]


async def test_files_are_merged_and_the_first_wins(tmp_path):
    first = write(tmp_path, {"current-context": "c"}, "first")
    second = write(tmp_path, config({"token": "second"}, **{"current-context": "other"}), "second")
    assert await headers(first, second) == [("Authorization", "Bearer second")]
    third = write(tmp_path, config({"token": "third"}), "third")
    assert await headers(third, second) == [("Authorization", "Bearer third")]


async def test_a_token_goes_before_a_program_as_with_kubectl(tmp_path):
    path = write(tmp_path, config({"token": "abc", "exec": program(tmp_path, "exit 1")}))
    assert await headers(path) == [("Authorization", "Bearer abc")]


async def test_a_context_without_a_user_is_anonymous(tmp_path):
    contexts = [{"name": "c", "context": {"cluster": "c"}}]
    path = write(tmp_path, config(cluster={"server": "https://h"}, contexts=contexts, users=None))
    assert await headers(path) == []


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
        (config(**{"current-context": "x"}), "name x in .*contexts"),
        (config(contexts=[{"name": "c", "context": {"cluster": "z"}}]), "name z in .*clusters"),
        (config(users=[]), "no entry 'u' in users"),
        (config(cluster={"server": "127.0.0.1"}), "no server URL"),
        (config({"auth-provider": {}}), "use exec"),
        (config({"auth-provider": {"name": "gcp"}}), "gcp is no longer supported: use exec"),
        (config({"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}), "'command'"),
        (config({"exec": {"command": "x", "apiVersion": "v0"}}), "not supported"),
        (config({"as-groups": ["system:masters"]}), "need as: the user"),
        (config(users="x"), "to have 'name' key"),
        (
            config(cluster={"server": "https://h", "certificate-authority-data": "%"}),
            "certificate-authority-data",
        ),
        (config(cluster={"server": "https://h", "certificate-authority": "gone"}), "exists: .*gone"),
        (
            config({"client-certificate-data": "eA==", "client-key-data": "eA=="}, {"server": "https://h"}),
            "do not fit",
        ),
        (config({"client-certificate": "gone"}, {"server": "https://h"}), "exists: .*gone"),
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
        ("echo no rights >&2; exit 3", "failed: no rights"),
        ("echo nonsense", "gave no token"),
        (answer("{}"), "gave no token"),
        (answer('{"clientCertificateData": "x"}'), "no certificate with its key"),
        (answer('{"token": "x"}', "client.authentication.k8s.io/v1beta1"), "v1beta1' and not in"),
        (None, "is not installed, or not on PATH"),
    ],
)
async def test_a_credentials_program_that_fails_is_named_and_nobody_asks_anonymously(tmp_path, script, told):
    entry = program(tmp_path, script or "")
    if script is None:
        (tmp_path / "login").unlink()
    path = write(tmp_path, config({"exec": entry}))
    with pytest.raises(ConfigurationError, match=told):
        await headers(path)


async def test_where_a_credentials_program_is_missing_its_own_hint_is_told(tmp_path):
    entry = {**program(tmp_path, ""), "installHint": "Install it from your\nprovider's page.\n"}
    (tmp_path / "login").unlink()
    path = write(tmp_path, config({"exec": entry}))
    with pytest.raises(
        ConfigurationError, match=r"is not installed: Install it from your\nprovider's page\.$"
    ):
        await headers(path)


async def test_a_credentials_program_that_is_not_executable_is_told(tmp_path):
    entry = program(tmp_path, "")
    (tmp_path / "login").chmod(0o644)
    with pytest.raises(ConfigurationError, match="cannot run"):
        await headers(write(tmp_path, config({"exec": entry})))


async def test_a_credentials_program_that_does_not_end_is_given_up_and_ended(tmp_path):
    entry = program(tmp_path, f"echo $$ > {tmp_path / 'pid'}; exec sleep 100")
    found = Kubeconfig([write(tmp_path, config({"exec": entry}))], exec_timeout_seconds=0.5)
    with pytest.raises(ConfigurationError, match=r"does not end within 0\.5 s"):
        await found.load()
    pid = int((tmp_path / "pid").read_text())
    deadline = asyncio.get_running_loop().time() + 5
    while Path(f"/proc/{pid}").exists():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_a_credentials_program_may_say_more_than_anyone_reads(tmp_path):
    noise = "head -c 3000000 /dev/zero >&2"
    path = write(tmp_path, config({"exec": program(tmp_path, noise + "\n" + answer('{"token": "x"}'))}))
    assert await headers(path) == [("Authorization", "Bearer x")]


@pytest.mark.parametrize(("lifetime", "kept"), [(3600, 3500), (20, 15)])
async def test_a_programs_token_is_kept_until_shortly_before_its_end(tmp_path, lifetime, kept):
    ends = (datetime.now(UTC) + timedelta(seconds=lifetime)).isoformat()
    count = f"echo x >> {tmp_path / 'runs'}\n"
    entry = program(tmp_path, count + answer(json.dumps({"token": "x", "expirationTimestamp": ends})))
    clock = ManualTime()
    session = Session(from_kubeconfig([write(tmp_path, config({"exec": entry}))]).credentials, clock)

    async def runs():
        await session.access()
        return len((tmp_path / "runs").read_text().split())

    assert await runs() == 1
    await clock.advance(kept)
    assert await runs() == 1
    await clock.advance(lifetime - kept)
    assert await runs() == 2


async def test_a_token_file_is_read_again_as_time_passes(tmp_path):
    clock = ManualTime()
    file = tmp_path / "token"
    file.write_text("first\n")
    path = write(tmp_path, config({"tokenFile": "token"}))
    session = Session(from_kubeconfig([path]).credentials, clock)

    async def token():
        return (await (await session.access()).headers())["Authorization"]

    assert await token() == "Bearer first"
    file.write_text("second")
    assert await token() == "Bearer first"
    await clock.advance(10)
    assert await token() == "Bearer second"
    file.write_text("third")
    refused = await session.access()
    await session.access(refused)
    assert await token() == "Bearer third"
    file.write_text("")
    with pytest.raises(ConfigurationError, match="empty"):
        await session.access(await session.access())


async def test_refusals_of_one_access_load_it_anew_once(tmp_path):
    entry = program(tmp_path, f"echo x >> {tmp_path / 'runs'}\n" + answer('{"token": "x"}'))
    session = Session(from_kubeconfig([write(tmp_path, config({"exec": entry}))]).credentials, ManualTime())
    first = await session.access()
    renewed = await asyncio.gather(*(session.access(first) for _ in range(5)))
    assert len((tmp_path / "runs").read_text().split()) == 2
    assert renewed == [await session.access()] * 5


async def test_no_key_stays_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pair = {"client-certificate-data": "eA==", "client-key-data": "eA=="}
    with pytest.raises(ConfigurationError):
        from_kubeconfig([write(tmp_path, config(pair, {"server": "https://h"}))])
    assert list((tmp_path / "temporary").iterdir()) == []
