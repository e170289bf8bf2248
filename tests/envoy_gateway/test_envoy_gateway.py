"""The Envoy Gateway example, run: every request goes to the server that Pilotage names."""

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import openai
import pytest
import yaml
from cluster_rig import CHART, EXAMPLES, ROOT, VALUES, get, kubectl, pods, run, until
from cluster_rig import NAMESPACE as NAMESPACE_MANIFEST

NAMESPACE = "attached"
NOT_INSTALLED = {"networking.istio.io", "networking.gke.io"}
EXAMPLE = ROOT / "examples" / "envoy-gateway"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """The URL of Envoy Gateway's proxy, with Pilotage attached."""
    subprocess.run([ROOT / "hack" / "envoy-gateway" / "setup", "install"], check=True, timeout=400)
    kubectl("apply", "-f", "-", given=NAMESPACE_MANIFEST.format(name=NAMESPACE))
    values = {key: value for key, value in VALUES.items() if key != "settings"} | {
        "envoy": {"enabled": False}
    }
    run(
        *("helm", "-n", NAMESPACE, "install", "pilotage", CHART, "--wait", "--timeout", "120s", "-f", "-"),
        given=json.dumps(values),
    )
    kubectl("apply", "-n", NAMESPACE, "-f", EXAMPLES)
    for deployment in ("llama-8b", "llama-70b"):
        kubectl("rollout", "status", "-n", NAMESPACE, f"deployment/{deployment}", "--timeout=120s")
    kinds = "modelpools,routepolicies"
    kubectl("wait", "-n", NAMESPACE, kinds, "--all", "--for=condition=Programmed", "--timeout=60s")
    kubectl("apply", "-n", NAMESPACE, "-f", EXAMPLE)
    for policy in ("envoyextensionpolicy/pilotage", "backendtrafficpolicy/pilotage"):
        path = "jsonpath={.status.ancestors[0].conditions[?(@.type=='Accepted')].status}=True"
        kubectl("wait", "-n", NAMESPACE, policy, f"--for={path}", "--timeout=60s")
    selector = f"gateway.envoyproxy.io/owning-gateway-namespace={NAMESPACE}"
    kubectl("rollout", "status", "-n", "envoy-gateway-system", "deployment", "-l", selector, "--timeout=120s")
    (service,) = get("services", "-n", "envoy-gateway-system", "-l", selector)["items"]
    url = f"http://{service['spec']['clusterIP']}:80"
    # at first Envoy answers 500 (Cluster_not_available) while it warms the picker's cluster
    until(lambda: answers(url), seconds=90)
    yield url
    kubectl("delete", "-n", NAMESPACE, "-f", EXAMPLE)
    run("helm", "-n", NAMESPACE, "uninstall", "pilotage", "--wait")
    kubectl("delete", "namespace", NAMESPACE, "--timeout=90s")


def answers(url: str) -> bool:
    body = {"model": "small", "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def served() -> Counter[str]:
    """Requests answered so far, by server, as the servers themselves count."""
    counts: Counter[str] = Counter()
    for app in ("llama-8b", "llama-70b"):
        for pod in pods(NAMESPACE, app=app):
            address = f"{pod['status']['podIP']}:8000"
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
                text = page.read().decode()
            found = re.findall(r"^vllm:request_success_total\{[^}]*\} (\S+)", text, re.MULTILINE)
            counts[address] = int(sum(float(one) for one in found))
    return counts


def picked() -> Counter[str]:
    """Decisions so far, by the server they name, as the pickers remember them."""
    secret = get("secret", "pilotage-admin", "-n", NAMESPACE)["data"]["token"]
    headers = {"Authorization": f"Bearer {base64.b64decode(secret).decode()}"}
    counts: Counter[str] = Counter()
    for pod in pods(NAMESPACE, **{"app.kubernetes.io/component": "extproc"}):
        url = f"http://{pod['status']['podIP']}:9003/decisions?limit=1000"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as page:
            for one in json.load(page)["decisions"]:
                counts[one["attempts"][0]["address"]] += 1
    return counts


def proxy_configuration() -> str:
    """What the proxy's Envoy runs, by its own word."""
    read = (
        "import urllib.request as r; print(r.urlopen('http://127.0.0.1:19000/config_dump').read().decode())"
    )
    selector = f"gateway.envoyproxy.io/owning-gateway-namespace={NAMESPACE}"
    (pod,) = get("pods", "-n", "envoy-gateway-system", "-l", selector)["items"]
    name = pod["metadata"]["name"]
    return kubectl("exec", "-n", "envoy-gateway-system", name, "-c", "envoy", "--", "python3", "-c", read)


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0, timeout=30)


