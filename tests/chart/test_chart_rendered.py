"""What the chart renders, for every kind of values."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from helm_rig import EVERYTHING, ROOT, VARIANTS, CommandFailed, of_kind, pods
from rights import (
    EXTPROC_KEYS,
    EXTPROC_OWN,
    EXTPROC_PROVIDERS,
    EXTPROC_WATCHED,
    OPERATOR_CLUSTER,
    OPERATOR_NAMESPACE,
    OPERATOR_WATCHED,
)

from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.server.admin_view import RuntimeView
from pilotage_extproc.server.runtime import Runtime


@pytest.fixture(params=VARIANTS)
def rendered(request, helm):
    return helm.render(VARIANTS[request.param])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_chart_is_clean_to_helm_lint(helm, variant):
    assert "0 chart(s) failed" in helm.lint(VARIANTS[variant])


def test_what_is_generated_is_current():
    subprocess.run([sys.executable, ROOT / "hack" / "chart_files.py", "--check"], check=True)


def test_every_pod_is_restricted_and_writes_to_no_disk_but_a_journals(rendered):
    found = pods(rendered)
    assert {"pilotage-operator", "pilotage-extproc", "pilotage-test"} <= found.keys()
    for name, pod in found.items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))
        for volume in spec.get("volumes", []):
            in_memory = volume.get("emptyDir", {}).get("medium") == "Memory"
            assert volume.keys() & {"configMap", "secret"} or volume["name"] == "journal" or in_memory


def test_each_part_has_an_account_of_its_own_and_only_two_get_a_token(rendered):
    accounts = {one["metadata"]["name"] for one in of_kind(rendered, "ServiceAccount")}
    found = pods(rendered)
    deployments = {name: pod["spec"] for name, pod in found.items() if name != "pilotage-test"}
    assert {spec["serviceAccountName"] for spec in deployments.values()} == accounts
    assert len(accounts) == len(deployments)
    with_token = {name for name, pod in found.items() if pod["spec"]["automountServiceAccountToken"]}
    assert with_token == {"pilotage-operator", "pilotage-extproc"}


def test_no_part_has_an_administrators_rights(rendered):
    for role in of_kind(rendered, "Role", "ClusterRole"):
        for rule in role["rules"]:
            for field in ("apiGroups", "resources", "verbs"):
                assert "*" not in rule[field]
            if role["metadata"]["name"] in ("pilotage-extproc-providers", "pilotage-extproc-keys"):
                continue  # held against its rights below
            assert not {"secrets", "pods/exec", "serviceaccounts", "roles", "clusterroles"} & set(
                rule["resources"]
            )
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
    made = {one["metadata"]["name"] for one in of_kind(rendered, "Role", "ClusterRole")}
    for binding in of_kind(rendered, "RoleBinding", "ClusterRoleBinding"):
        assert binding["roleRef"]["name"] in made


def test_the_settings_are_what_the_parts_can_read(rendered):
    (held,) = (one for one in of_kind(rendered, "ConfigMap") if "pilotage.yaml" in one["data"])
    loaded = load_texts([("pilotage.yaml", held["data"]["pilotage.yaml"])])
    assert loaded.findings == []
    assert loaded.settings is not None
    assert loaded.settings.kubernetes.namespace == "gateway"


def test_settings_of_the_values_reach_the_parts(helm):
    (held,) = (one for one in of_kind(helm.render(EVERYTHING), "ConfigMap") if "pilotage.yaml" in one["data"])
    loaded = load_texts([("pilotage.yaml", held["data"]["pilotage.yaml"])])
    assert loaded.settings.drain_seconds == 30
    assert loaded.settings.namespaces == ("models",)
    assert loaded.settings.tls.extproc == "self-signed"


@pytest.mark.parametrize(
    ("values", "gateway"),
    [
        ({}, "bundled"),
        ({"envoy": {"enabled": False}}, "other"),
        ({"envoy": {"enabled": False}, "settings": {"gateway": "inferencePool"}}, "inferencePool"),
    ],
)
def test_the_settings_say_what_asks_the_pickers(helm, values, gateway):
    (held,) = (one for one in of_kind(helm.render(values), "ConfigMap") if "pilotage.yaml" in one["data"])
    assert load_texts([("pilotage.yaml", held["data"]["pilotage.yaml"])]).settings.gateway == gateway


def test_changed_settings_restart_the_pods(helm):
    before, after = (
        pods(helm.render({"settings": {"maxAttempts": count}}))["pilotage-extproc"]["metadata"]["annotations"]
        for count in (2, 3)
    )
    assert before != after


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"settings": {"maxAtempts": 3}}, "maxAtempts"),
        ({"settings": {"maxAttempts": 99}}, "maximum"),
        ({"settings": {"listen": {"gateway": "0.0.0.0:1"}}}, "listen"),
        ({"extproc": {"replica": 3}}, "replica"),
        ({"inferencePoolPorts": [70000]}, "inferencePoolPorts"),
        ({"inferencePoolPorts": [9002]}, "inferencePoolPorts"),
        ({"image": {"digest": "abc"}}, "digest"),
        ({"mutualTls": {"envoySecret": "e"}}, "mutualTls"),
        ({"store": {"valkeySecret": "s"}}, "governance.store.valkey.address"),
        ({"settings": {"governance": {"store": {"journalDir": "/tmp"}}}}, "store.journalClaim"),
        (
            {"kvSalt": {"secret": "s"}, "settings": {"governance": {"kvSaltFile": "/own"}}},
            "settings.governance.kvSaltFile",
        ),
        ({"gainFile": {"secret": "s", "configMap": "c"}}, "gainFile"),
        (
            {"gainFile": {"secret": "s"}, "settings": {"promptFeatures": {"gainFile": "/own"}}},
            "settings.promptFeatures.gainFile",
        ),
    ],
)
def test_wrong_values_are_refused_by_name(helm, values, told):
    with pytest.raises(CommandFailed, match=told):
        helm.render(values)


def settings_of(objects: list[dict[str, Any]]) -> GatewaySettings:
    (found,) = (one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"].endswith("settings"))
    return GatewaySettings.model_validate(yaml.safe_load(found["data"]["pilotage.yaml"])["spec"])


def test_a_picker_finds_its_valkeys_password_and_its_journal_where_its_settings_say(helm):
    objects = helm.render(VARIANTS["limits at a Valkey"])
    store = settings_of(objects).governance.store
    (container,) = pods(objects)["pilotage-extproc"]["spec"]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert store.valkey.address == "valkey:6379"
    assert store.when_away == "serve"
    assert store.valkey.password_file == f"{mounted['valkey']}/password"
    assert store.journal_dir == mounted["journal"]
    volumes = {one["name"]: one for one in pods(objects)["pilotage-extproc"]["spec"]["volumes"]}
    assert volumes["valkey"]["secret"]["secretName"] == "valkey"
    assert volumes["journal"]["persistentVolumeClaim"] == {"claimName": "journal"}


@pytest.mark.parametrize(
    ("values", "file", "source"),
    [
        ({"configMap": "gain"}, "gain.predictor", ("configMap", "name")),
        ({"secret": "gain", "key": "ours"}, "ours", ("secret", "secretName")),
    ],
)
def test_own_weights_are_mounted_where_the_settings_look_for_them(helm, values, file, source):
    made = helm.render({"gainFile": values})
    [settings] = [one for one in made if one["kind"] == "ConfigMap" and "pilotage.yaml" in one["data"]]
    spec = yaml.safe_load(settings["data"]["pilotage.yaml"])["spec"]
    pod = pods(made)["pilotage-extproc"]["spec"]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "gain"]
    assert spec["promptFeatures"]["gainFile"] == f"{mount['mountPath']}/{file}"
    [volume] = [one for one in pod["volumes"] if one["name"] == "gain"]
    assert volume[source[0]][source[1]] == "gain"


def test_the_salt_of_tenants_caches_is_mounted_where_the_settings_look_for_it(helm):
    made = helm.render(VARIANTS["a salt beside a Valkey"])
    [settings] = [one for one in made if one["kind"] == "ConfigMap" and "pilotage.yaml" in one["data"]]
    governance = yaml.safe_load(settings["data"]["pilotage.yaml"])["spec"]["governance"]
    pod = pods(made)["pilotage-extproc"]["spec"]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "kv-salt"]
    assert governance["kvSaltFile"] == f"{mount['mountPath']}/ours"
    assert governance["store"]["valkey"]["passwordFile"]
    [volume] = [one for one in pod["volumes"] if one["name"] == "kv-salt"]
    assert volume["secret"]["secretName"] == "salt"


def test_what_guards_are_shown_is_mounted_from_its_secret(helm):
    pod = pods(helm.render({"guards": {"secret": "guards"}}))["pilotage-extproc"]["spec"]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "guards"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/pilotage-guards", True)
    [volume] = [one for one in pod["volumes"] if one["name"] == "guards"]
    assert volume["secret"]["secretName"] == "guards"


def test_services_and_network_policies_lead_to_ports_that_pods_have(rendered):
    found = [pod for name, pod in pods(rendered).items() if name != "pilotage-test"]

    def of(selector):
        return [one for one in found if selector.items() <= one["metadata"]["labels"].items()]

    def names(pod):
        return {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}

    for service in of_kind(rendered, "Service"):
        (pod,) = of(service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names(pod)
    for policy in of_kind(rendered, "NetworkPolicy"):
        (pod,) = of(policy["spec"]["podSelector"]["matchLabels"])
        allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert allowed == names(pod)
    for budget in of_kind(rendered, "PodDisruptionBudget"):
        assert len(of(budget["spec"]["selector"]["matchLabels"])) == 1


def test_ports_of_inference_pools_are_opened_everywhere(helm):
    objects = helm.render(EVERYTHING)
    (service,) = (one for one in of_kind(objects, "Service") if one["metadata"]["name"] == "pilotage-extproc")
    assert {port["port"] for port in service["spec"]["ports"]} == {9002, 9101, 9102}
    assert {port["appProtocol"] for port in service["spec"]["ports"]} == {"https"}


def test_only_the_bundled_envoy_may_ask_pickers_where_no_other_gateway_is_named(helm):
    (policy,) = (
        one
        for one in of_kind(helm.render({}), "NetworkPolicy")
        if one["metadata"]["name"] == "pilotage-extproc"
    )
    peers = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for rule in policy["spec"]["ingress"]
        if {"port": "grpc"} in rule["ports"]
        for peer in rule["from"]
    ]
    assert peers == ["extproc", "envoy"]


def test_a_stopping_picker_has_the_time_it_needs(rendered):
    spec = pods(rendered)["pilotage-extproc"]["spec"]
    (held,) = (one for one in of_kind(rendered, "ConfigMap") if "pilotage.yaml" in one["data"])
    settings = load_texts([("pilotage.yaml", held["data"]["pilotage.yaml"])]).settings
    hook = spec["containers"][0].get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})["preStop"]["sleep"]
    assert spec["terminationGracePeriodSeconds"] > hook["seconds"] + settings.drain_seconds


def test_without_the_bundled_envoy_nothing_of_it_is_left(helm):
    objects = helm.render({"envoy": {"enabled": False}})
    assert not [one for one in objects if "envoy" in one["metadata"]["name"]]


def test_roles_are_in_the_namespaces_that_are_watched_and_no_other(helm):
    objects = helm.render(EVERYTHING)
    roles = of_kind(objects, "Role")
    assert {one["metadata"]["namespace"] for one in roles} == {"gateway", "models", "shared"}
    cluster = of_kind(objects, "ClusterRole")
    assert {rule["resources"][0] for one in cluster for rule in one["rules"]} == {"namespaces"}


def test_roles_are_exactly_the_rights_that_suffice(helm):
    """Other tests run each part with just these rights."""
    objects = helm.render({"settings": {"namespaces": ["models", "shared"]}})

    def rules(kind, name, namespace=None):
        (found,) = (
            one["rules"]
            for one in of_kind(objects, kind)
            if (one["metadata"]["name"], one["metadata"].get("namespace")) == (name, namespace)
        )
        return found

    assert rules("Role", "pilotage-extproc", "gateway") == list(EXTPROC_OWN)
    assert rules("Role", "pilotage-operator", "gateway") == list(OPERATOR_NAMESPACE)
    for namespace in ("models", "shared"):
        assert rules("Role", "pilotage-operator-watched", namespace) == list(OPERATOR_WATCHED)
    for namespace in ("models", "shared", "gateway"):
        assert rules("Role", "pilotage-extproc-watched", namespace) == list(EXTPROC_WATCHED)
    assert rules("ClusterRole", "gateway-pilotage-operator") == list(OPERATOR_CLUSTER)
    roles = of_kind(objects, "Role", "ClusterRole")
    assert len(roles) == 8


def test_secrets_are_read_in_the_namespaces_of_providers_alone_and_nowhere_by_default(helm):
    objects = helm.render(VARIANTS["hosted providers"])
    reading = [
        one
        for one in of_kind(objects, "Role", "ClusterRole")
        if any("secrets" in rule["resources"] for rule in one["rules"])
    ]
    [role] = reading
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "models")
    assert role["rules"] == list(EXTPROC_PROVIDERS)


def test_secrets_of_api_keys_are_read_in_their_namespace_alone(helm):
    objects = helm.render(VARIANTS["API keys"])
    [role] = [
        one
        for one in of_kind(objects, "Role", "ClusterRole")
        if any("secrets" in rule["resources"] for rule in one["rules"])
    ]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "keys")
    assert role["rules"] == list(EXTPROC_KEYS)
    assert not [
        one for one in of_kind(helm.render(VARIANTS["tokens"]), "Role") if "keys" in one["metadata"]["name"]
    ]


def test_certificates_of_all_callers_can_be_required(helm):
    mutual = {"pickerSecret": "p", "envoySecret": "e"}
    for required in (False, True):
        objects = helm.render({"mutualTls": {**mutual, "requireCertificates": required}})
        assert settings_of(objects).tls.envoy.require_certificates is required


def test_pickers_and_envoy_get_their_own_certificate_and_not_the_others(helm):
    objects = helm.render(VARIANTS["hosted providers"])
    mounted = {
        name: [
            one["secret"]["secretName"]
            for one in pod["spec"].get("volumes", [])
            if one["name"] == "mutual-tls"
        ]
        for name, pod in pods(objects).items()
    }
    assert mounted["pilotage-extproc"] == ["picker-tls"]
    assert mounted["pilotage-envoy"] == ["envoy-tls"]
    assert mounted["pilotage-operator"] == []
    written = pods(objects)["pilotage-envoy"]["spec"]
    assert {"name": "tmp", "mountPath": "/tmp"} in written["containers"][0]["volumeMounts"]


def test_all_namespaces_means_cluster_roles_with_the_same_rules(helm):
    objects = helm.render({"settings": {"namespaces": ["*"]}})
    rules = {one["metadata"]["name"]: one["rules"] for one in of_kind(objects, "ClusterRole")}
    assert rules == {
        "gateway-pilotage-operator": [*OPERATOR_CLUSTER, *OPERATOR_WATCHED],
        "gateway-pilotage-extproc": list(EXTPROC_WATCHED),
    }


def test_a_gateway_of_its_own_namespace_needs_nothing_cluster_wide(helm):
    objects = helm.render({"crds": {"install": False}})
    assert of_kind(objects, "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition") == []


def test_alerts_and_dashboard_read_metrics_that_exist(helm):
    objects = helm.render(EVERYTHING)
    (dashboard,) = (one for one in of_kind(objects, "ConfigMap") if "pilotage.json" in one["data"])
    (rules,) = of_kind(objects, "PrometheusRule")
    texts = [
        t["expr"] for p in json.loads(dashboard["data"]["pilotage.json"])["panels"] for t in p["targets"]
    ]
    texts += [rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    used = {name for text in texts for name in re.findall(r"pilotage_\w+", text)}
    page = RuntimeView(Runtime(GatewaySettings())).metrics().decode()
    known = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    assert len(used) > 8
    assert {name for name in used if re.sub(r"_bucket$", "", name) not in known} == set()


def test_crds_are_those_of_the_folder_kept_and_switched(helm):
    def crds(values):
        return {
            one["metadata"]["name"]: one for one in of_kind(helm.render(values), "CustomResourceDefinition")
        }

    made = crds({})
    for path in (ROOT / "crds").glob("*.yaml"):
        wanted = yaml.safe_load(path.read_text())
        assert made[wanted["metadata"]["name"]]["spec"] == wanted["spec"]
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in made.values()} == {"keep"}
    assert crds({"crds": {"install": False}}) == {}


@pytest.mark.parametrize("name", ["istio", "agentgateway", "gke"])
def test_examples_for_other_gateways_open_the_port_that_their_pool_names(helm, name):
    folder = ROOT / "examples" / name
    objects = helm.render(yaml.safe_load((folder / "values.yaml").read_text()))
    picker = yaml.safe_load((folder / "inferencepool.yaml").read_text())["spec"]["endpointPickerRef"]
    (service,) = (one for one in of_kind(objects, "Service") if one["metadata"]["name"] == picker["name"])
    assert picker["port"]["number"] in {port["port"] for port in service["spec"]["ports"]}


def test_names_stay_valid_for_long_releases(helm):
    objects = helm.render({}, release="a" * 53)
    assert all(len(one["metadata"]["name"]) <= 63 for one in objects)
