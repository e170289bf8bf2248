"""Who a real API server takes us for: impersonation, programs, certificates, names."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certificates import Authority
from extproc_rig import Pods

from pilotage_kube.client import ApiClient
from pilotage_kube.clock import ManualTime
from pilotage_kube.connection import Connection, from_kubeconfig
from pilotage_kube.errors import ApiError, ConfigurationError, Forbidden, Unauthorized, Unreachable
from pilotage_kube.kubeconfig import Kubeconfig
from pilotage_kube.port_forward import forwarded
from pilotage_kube.resource import CONFIG_MAPS, ResourceType

SELF = ResourceType("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview")
VERSION = "client.authentication.k8s.io/v1"


async def who(client: ApiClient) -> dict[str, object]:
    """What the API server knows of the caller."""
    body = {"apiVersion": SELF.api_version, "kind": SELF.kind}
    return (await client.create(SELF, body))["status"]["userInfo"]


def program(folder: Path, script: str) -> dict[str, object]:
    """An exec entry for a shell script."""
    path = folder / "login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": VERSION, "command": "./login"}}


def says(**status: str) -> str:
    told = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}
    return f"cat <<'END'\n{json.dumps(told)}\nEND"


@pytest.fixture
def as_user(control_plane, tmp_path):
    """A connection for this user of a kubeconfig; more is said of the cluster."""

    def connection(user: dict[str, object], **cluster: object) -> Connection:
        control_plane.write_kubeconfig(tmp_path / "config", user, **cluster)
        return from_kubeconfig([tmp_path / "config"])

    return connection


async def test_impersonation_is_sent_whole_and_gives_no_more_rights_than_asked(control_plane, as_user):
    user = {"token": control_plane.token, "as": "jane", "as-uid": "7", "as-groups": ["dev", "ops"]}
    extra = {"example.dev/scopes": ["a", "b"]}
    async with ApiClient(as_user({**user, "as-user-extra": extra})) as client:
        found = await who(client)
        assert (found["username"], found["uid"], found["extra"]) == ("jane", "7", extra)
        assert {"dev", "ops"} <= set(found["groups"])
        with pytest.raises(Forbidden, match="jane"):
            await client.list_all(CONFIG_MAPS, "default")
        with pytest.raises(Forbidden, match="jane"):
            async with forwarded(client, "default", "one", 80):
                pass


async def test_a_program_that_fails_is_an_error_and_nobody_asks_anonymously(as_user, tmp_path):
    async with ApiClient(as_user(program(tmp_path, "echo 'session expired' >&2; exit 1"))) as client:
        with pytest.raises(ConfigurationError, match="session expired"):
            await client.list_all(CONFIG_MAPS, "default")


async def test_a_program_that_hangs_is_an_error_and_is_asked_again(control_plane, as_user, tmp_path):
    as_user(program(tmp_path, "exec sleep 100"))
    found = Kubeconfig([tmp_path / "config"], exec_timeout_seconds=2)
    async with ApiClient(Connection(found.server, found.namespace, found)) as client:
        with pytest.raises(ConfigurationError, match="does not end"):
            await client.list_all(CONFIG_MAPS, "default")
        program(tmp_path, says(token=control_plane.token))
        assert (await who(client))["username"] == "admin"


async def test_a_program_is_asked_again_after_a_refusal(control_plane, as_user, tmp_path):
    async with ApiClient(as_user(program(tmp_path, says(token="stale")))) as client:
        with pytest.raises(Unauthorized):
            await who(client)
        program(tmp_path, says(token=control_plane.token))
        assert (await who(client))["username"] == "admin"


async def test_a_programs_certificates_are_renewed_and_what_runs_on_old_ones_goes_on(
    start_control_plane, tmp_path
):
    authority = Authority()
    (tmp_path / "clients.crt").write_text(authority.certificate)
    plane = start_control_plane(f"--client-ca-file={tmp_path / 'clients.crt'}")
    clock = ManualTime()

    def hand_out(name: str, **more: str) -> dict[str, object]:
        certificate, key = authority.issue(name, "system:masters", timedelta(hours=1))
        return program(tmp_path, says(clientCertificateData=certificate, clientKeyData=key, **more))

    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    plane.write_kubeconfig(tmp_path / "config", hand_out("first", expirationTimestamp=ends))
    async with ApiClient(from_kubeconfig([tmp_path / "config"]), clock=clock) as client:
        assert (await who(client))["username"] == "first"
        opened = asyncio.Event()
        watch = client.watch(CONFIG_MAPS, "default", resource_version="0", on_open=opened.set)
        event = asyncio.ensure_future(anext(watch))
        await opened.wait()
        hand_out("second")
        assert (await who(client))["username"] == "first"
        await clock.advance(3600)
        assert (await who(client))["username"] == "second"
        await client.create(CONFIG_MAPS, CONFIG_MAPS.object("one"), "default")
        assert (await event).type in {"ADDED", "BOOKMARK"}
        await watch.aclose()
        assert (await who(client))["username"] == "second"


async def test_an_expired_certificate_is_renewed_after_its_refusal(start_control_plane, tmp_path):
    authority = Authority()
    (tmp_path / "clients.crt").write_text(authority.certificate)
    plane = start_control_plane(f"--client-ca-file={tmp_path / 'clients.crt'}")

    def files(name: str, lifetime: timedelta) -> dict[str, object]:
        certificate, key = authority.issue(name, "system:masters", lifetime)
        pair = {"client-certificate-data": certificate, "client-key-data": key}
        return {field: base64.b64encode(text.encode()).decode() for field, text in pair.items()}

    plane.write_kubeconfig(tmp_path / "config", files("short", timedelta(seconds=3)))
    async with ApiClient(from_kubeconfig([tmp_path / "config"])) as client:
        while True:
            try:
                assert (await who(client))["username"] == "short"
                await asyncio.sleep(0.1)
            except (Unauthorized, Unreachable):
                break
        plane.write_kubeconfig(tmp_path / "config", files("long", timedelta(hours=1)))
        assert (await who(client))["username"] == "long"


async def test_the_servers_certificate_may_be_for_another_name(control_plane, client, namespace, as_user):
    await Pods(client, namespace).add("one", "10.0.0.1")
    user = {"token": control_plane.token}
    async with ApiClient(as_user(user, **{"tls-server-name": "kubernetes.default.svc"})) as named:
        assert (await who(named))["username"] == "admin"
        with pytest.raises(ApiError, match="node"):
            async with forwarded(named, namespace, "one", 9003):
                pass
    async with ApiClient(as_user(user, **{"tls-server-name": "another.example"})) as misnamed:
        with pytest.raises(Unreachable, match=r"another\.example"):
            await who(misnamed)
        with pytest.raises(Unreachable, match=r"another\.example"):
            async with forwarded(misnamed, namespace, "one", 9003):
                pass
