"""The chart against a real API server: nothing runs there, but every object is checked and stored."""

import base64
import shutil
from pathlib import Path

import pytest
import yaml
from helm_rig import CHART, EVERYTHING, ROOT, VARIANTS, CommandFailed

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: kept}
spec:
  selector: {matchLabels: {app: vllm}}
  targetPorts: [8000]
  models: [{name: tiny}]
"""
# the Prometheus operator's kinds are not built in: without them nothing could be stored
MONITORING_CRDS = "\n---\n".join(
    f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  names: {{kind: {kind}, plural: {plural}, singular: {kind.lower()}, listKind: {kind}List}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
    for kind, plural in (("ServiceMonitor", "servicemonitors"), ("PrometheusRule", "prometheusrules"))
)


@pytest.fixture
def namespace(rig, request):
    """A fresh one with one release at most."""
    name = f"ns-{abs(hash(request.node.name)) % 10**8}"
    rig.kubectl("create", "namespace", name)
    yield name
    for release in yaml.safe_load(rig.helm("list", "--namespace", name, "-o", "json")) or []:
        rig.helm("uninstall", release["name"], "--namespace", name)


def changed_chart(tmp_path: Path, version: str, field: str) -> Path:
    """The chart as a later version of it, with one more field in the ModelPool's schema."""
    chart = tmp_path / f"pilotage-{version}"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(about.read_text().replace("version: 0.1.0", f"version: {version}", 1))
    template = chart / "templates" / "crds" / "modelpools.pilotage.dev.yaml"
    text = template.read_text()
    models = text.index("              models:")
    template.write_text(f"{text[:models]}              {field}: {{type: string}}\n{text[models:]}")
    return chart


def fields(rig) -> set[str]:
    crd = rig.get("crd", "modelpools.pilotage.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(schema["properties"]["spec"]["properties"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_api_server_takes_every_object(rig, namespace, variant):
    values = VARIANTS[variant]
    rig.kubectl("apply", "--server-side", "-f", "-", given=MONITORING_CRDS)
    for other in ("models", "shared", "keys"):
        text = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
        rig.kubectl("apply", "-f", "-", given=text)
    rig.helm(
        *("install", "pilotage", CHART, "--namespace", namespace, "--dry-run=server"),
        values=values,
    )
    rig.helm("install", "pilotage", CHART, "--namespace", namespace, values=values)
    deployments = {one["metadata"]["name"] for one in rig.get("deployments", "-n", namespace)["items"]}
    assert {"pilotage-operator", "pilotage-extproc"} <= deployments
    assert ("pilotage-envoy" in deployments) == (variant != "another gateway")


def test_an_upgrade_keeps_the_admin_token(rig, namespace):
    rig.helm("install", "pilotage", CHART, "--namespace", namespace)

    def token():
        return base64.b64decode(rig.get("secret", "pilotage-admin", "-n", namespace)["data"]["token"])

    first = token()
    rig.helm("upgrade", "pilotage", CHART, "--namespace", namespace, values={"extproc": {"replicas": 3}})
    assert token() == first
    assert len(first) == 40


def test_an_upgrade_adds_a_field_and_a_rollback_keeps_it_with_all_resources(rig, namespace, tmp_path):
    rig.helm("install", "pilotage", CHART, "--namespace", namespace)
    rig.kubectl("apply", "-n", namespace, "-f", "-", given=POOL)
    assert "region" not in fields(rig)
    rig.helm("upgrade", "pilotage", changed_chart(tmp_path, "0.2.0", "region"), "--namespace", namespace)
    assert "region" in fields(rig)
    rig.kubectl(
        "patch", "modelpool", "kept", "-n", namespace, "--type=merge", "-p", '{"spec": {"region": "eu"}}'
    )
    rig.helm("rollback", "pilotage", "1", "--namespace", namespace)
    assert "region" in fields(rig)
    # and an older chart does not take it back either
    rig.helm("upgrade", "pilotage", CHART, "--namespace", namespace)
    assert "region" in fields(rig)
    assert rig.get("modelpool", "kept", "-n", namespace)["spec"]["region"] == "eu"
    # for the tests that follow
    rig.helm("uninstall", "pilotage", "--namespace", namespace)
    rig.kubectl("delete", "crd", "modelpools.pilotage.dev", "--timeout=30s")


def test_uninstalling_leaves_the_crds_and_what_users_made(rig, namespace):
    rig.helm("install", "pilotage", CHART, "--namespace", namespace)
    rig.kubectl("apply", "-n", namespace, "-f", "-", given=POOL)
    rig.helm("uninstall", "pilotage", "--namespace", namespace)
    assert rig.get("modelpool", "kept", "-n", namespace)["spec"]["models"] == [{"name": "tiny"}]
    kinds = "deployments,services,configmaps,secrets,roles,rolebindings,networkpolicies,pdb,serviceaccounts"
    assert rig.get(kinds, "-n", namespace, "-l", "app.kubernetes.io/part-of=pilotage")["items"] == []
    assert (
        rig.get("clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=pilotage")["items"] == []
    )


def test_two_gateways_share_the_crds(rig, namespace):
    for release in ("one", "two"):
        rig.helm("install", release, CHART, "--namespace", namespace)
    names = {one["metadata"]["name"] for one in rig.get("configmaps", "-n", namespace)["items"]}
    assert {"one-pilotage-settings", "two-pilotage-settings"} <= names
    rig.helm("uninstall", "one", "--namespace", namespace)
    assert rig.get("crd", "modelpools.pilotage.dev")


def test_a_wrong_setting_changes_nothing(rig, namespace):
    rig.helm("install", "pilotage", CHART, "--namespace", namespace)
    with pytest.raises(CommandFailed, match="maxAtempts"):
        rig.helm("upgrade", "pilotage", CHART, "-n", namespace, values={"settings": {"maxAtempts": 2}})
    (release,) = yaml.safe_load(rig.helm("list", "--namespace", namespace, "-o", "json"))
    assert (release["revision"], release["status"]) == ("1", "deployed")


def test_the_notes_lead_to_a_first_request(rig, namespace):
    told = rig.helm("install", "pilotage", CHART, "--namespace", namespace)
    assert "kind: ModelPool" in told
    assert f"kubectl get -n {namespace} modelpools,routepolicies" in told
    assert f"port-forward -n {namespace} service/pilotage-envoy 8080:80" in told
    manifest = told.split("<<POOL")[1].split("POOL")[0]
    rig.kubectl("apply", "-n", namespace, "--dry-run=server", "-f", "-", given=manifest)


def test_the_examples_are_taken_by_the_api_server(rig, namespace):
    rig.helm("install", "pilotage", CHART, "--namespace", namespace, values=EVERYTHING | {"monitoring": {}})
    for manifest in sorted((ROOT / "examples" / "kubernetes").glob("*.yaml")):
        rig.kubectl("apply", "-n", namespace, "-f", manifest)
    assert len(rig.get("modelpools", "-n", namespace)["items"]) >= 1
