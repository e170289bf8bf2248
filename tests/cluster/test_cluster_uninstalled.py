"""What is left when Pilotage goes."""

import cluster_rig
import pytest
from cluster_rig import GATEWAY, MODELS, get, helm, kubectl, until

KINDS = (
    "deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,"
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers"
)
CRDS = ("modelpools.pilotage.dev", "routepolicies.pilotage.dev", "tenants.pilotage.dev")
THE_CLUSTERS_OWN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def left(namespace: str) -> set[tuple[str, str]]:
    found = get(KINDS, "-n", namespace)["items"]
    return {(one["kind"], one["metadata"]["name"]) for one in found} - THE_CLUSTERS_OWN


def secrets_of_users() -> set[tuple[str, str]]:
    """What users have made for the gateway, such as passwords: not the chart's to take away."""
    of_users = "app.kubernetes.io/managed-by!=Helm,owner!=helm"
    found = get("secrets", "-n", GATEWAY, "-l", of_users)["items"]
    return {("Secret", one["metadata"]["name"]) for one in found}


@pytest.fixture
def gateway() -> None:
    """A gateway, whatever its values: one that is there need not be made another for a moment."""
    there = {one["metadata"]["name"] for one in get("namespaces")["items"]}
    if GATEWAY not in there or not helm("list", "-q").strip():
        cluster_rig.install()
    cluster_rig.apply_examples()


def test_uninstalling_leaves_the_crds_and_users_resources_and_deleting_those_leaves_nothing(gateway):
    users, kept = left(MODELS), secrets_of_users()
    helm("uninstall", "pilotage", "--wait", "--timeout", "120s")
    until(lambda: left(GATEWAY) == kept, seconds=60, told=lambda: left(GATEWAY))
    ours = {one for one in users if one[0] in ("Role", "RoleBinding")}
    assert left(MODELS) >= {one for one in users - ours if one[0] == "Deployment"}
    assert not {one for one in left(MODELS) if "pilotage" in one[1]}
    cluster_wide = get("clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=pilotage")
    assert cluster_wide["items"] == []
    # users' policies stay until they delete the CRDs themselves
    assert len(get("modelpools,routepolicies", "-n", MODELS)["items"]) == 4
    # no finalizer holds anything: nobody is there to take it away
    kubectl("delete", "crd", *CRDS, "--timeout=30s")
    assert [one for one in get("crds")["items"] if "pilotage" in one["metadata"]["name"]] == []
    kubectl("delete", "namespace", GATEWAY, MODELS, "--timeout=90s")
