"""The chart's gateway on the single-node cluster, as its users have it."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "pilotage"
EXAMPLES = ROOT / "examples" / "kubernetes"
GATEWAY = "gateway"
MODELS = "models"
VALUES: dict[str, Any] = {
    "image": {"tag": "dev", "pullPolicy": "Never"},
    "settings": {"namespaces": [MODELS], "decisionHeaders": "full"},
    # small enough for a node of two cores; all else is as the chart has it
    "operator": {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}},
    "extproc": {"resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}},
    "envoy": {"concurrency": 1, "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}},
}
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata:
  name: {name}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
"""


class CommandFailed(AssertionError):
    """A command that should have worked; what it said."""


def run(*command: str | Path, given: str | None = None, timeout: float = 420) -> str:
    """A command's output. Raises CommandFailed with what it said."""
    words = [str(one) for one in command]
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments: str | Path, given: str | None = None, timeout: float = 420) -> str:
    """kubectl's output. Raises CommandFailed."""
    return run("kubectl", *arguments, given=given, timeout=timeout)


def get(*arguments: str) -> Any:
    """What `kubectl get -o json` finds."""
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def helm(*arguments: str | Path, values: dict[str, Any] | None = None) -> str:
    """helm's output for the gateway's namespace. Raises CommandFailed."""
    given = () if values is None else ("-f", "-")
    return run(
        "helm", "-n", GATEWAY, *arguments, *given, given=None if values is None else json.dumps(values)
    )


def install(**more: Any) -> str:
    """Install the gateway, or bring it to these values; return when all of it is ready."""
    for name in (GATEWAY, MODELS):
        kubectl("apply", "-f", "-", given=NAMESPACE.format(name=name))
    return helm(
        *("upgrade", "--install", "pilotage", CHART, "--wait", "--timeout", "180s"), values={**VALUES, **more}
    )


def apply_examples() -> None:
    """Model servers, pools and policies of the examples; return when all is in force."""
    kubectl("apply", "-n", MODELS, "-f", EXAMPLES)
    for deployment in ("llama-8b", "llama-70b"):
        kubectl("rollout", "status", "-n", MODELS, f"deployment/{deployment}", "--timeout=120s")
    kinds = "modelpools,routepolicies"
    kubectl("wait", "-n", MODELS, kinds, "--all", "--for=condition=Programmed", "--timeout=60s")
    until(lambda: all(ready == total for ready, total in pool_counts().values()), seconds=60)


def pool_counts() -> dict[str, tuple[int, int]]:
    """Ready and known servers of each pool, as its status says."""
    return {
        one["metadata"]["name"]: (
            one.get("status", {}).get("endpoints", {}).get("ready", 0),
            one.get("status", {}).get("endpoints", {}).get("total", -1),
        )
        for one in get("modelpools", "-n", MODELS)["items"]
    }


def gateway_url() -> str:
    """Where clients in the cluster connect."""
    service = get("service", "pilotage-envoy", "-n", GATEWAY)["spec"]
    return f"http://{service['clusterIP']}:{service['ports'][0]['port']}"


def pods(namespace: str, **labels: str) -> list[dict[str, Any]]:
    """Pods with these labels that are not about to go."""
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found = get("pods", "-n", namespace, "-l", selector)["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def part(name: str) -> list[dict[str, Any]]:
    """Pods of a part of the gateway."""
    return pods(GATEWAY, **{"app.kubernetes.io/component": name})


def kill(pod: dict[str, Any]) -> None:
    """SIGKILL to what runs in a pod, as a crash or the kernel's lack of memory would."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    socket = Path(os.environ["KUBECONFIG"]).with_name("containerd.sock")
    run("ctr", "-a", socket, "-n", "k8s.io", "task", "kill", "--signal", "SIGKILL", container)


def until(true: Callable[[], bool], *, seconds: float, told: Callable[[], object] = str) -> None:
    """Wait for something. Raises AssertionError, with what `told` says, when it does not come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true within {seconds:g} s: {told()}"
        time.sleep(0.2)
