"""Credentials of providers in a cluster: Secrets of a real API server, and who is told of them."""

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from certificates import Authority
from envoy.service.discovery.v3 import discovery_pb2
from extproc_rig import picker_in, snapshot_with
from waiting import until

from pilotage_api.external_snapshot import (
    CredentialSnapshot,
    ExternalSnapshot,
    ProviderDialect,
    SecretKeySnapshot,
)
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.envoy import contract as names
from pilotage_kube.resource import SECRETS

HOST = "8.8.8.8"
"""Public, and never asked: no request is made here."""


def hosted(namespace: str, *, secret: str = "openai", host: str = HOST, credential=None) -> PoolSnapshot:
    named = SecretKeySnapshot(namespace=namespace, name=secret, key="token")
    return PoolSnapshot(
        key=f"{namespace}/hosted",
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=("gpt-x",),
        external=ExternalSnapshot(
            host=host,
            port=443,
            dialect=ProviderDialect.OPENAI,
            credential=credential
            or CredentialSnapshot(header="authorization", prefix="Bearer ", secret=named),
        ),
    )


def secret_of(name: str, token: str | None, *, hosts: str = HOST, kind: str = "pilotage.dev/provider"):
    data = {} if token is None else {"token": base64.b64encode(token.encode()).decode()}
    metadata = {"annotations": {"pilotage.dev/hosts": hosts}}
    return SECRETS.object(name, metadata=metadata, type=kind, data=data)


class Certificates:
    """Of picker and Envoy, as files and as a gRPC client uses them."""

    def __init__(self, folder) -> None:
        self.authority = Authority()
        self._folder = folder
        (folder / "ca.pem").write_text(self.authority.certificate)

    def settings(self) -> dict:
        envoy = {"caFile": str(self._folder / "ca.pem"), **self._files("pilotage-envoy")}
        return {"extproc": self._files("pilotage-extproc"), "envoy": envoy}

    def _files(self, name: str) -> dict[str, str]:
        certificate, key = self.authority.issue(name, "tests", timedelta(days=1), hosts=[name])
        (self._folder / f"{name}.pem").write_text(certificate)
        (self._folder / f"{name}.key").write_text(key)
        return {"certFile": str(self._folder / f"{name}.pem"), "keyFile": str(self._folder / f"{name}.key")}


@asynccontextmanager
async def resources(address: str, authority: Authority, shown: tuple[str, str] | None):
    """What a caller with this certificate gets of a type, whatever it asks for."""
    chain = None if shown is None else shown[0].encode()
    key = None if shown is None else shown[1].encode()
    credentials = grpc.ssl_channel_credentials(authority.certificate.encode(), key, chain)
    options = (("grpc.ssl_target_name_override", "pilotage-extproc"),)
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        stream = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
        )
        metadata = ((names.CONTRACT_HEADER, names.CONTRACT), (names.ENVOY_HEADER, "e"))

        async def ask(kind: str) -> list[bytes]:
            call = stream(metadata=metadata)
            await call.write(discovery_pb2.DiscoveryRequest(type_url=kind))
            async with asyncio.timeout(30):
                answer = await call.read()
            call.cancel()
            return [one.value for one in answer.resources]

        yield ask


PROVIDERS = {"hosts": [HOST]}


@asynccontextmanager
async def picker(control_plane, client, namespace, tmp_path, **more):
    certificates = Certificates(tmp_path)
    settings = {
        "tls": certificates.settings(),
        "providers": {**PROVIDERS, "secretNamespaces": [namespace]},
        **more,
    }
    async with picker_in(control_plane.connection(), client, namespace, **settings) as cluster:
        yield cluster, certificates


def problem(cluster, namespace: str):
    return cluster.runtime.providers.problems().get(f"{namespace}/hosted")


async def test_only_an_envoy_that_proves_its_name_is_told_the_credential(
    control_plane, client, namespace, tmp_path
):
    await client.create(SECRETS, secret_of("openai", "sk-SECRET\n"), namespace)
    async with picker(control_plane, client, namespace, tmp_path) as (cluster, certificates):
        await cluster.publisher.publish(snapshot_with(hosted(namespace)))
        await cluster.ready()
        await until(lambda: problem(cluster, namespace) is None, 10, "the provider can be used")
        address, authority = cluster.picker.server.address, certificates.authority
        envoy = authority.issue("pilotage-envoy", "tests", timedelta(days=1), hosts=["pilotage-envoy"])
        somebody = authority.issue("somebody", "tests", timedelta(days=1), hosts=["somebody"])
        async with resources(address, authority, envoy) as ask:
            [secret] = await ask(names.SECRET_TYPE)
            assert b"sk-SECRET" in secret
            assert b"\n" not in secret.partition(b"sk-SECRET")[2]
        stranger = Authority().issue("pilotage-envoy", "tests", timedelta(days=1), hosts=["pilotage-envoy"])
        for shown in (somebody, None, stranger):
            async with resources(address, authority, shown) as ask:
                with pytest.raises(grpc.aio.AioRpcError):
                    await ask(names.SECRET_TYPE)
        assert "SECRET" not in cluster.picker.server.view.snapshot().decode()
        assert "SECRET" not in cluster.picker.server.view.endpoints().decode()


