"""Installed, configured, asked: what a new user does, on a real node."""

import re
import urllib.request

import openai
import pytest
from cluster_rig import (
    EXAMPLES,
    GATEWAY,
    MODELS,
    CommandFailed,
    get,
    helm,
    kubectl,
    part,
    pods,
)


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0, timeout=30)


def test_the_openai_client_streams_an_answer_from_a_pod_that_pilotage_picked(client):
    servers = {f"{one['status']['podIP']}:8000" for one in pods(MODELS, app="llama-8b")}
    with client.chat.completions.with_streaming_response.create(
        model="auto",
        messages=[{"role": "user", "content": "Why is the sky blue?"}],
        max_tokens=16,
        stream=True,
    ) as raw:
        picked = re.search(r"endpoint=([^;]+)", raw.headers["x-pilotage-decision"])
        chunks = list(raw.parse())
    assert picked and picked[1] in servers
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert {chunk.model for chunk in chunks} == {"meta-llama/Llama-3.1-8B-Instruct"}
    # and it is that pod that has answered: its own counters say so
    with urllib.request.urlopen(f"http://{picked[1]}/metrics", timeout=10) as metrics:
        page = metrics.read().decode()
    served = re.findall(r"^vllm:request_success_total\{[^}]*\} (\S+)", page, re.MULTILINE)
    assert sum(float(one) for one in served) >= 1


def test_a_policy_sends_a_header_to_the_other_pool(client):
    (server,) = pods(MODELS, app="llama-70b")
    answer = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=[{"role": "user", "content": "Why?"}],
        max_tokens=4,
        extra_headers={"x-tier": "premium"},
    )
    assert f"endpoint={server['status']['podIP']}:8000" in answer.headers["x-pilotage-decision"]


def test_kubectl_shows_at_a_glance_that_it_works(gateway):
    told = kubectl("get", "modelpools,routepolicies", "-n", MODELS)
    rows = {line.split()[0]: line for line in told.splitlines() if "/" in line}
    assert "3/3" in rows["modelpool.pilotage.dev/small"]
    assert "meta-llama/Llama-3.1-8B-Instruct" in rows["modelpool.pilotage.dev/small"]
    assert "1/1" in rows["modelpool.pilotage.dev/strong"]
    assert "small,strong" in rows["routepolicy.pilotage.dev/auto"]
    assert all(" True " in row and "Programmed" in row and "False" not in row for row in rows.values())


def test_helm_test_passes(gateway):
    assert "Succeeded" in helm("test", "pilotage", "--timeout", "60s")


def test_every_pod_is_restricted_with_an_account_of_its_own(gateway):
    labels = get("namespace", GATEWAY)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    accounts = set()
    for name in ("operator", "extproc", "envoy"):
        for pod in part(name):
            accounts.add(pod["spec"]["serviceAccountName"])
            with pytest.raises(CommandFailed, match="Read-only file system"):
                kubectl("exec", "-n", GATEWAY, pod["metadata"]["name"], "--", "touch", "/opt/pilotage/mine")
            assert (
                kubectl("exec", "-n", GATEWAY, pod["metadata"]["name"], "--", "id", "-u").strip() == "65532"
            )
    assert accounts == {f"pilotage-{name}" for name in ("operator", "extproc", "envoy")}


@pytest.mark.parametrize(
    ("account", "namespace", "action", "may"),
    [
        ("extproc", MODELS, ("list", "pods"), True),
        ("extproc", GATEWAY, ("get", "secrets"), False),
        ("extproc", MODELS, ("get", "secrets"), False),
        ("extproc", "kube-system", ("list", "pods"), False),
        ("extproc", MODELS, ("patch", "modelpools"), False),
        ("operator", MODELS, ("patch", "modelpools", "--subresource=status"), True),
        ("operator", MODELS, ("patch", "modelpools"), False),
        ("operator", GATEWAY, ("get", "secrets"), False),
        ("operator", "kube-system", ("list", "configmaps"), False),
        ("envoy", GATEWAY, ("list", "pods"), False),
        ("envoy", GATEWAY, ("get", "configmaps"), False),
    ],
)
def test_an_account_may_do_its_own_work_and_nothing_else(gateway, account, namespace, action, may):
    who = f"--as=system:serviceaccount:{GATEWAY}:pilotage-{account}"
    try:
        told = kubectl("auth", "can-i", *action, "-n", namespace, who)
    except CommandFailed as failed:
        told = str(failed)
    assert ("yes" in told.split()) == may


def test_a_mistake_is_told_where_it_was_made_and_the_last_good_form_stays(client):
    text = (EXAMPLES / "policies.yaml").read_text().split("---")[0]
    kubectl("apply", "-n", MODELS, "-f", "-", given=text.replace("model: small", "model: smal"))
    kubectl("wait", "-n", MODELS, "routepolicy/auto", "--for=condition=ResolvedRefs=False", "--timeout=20s")
    conditions = {
        one["type"]: one for one in get("routepolicy", "auto", "-n", MODELS)["status"]["conditions"]
    }
    assert "smal" in conditions["ResolvedRefs"]["message"]
    kubectl("apply", "-n", MODELS, "-f", "-", given=text)
    kubectl("wait", "-n", MODELS, "routepolicy/auto", "--for=condition=ResolvedRefs", "--timeout=20s")