def ask(client, model: str, number: int) -> str:
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": f"Question {number}: why is the sky blue?"}],
        max_tokens=4,
        stream=True,
    )
    return next(iter({chunk.model for chunk in chunks}))


@pytest.mark.parametrize("body_mode", ["Buffered", "FullDuplexStreamed"])
def test_requests_go_to_the_servers_that_pilotage_picks(gateway, client, body_mode):
    mode = {"op": "replace", "path": "/spec/extProc/0/processingMode/request/body", "value": body_mode}
    kubectl(
        *(
            "patch",
            "envoyextensionpolicy",
            "pilotage",
            "-n",
            NAMESPACE,
            "--type=json",
            "-p",
            json.dumps([mode]),
        )
    )
    wanted = {"Buffered": "BUFFERED", "FullDuplexStreamed": "FULL_DUPLEX_STREAMED"}[body_mode]
    until(lambda: f'"request_body_mode": "{wanted}"' in proxy_configuration(), seconds=30)
    until(lambda: answers(gateway), seconds=30)
    served_before, picked_before = served(), picked()
    models = Counter(ask(client, "auto", number) for number in range(12))
    assert models == {"meta-llama/Llama-3.1-8B-Instruct": 12}
    went, chose = served() - served_before, picked() - picked_before
    assert went == chose
    assert went.total() == 12
    assert len(went) > 1


def test_the_model_is_chosen_over_one_route(client):
    (strong,) = pods(NAMESPACE, app="llama-70b")
    before = served()
    assert ask(client, "strong", 1) == "meta-llama/Llama-3.3-70B-Instruct"
    assert served() - before == {f"{strong['status']['podIP']}:8000": 1}


def test_an_unknown_model_is_refused_by_pilotage(client):
    before = served()
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, "nobody", 1)
    assert refused.value.code == "model_not_found"
    assert served() == before


def test_a_client_cannot_name_a_server(client):
    (strong,) = pods(NAMESPACE, app="llama-70b")
    before = served()
    client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": "Let me choose."}],
        max_tokens=1,
        extra_headers={"x-gateway-destination-endpoint": f"{strong['status']['podIP']}:8000"},
    )
    assert f"{strong['status']['podIP']}:8000" not in served() - before


@pytest.mark.parametrize("name", ["istio", "agentgateway", "gke"])
def test_manifests_for_gateways_that_are_not_run_are_taken_by_the_crds(gateway, name):
    """Of the Gateway API, which Envoy Gateway has brought, and of the inference extension."""
    crds = ROOT / "tests" / "fixtures" / "gateway-api-inference-extension-1.5"
    kubectl("apply", "--server-side", "-f", crds)
    kubectl("wait", "--for=condition=Established", "crd/inferencepools.inference.networking.k8s.io")
    checked = set()
    for path in sorted((ROOT / "examples" / name).glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if "kind" not in manifest or manifest["apiVersion"].split("/")[0] in NOT_INSTALLED:
                continue
            kubectl("apply", "-n", NAMESPACE, "--dry-run=server", "-f", "-", given=json.dumps(manifest))
            checked.add(manifest["kind"])
    assert checked == {"Gateway", "HTTPRoute", "InferencePool"}
