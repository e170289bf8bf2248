"""helm and kubectl as people use them, and what they render."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "pilotage"
Manifest = dict[str, Any]

EVERYTHING: dict[str, Any] = {
    "inferencePoolPorts": [9101, 9102],
    "settings": {"namespaces": ["models"], "kubernetes": {"watchNamespaces": ["shared"]}, "drainSeconds": 30},
    "extproc": {"autoscaling": {"enabled": True}, "selfSignedTls": True},
    "envoy": {
        "autoscaling": {"enabled": True},
        "tlsSecret": "gateway-tls",
        "service": {"type": "LoadBalancer", "port": 443},
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
}
"""Every switch on."""
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "hosted providers": {
        "settings": {"providers": {"hosts": ["api.openai.com"], "secretNamespaces": ["models"]}},
        "mutualTls": {"pickerSecret": "picker-tls", "envoySecret": "envoy-tls"},
    },
    "limits at a Valkey": {
        "settings": {"governance": {"store": {"valkey": {"address": "valkey:6379"}, "whenAway": "serve"}}},
        "store": {"valkeySecret": "valkey", "journalClaim": "journal"},
    },
    "a salt beside a Valkey": {
        "settings": {"governance": {"store": {"valkey": {"address": "valkey:6379"}}}},
        "store": {"valkeySecret": "valkey"},
        "kvSalt": {"secret": "salt", "key": "ours"},
    },
    "own weights": {"gainFile": {"configMap": "gain"}},
    "own weights in a Secret": {"gainFile": {"secret": "gain", "key": "ours"}},
    "API keys": {
        "settings": {
            "governance": {
                "identity": {
                    "apiKeys": {
                        "secretSelector": {"matchLabels": {"pilotage.dev/api-key": "true"}},
                        "secretNamespace": "keys",
                    }
                }
            }
        }
    },
    "tokens": {
        "settings": {
            "governance": {
                "identity": {
                    "jwt": {"issuer": "idp", "jwksUri": "https://idp.example/keys"},
                    "apiKeys": None,
                },
                "unmatched": "serve",
            }
        }
    },
    "IPv6": {"listenHost": "[::]"},
    "all namespaces": {"settings": {"namespaces": ["*"]}},
    "another gateway": {"envoy": {"enabled": False}},
    "bare": {
        "crds": {"install": False},
        "networkPolicy": {"enabled": False},
        "admin": {"existingSecret": "mine"},
        "extproc": {"podDisruptionBudget": {"enabled": False}, "topologySpread": False, "noticeSeconds": 0},
        "envoy": {"podDisruptionBudget": {"enabled": False}, "topologySpread": False},
    },
}


class CommandFailed(AssertionError):
    """A command that should have worked; what it said."""


def run(*command: str | Path, given: str | None = None) -> str:
    """A command's output. Raises CommandFailed with what it said."""
    done = subprocess.run(
        [str(one) for one in command], input=given, capture_output=True, text=True, timeout=100, check=False
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(str(one) for one in command[1:4])}…: {done.stdout}{done.stderr}")
    return done.stdout


@dataclass
class Helm:
    """helm for what needs no cluster."""

    assets: Path

    def lint(self, values: dict[str, Any]) -> str:
        """What `helm lint --strict` says. Raises CommandFailed."""
        return run(self.assets / "helm", "lint", "--strict", CHART, "-f", "-", given=json.dumps(values))

    def render(
        self, values: dict[str, Any], *, release: str = "pilotage", namespace: str = "gateway"
    ) -> list[Manifest]:
        """All objects of a release, hooks and tests included. Raises CommandFailed."""
        text = run(
            *(self.assets / "helm", "template", release, CHART, "--namespace", namespace, "-f", "-"),
            given=json.dumps(values),
        )
        return [one for one in yaml.safe_load_all(text) if one]


@dataclass
class ChartRig:
    """helm and kubectl on a cluster, as administrator."""

    assets: Path
    kubeconfig: Path

    def kubectl(self, *arguments: str | Path, given: str | None = None) -> str:
        """kubectl's output. Raises CommandFailed."""
        return run(self.assets / "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments, given=given)

    def get(self, *arguments: str) -> Any:
        """What `kubectl get -o json` finds."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def helm(self, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
        """helm's output. Raises CommandFailed."""
        given = () if values is None else ("-f", "-")
        return run(
            self.assets / "helm",
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
            *given,
            given=None if values is None else json.dumps(values),
        )


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """The objects of these kinds."""
    return [one for one in manifests if one["kind"] in kinds]


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Every pod that would run, `{metadata, spec}` by the name of what makes it."""
    found = {}
    for one in manifests:
        if one["kind"] == "Pod":
            found[one["metadata"]["name"]] = one
        elif "template" in one.get("spec", {}):
            found[one["metadata"]["name"]] = one["spec"]["template"]
    return found