async def test_a_secret_that_comes_late_changes_or_goes_is_followed_within_five_seconds(
    control_plane, client, namespace, tmp_path
):
    async with picker(control_plane, client, namespace, tmp_path) as (cluster, certificates):
        await cluster.publisher.publish(snapshot_with(hosted(namespace)))
        await cluster.ready()
        await until(lambda: problem(cluster, namespace) is not None, 10, "it cannot be used")
        assert problem(cluster, namespace).reason in ("CredentialMissing", "SecretsNotSeen")
        await client.create(SECRETS, secret_of("openai", "sk-1"), namespace)
        await until(lambda: problem(cluster, namespace) is None, 5, "it can be used")
        authority = certificates.authority
        envoy = authority.issue("pilotage-envoy", "tests", timedelta(days=1), hosts=["pilotage-envoy"])
        rotated = base64.b64encode(b"sk-2").decode()
        await client.merge(SECRETS, "openai", {"data": {"token": rotated}}, namespace)
        async with resources(cluster.picker.server.address, authority, envoy) as ask, asyncio.timeout(30):
            while b"sk-2" not in b"".join(await ask(names.SECRET_TYPE)):
                await asyncio.sleep(0.05)
        await client.delete(SECRETS, "openai", namespace)
        await until(lambda: problem(cluster, namespace) is not None, 5, "it cannot be used any more")


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (secret_of("openai", "sk-1", hosts="api.other.example"), "HostNotPermitted"),
        (secret_of("openai", "sk-1", hosts=""), "HostNotPermitted"),
        (secret_of("openai", ""), "CredentialMissing"),
        (secret_of("openai", "a\nb"), "CredentialMissing"),
        (secret_of("openai", None), "CredentialMissing"),
        (secret_of("openai", "sk-1", kind="Opaque"), "CredentialMissing"),
    ],
)
async def test_a_secret_that_is_not_for_the_host_or_cannot_be_used_is_not_sent(
    control_plane, client, namespace, tmp_path, secret, reason
):
    await client.create(SECRETS, secret, namespace)
    async with picker(control_plane, client, namespace, tmp_path) as (cluster, _):
        await cluster.publisher.publish(snapshot_with(hosted(namespace)))
        await cluster.ready()

        def found() -> bool:
            one = problem(cluster, namespace)
            return one is not None and one.reason == reason

        await until(found, 10, f"{reason}, not {problem(cluster, namespace)}")
        assert any(
            one.reason == reason and one.resource == f"ModelPool {namespace}/hosted"
            for one in cluster.follower._refusals()
        )


@pytest.mark.parametrize(
    ("more", "pool", "reason"),
    [
        ({"tls": {}}, {}, "TlsNotMutual"),
        ({"providers": PROVIDERS}, {}, "NamespaceNotListed"),
        ({"providers": {"hosts": ["api.openai.com"]}}, {}, "HostNotAllowed"),
        (
            {"providers": {"hosts": ["127.0.0.1"], "networks": ["127.0.0.0/8"]}},
            {"host": "127.0.0.1"},
            "HostNotAllowed",
        ),
        (
            {},
            {"credential": CredentialSnapshot(header="authorization", prefix="", file="/etc/passwd")},
            "NotFromSecret",
        ),
        (
            {},
            {"credential": CredentialSnapshot(header="authorization", prefix="", env="HOME")},
            "NotFromSecret",
        ),
    ],
)
async def test_what_the_settings_do_not_allow_is_not_programmed_and_says_why(
    control_plane, client, namespace, tmp_path, more, pool, reason
):
    await client.create(SECRETS, secret_of("openai", "sk-1"), namespace)
    async with picker(control_plane, client, namespace, tmp_path, **more) as (cluster, _):
        await cluster.publisher.publish(snapshot_with(hosted(namespace, **pool)))
        await cluster.ready()
        await until(lambda: problem(cluster, namespace) is not None, 10, reason)
        assert problem(cluster, namespace).reason == reason
