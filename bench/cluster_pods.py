"""Thousands of pods in a real API server, whose kubelet is the benchmark.

As a program it lets pods come and go: python -m bench.cluster_pods KUBECONFIG SECONDS.
"""

import asyncio
import sys
from collections import deque
from pathlib import Path
from typing import Any

from pilotage_kube.client import ApiClient
from pilotage_kube.connection import from_kubeconfig
from pilotage_kube.resource import PODS

NAMESPACE = "default"
_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_SINCE = "2026-01-01T00:00:00Z"


def name_of(number: int) -> str:
    return f"vllm-{number:05}"


def pod(number: int) -> dict[str, Any]:
    """As large as a model server's: about 7 KB when read back."""
    container = {
        "name": "vllm",
        "image": "registry.example/vllm/vllm-openai:v0.32.0",
        "args": ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--enable-lora", "--max-loras", "8"],
        "env": [{"name": f"OPTION_{one:02}", "value": f"a value of {one}"} for one in range(24)],
        "ports": [{"containerPort": 8000, "name": "http"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "8", "memory": "64Gi"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10},
        "volumeMounts": [{"name": one, "mountPath": f"/{one}"} for one in ("cache", "shm", "models")],
    }
    volumes: list[dict[str, Any]] = [{"name": one, "emptyDir": {}} for one in ("cache", "shm", "models")]
    labels = {"app": "vllm", "tier": "small", "pod-template-hash": "5d4c7b9f6d", "team": "search"}
    return PODS.object(
        name_of(number),
        metadata={"labels": labels},
        spec={"containers": [container], "volumes": volumes, "nodeName": f"node-{number % 100}"},
    )


def running(number: int, *, ready: bool = True) -> dict[str, Any]:
    """The status a kubelet writes."""
    address = f"10.{number // 60000}.{number // 250 % 240}.{number % 250 + 1}"
    container = {
        "name": "vllm",
        "image": "registry.example/vllm/vllm-openai:v0.32.0",
        "imageID": "registry.example/vllm/vllm-openai@sha256:" + "0" * 64,
        "containerID": "containerd://" + "0" * 64,
        "ready": ready,
        "restartCount": 0,
        "state": {"running": {"startedAt": _SINCE}},
    }
    word = "True" if ready else "False"
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": _SINCE,
        "conditions": [
            {"type": one, "status": word if one == "Ready" else "True", "lastTransitionTime": _SINCE}
            for one in _CONDITIONS
        ],
        "containerStatuses": [container],
    }


async def make(client: ApiClient, numbers: range) -> None:
    """Running pods, many at a time."""
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await client.create(PODS, pod(number), NAMESPACE)
            await say(client, number)

    await asyncio.gather(*(work() for _ in range(16)))


async def say(client: ApiClient, number: int, *, ready: bool = True) -> None:
    """Write a pod's status."""
    status = {"status": running(number, ready=ready)}
    await client.merge(PODS, name_of(number), status, NAMESPACE, subresource="status")


async def remove(client: ApiClient, number: int) -> None:
    """End a pod at once."""
    path = PODS.path(NAMESPACE, name_of(number))
    await client.request("DELETE", path, body={"gracePeriodSeconds": 0})


async def churn(client: ApiClient, a_second: float, seconds: float) -> int:
    """For so long: a pod goes, another comes and becomes ready, so many changes of pods a second.

    A replaced pod is three changes: gone, created, ready. Returns how many were made.
    """
    found = await client.list_metadata(PODS, NAMESPACE)
    there = deque(sorted(int(meta.name.rpartition("-")[2]) for meta in found))
    newest = there[-1]
    loop = asyncio.get_running_loop()
    began, changes = loop.time(), 0
    while loop.time() - began < seconds:
        due = began + changes / a_second
        await asyncio.sleep(max(0.0, due - loop.time()))
        newest += 1
        await remove(client, there.popleft())
        await client.create(PODS, pod(newest), NAMESPACE)
        await say(client, newest)
        changes += 3
    return changes


async def _main(kubeconfig: Path, seconds: float) -> None:
    async with ApiClient(from_kubeconfig([kubeconfig]), timeout_seconds=120) as client:
        await churn(client, 50, seconds)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), float(sys.argv[2])))
