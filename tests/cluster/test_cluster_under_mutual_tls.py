"""A hosted provider in a cluster: its Secret rotated under load, and a stranger at the pickers' port."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from certificates import Authority
from cluster_rig import GATEWAY, MODELS, VALUES, get, install, kubectl, part, until

from load import Load

PROVIDER_POD = Path(__file__).with_name("provider_pod.py")
WITHIN_SECONDS = 5.0
"""From a Secret's change to its use."""


def apply(*objects: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "-f", "-", given=json.dumps(items))


def secret(name: str, namespace: str, data: dict[str, str], **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data, **more}


def issued(authority: Authority, name: str) -> dict[str, str]:
    certificate, key = authority.issue(name, "tests", timedelta(days=1), hosts=[name])
    return {"ca.crt": authority.certificate, "tls.crt": certificate, "tls.key": key}


def credential(key: str, host: str) -> dict[str, Any]:
    allowed = {"annotations": {"pilotage.dev/hosts": host}}
    return secret("hosted", MODELS, {"token": key}, metadata=allowed, type="pilotage.dev/provider")


def service() -> dict[str, Any]:
    spec = {"selector": {"app": "provider"}, "ports": [{"port": 443, "targetPort": 8443}]}
    metadata = {"name": "provider", "namespace": MODELS}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def pod() -> list[dict[str, Any]]:
    script = {"provider_pod.py": PROVIDER_POD.read_text()}
    metadata = {"name": "provider", "namespace": MODELS}
    container = {
        "name": "provider",
        "image": "localhost/pilotage:dev",
        "imagePullPolicy": "Never",
        "command": ["python", "/etc/script/provider_pod.py"],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "script", "mountPath": "/etc/script"},
            {"name": "files", "mountPath": "/etc/provider"},
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "script", "configMap": {"name": "provider"}},
            {"name": "files", "secret": {"secretName": "provider-tls", "defaultMode": 0o440}},
        ],
    }
    labelled = {**metadata, "labels": {"app": "provider"}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": script},
        {"apiVersion": "v1", "kind": "Pod", "metadata": labelled, "spec": spec},
    ]


def pool(host: str, authority: Authority) -> dict[str, Any]:
    external = {
        "host": host,
        "tls": {"caBundle": authority.certificate},
        "auth": {"secretRef": {"name": "hosted"}},
    }
    spec = {"external": external, "models": [{"name": "hosted-model", "aliases": ["hosted"]}]}
    metadata = {"name": "hosted", "namespace": MODELS}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": metadata,
        "spec": spec,
    }


@pytest.fixture(scope="module")
def provider(gateway: str) -> Iterator[str]:
    """The address of a provider that the gateway asks with the credential `sk-first`, over mutual TLS."""
    authority, its_own = Authority(), Authority()
    apply(service())
    host = get("service", "provider", "-n", MODELS)["spec"]["clusterIP"]
    apply(
        secret("picker-tls", GATEWAY, issued(authority, "pilotage-extproc")),
        secret("envoy-tls", GATEWAY, issued(authority, "pilotage-envoy")),
        secret("provider-tls", MODELS, {**issued(its_own, host), "ca.crt": authority.certificate}),
        credential("sk-first", host),
        *pod(),
    )
    providers = {"hosts": [host], "networks": [f"{host}/32"], "secretNamespaces": [MODELS]}
    install(
        mutualTls={"pickerSecret": "picker-tls", "envoySecret": "envoy-tls"},
        settings={**VALUES["settings"], "providers": providers},
    )
    apply(pool(host, its_own))
    kubectl("wait", "-n", MODELS, "pod/provider", "--for=condition=Ready", "--timeout=60s")
    kubectl("wait", "-n", MODELS, "modelpool/hosted", "--for=condition=Programmed", "--timeout=60s")
    yield host
    kubectl("delete", "-n", MODELS, "modelpool/hosted", "service/provider", "pod/provider", "--wait=false")
    rest = ("configmap/provider", "secret/hosted", "secret/provider-tls")
    kubectl("delete", "-n", MODELS, *rest, "--ignore-not-found")
    kubectl("delete", "-n", GATEWAY, "secret/picker-tls", "secret/envoy-tls")  # what runs has read them


