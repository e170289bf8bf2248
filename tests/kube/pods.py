"""Pods as large as real ones of a model server, and what of them discovery needs."""

import asyncio
from typing import Any

import msgspec

from pilotage_kube.client import ApiClient
from pilotage_kube.resource import PODS

NAMES = [f"OPTION_{number:02}" for number in range(24)]


class Condition(msgspec.Struct):
    """One condition of a pod."""

    type: str
    status: str


class PodStatus(msgspec.Struct, rename="camel"):
    """Where it is and whether it is ready."""

    pod_ip: str = msgspec.field(name="podIP", default="")
    phase: str = ""
    conditions: list[Condition] = []


class PodMeta(msgspec.Struct, rename="camel"):
    """Whether it is being deleted, and its labels."""

    labels: dict[str, str] = {}
    deletion_timestamp: str | None = None


class Pod(msgspec.Struct):
    """What discovery keeps of a pod."""

    metadata: PodMeta
    status: PodStatus


def pod(number: int) -> dict[str, Any]:
    """Written by three managers, as a Deployment's pods are: about 7 KB when read back."""
    container = {
        "name": "vllm",
        "image": "registry.example/vllm/vllm-openai:v0.32.0",
        "args": ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--enable-lora", "--max-loras", "8"],
        "env": [{"name": name, "value": f"a value of {name}"} for name in NAMES],
        "ports": [{"containerPort": 8000, "name": "http"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "8", "memory": "64Gi"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10},
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("cache", "shm", "models")],
    }
    volumes = [{"name": name, "emptyDir": {}} for name in ("cache", "shm", "models")]
    return PODS.object(
        f"vllm-{number:05}",
        metadata={"labels": {"app": "vllm", "tier": "small"}},
        spec={"containers": [container], "volumes": volumes, "nodeName": f"node-{number % 100}"},
    )


def running(number: int) -> dict[str, Any]:
    """The status a kubelet writes."""
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    since = "2026-01-01T00:00:00Z"
    address = f"10.{number // 60000}.{number // 250 % 250}.{number % 250}"
    container = {
        "name": "vllm",
        "image": "registry.example/vllm/vllm-openai:v0.32.0",
        "imageID": "registry.example/vllm/vllm-openai@sha256:" + "0" * 64,
        "containerID": "containerd://" + "0" * 64,
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": since}},
    }
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": since,
        "conditions": [{"type": one, "status": "True", "lastTransitionTime": since} for one in kinds],
        "containerStatuses": [container],
    }


async def make_pods(client: ApiClient, namespace: str, count: int) -> None:
    """That many running pods, many at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            made = await client.create(PODS, pod(number), namespace)
            status = {"status": running(number)}
            await client.merge(PODS, made["metadata"]["name"], status, namespace, subresource="status")

    await asyncio.gather(*(work() for _ in range(16)))
