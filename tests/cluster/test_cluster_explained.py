"""`pilotage explain` and `check` against the cluster, with a user's own rights and nothing more."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from cluster_rig import GATEWAY, MODELS, ROOT, kubectl, part

PILOTAGE = Path(sys.executable).with_name("pilotage")
DOCUMENT = ROOT / "docs" / "chart.md"


@pytest.fixture
def user(gateway, tmp_path):
    """A kubeconfig of someone with exactly the rights that the documentation names."""
    manifest = DOCUMENT.read_text().split("<!-- explain role -->")[1].split("```yaml\n")[1].split("```")[0]
    kubectl("apply", "-n", GATEWAY, "-f", "-", given=manifest)
    kubectl(
        "apply",
        "-n",
        GATEWAY,
        "-f",
        "-",
        given="{apiVersion: v1, kind: ServiceAccount, metadata: {name: ann}}",
    )
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "ann"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pilotage-explain"},
        "subjects": [{"kind": "ServiceAccount", "name": "ann", "namespace": GATEWAY}],
    }
    kubectl("apply", "-n", GATEWAY, "-f", "-", given=json.dumps(binding))
    config = json.loads(kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": "ann", "user": {"token": kubectl("create", "token", "ann", "-n", GATEWAY)}}]
    config["contexts"] = [
        {"name": "ann", "context": {"cluster": config["clusters"][0]["name"], "user": "ann"}}
    ]
    config["current-context"] = "ann"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    kubectl("delete", "-n", GATEWAY, "role/pilotage-explain", "serviceaccount/ann")
    kubectl("delete", "-n", GATEWAY, "rolebinding/ann", "--ignore-not-found")


def pilotage(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(one) for one in (PILOTAGE, *words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def ask(gateway: str) -> str:
    """The id of a decision."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 2}
    request = urllib.request.Request(
        f"{gateway}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers["x-pilotage-decision"].split(";")[0]


def test_a_decision_is_explained_whichever_picker_made_it(gateway, user):
    made_by = {}
    for _ in range(40):
        decision = ask(gateway)
        made_by.setdefault(decision.rpartition("-")[0], decision)
    assert len(made_by) == len(part("extproc")) == 2
    for decision in made_by.values():
        told = pilotage(
            *(
                "explain",
                decision,
                "--kubeconfig",
                user,
                "--context",
                "ann",
                "-n",
                GATEWAY,
                "--output",
                "json",
            )
        )
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["decision"] == decision


def test_the_last_decision_is_found_among_all_pickers(gateway, user):
    decision = ask(gateway)
    told = pilotage("explain", "--kubeconfig", user, "--context", "ann", "-n", GATEWAY)
    assert told.returncode == 0, told.stderr
    assert decision in told.stdout
    assert f"{MODELS}/auto" in told.stdout


def test_without_rights_it_says_which_are_missing(gateway, user):
    kubectl("delete", "rolebinding", "ann", "-n", GATEWAY)
    told = pilotage("explain", "--kubeconfig", user, "--context", "ann", "-n", GATEWAY)
    assert told.returncode == 2
    assert "cannot list" in told.stderr


def test_check_tells_what_pickers_run(gateway):
    """With an administrator's rights: it reads the resources of all watched namespaces."""
    told = pilotage(
        "check", "--context", yaml.safe_load(kubectl("config", "view"))["current-context"], "-n", GATEWAY
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("4/4 servers ready") == 2