async def asked(host: str, path: str) -> Any:
    """What the provider's pod itself says."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://{host}{path}", ssl=False) as answer,
    ):
        return await answer.json()


async def test_a_credential_is_rotated_under_load_and_no_stream_notices(gateway, provider):
    async with Load(gateway, model="hosted") as load:
        assert set(await asked(provider, "/keys")) == {"Bearer sk-first"}
        for key in ("sk-second", "sk-third"):
            await asyncio.to_thread(apply, credential(key, provider))
            since = time.time()
            await load.more(4 * 6)  # the last of them began more than WITHIN_SECONDS later
            assert time.time() - since > WITHIN_SECONDS
            seen = await asked(provider, "/keys")
            assert f"Bearer {key}" in seen
            late = {old: at - since for old, at in seen.items() if old != f"Bearer {key}"}
            assert all(seconds < WITHIN_SECONDS for seconds in late.values()), late
    assert load.count("answered") > 40
    assert load.count("lost") == 0, load.told()
    assert load.count("cut") == 0, load.told()
    assert set(await asked(provider, "/keys")) == {f"Bearer sk-{one}" for one in ("first", "second", "third")}


async def test_a_secret_that_goes_and_comes_again_stops_the_provider_and_nothing_else(gateway, provider):
    def programmed() -> str:
        conditions = get("modelpool", "hosted", "-n", MODELS)["status"]["conditions"]
        return next(one.get("message") or one["status"] for one in conditions if one["type"] == "Programmed")

    def is_in_force() -> bool:
        conditions = get("modelpool", "hosted", "-n", MODELS)["status"]["conditions"]
        return any((one["type"], one["status"]) == ("Programmed", "True") for one in conditions)

    kubectl("delete", "-n", MODELS, "secret/hosted")
    missing = f"there is no Secret {MODELS}/hosted"
    await asyncio.to_thread(until, lambda: missing in programmed(), seconds=30, told=programmed)
    apply(credential("sk-fourth", provider))
    await asyncio.to_thread(until, is_in_force, seconds=30, told=programmed)
    async with asyncio.timeout(20):  # pickers report every few seconds
        while "Bearer sk-fourth" not in await asked(provider, "/keys"):
            async with Load(gateway, model="hosted", clients=1) as load:
                await load.more(1)
    assert load.count("answered") > 0, load.told()


async def test_a_stranger_pod_at_the_pickers_port_gets_nothing(provider):
    for picker in part("extproc"):
        answers = await asked(provider, f"/stranger?at={picker['status']['podIP']}:9002")
        assert len(answers) > 6
        assert set(answers.values()) == {"UNAUTHENTICATED"}, answers


def test_no_credential_is_shown_anywhere(gateway, provider):
    def said(pod: dict[str, Any], *arguments: str) -> str:
        return kubectl(arguments[0], "-n", GATEWAY, pod["metadata"]["name"], *arguments[1:])

    objects = kubectl("get", "configmaps,leases,modelpools,routepolicies,events", "-A", "-o", "json")
    logs = [said(one, "logs") for name in ("extproc", "envoy", "operator") for one in part(name)]
    dump = "from urllib.request import urlopen as u; print(u('http://127.0.0.1:9901/config_dump').read())"
    dumps = [said(one, "exec", "--", "python", "-c", dump) for one in part("envoy")]
    assert all(provider in one for one in dumps), "Envoy has the provider's cluster"
    told = "".join((objects, *logs, *dumps))
    assert [key for key in ("sk-first", "sk-second", "sk-third", "sk-fourth") if key in told] == []
