"""Texts to resources: each fault is told with its path, line and fix, and spoils nothing else."""

import pytest
import yaml
from api_manifests import brief, compiled, load, namespace, only, policy, pool

from pilotage_api.findings import ResourceKey, Severity
from pilotage_api.load import load_objects, load_texts


def test_good_resources_load_without_findings():
    loaded = load(pool("small"), policy("auto"), namespace("default"))
    assert loaded.findings == []
    assert set(loaded.resources) == {
        ResourceKey("ModelPool", "default", "small"),
        ResourceKey("RoutePolicy", "default", "auto"),
    }


@pytest.mark.parametrize(
    ("written", "path", "meant"),
    [
        ({"modelz": []}, "spec.modelz", "models"),
        ({"stream_usag": "leave"}, "spec.stream_usag", "streamUsage"),
        ({"endpoints": [{"adress": "10.0.0.1", "port": 1}]}, "spec.endpoints[0].adress", "address"),
        ({"allowedNamespaces": {"form": "All"}}, "spec.allowedNamespaces.form", "from"),
        (
            {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabel": {}}}},
            "spec.allowedNamespaces.selector.matchLabel",
            "matchLabels",
        ),
    ],
)
def test_an_unknown_field_names_the_nearest_known_one(written, path, meant):
    found = [one for one in load(pool("small", **written)).findings if one.code == "unknown-field"]
    finding = only(found)
    assert (finding.path, finding.fix) == (path, f"did you mean {meant!r}?")


def test_an_unknown_field_like_no_other_lists_what_is_known():
    finding = only(load(pool("small", endpoints=[{"address": "a", "port": 1, "zzz": 1}])).findings)
    assert finding.fix == "known here: address, port"


@pytest.mark.parametrize(
    ("change", "path", "meant"),
    [
        ({"spce": {}}, "spce", "spec"),
        ({"metadata": {"name": "small", "namepsace": "team-a"}}, "metadata.namepsace", "namespace"),
    ],
)
def test_unknown_fields_beside_and_above_spec_are_errors_too(change, path, meant):
    loaded = load(pool("small") | change)
    finding = only(loaded.findings)
    assert (finding.path, finding.fix) == (path, f"did you mean {meant!r}?")
    assert loaded.resources == {}


def test_what_an_api_server_adds_is_no_fault():
    resource = pool("small", created="2026-01-02T03:04:05Z")
    resource["metadata"] |= {"uid": "u", "resourceVersion": "1", "managedFields": [{}], "generation": 3}
    resource["status"] = {"conditions": "whatever"}
    assert load_objects([resource]).findings == []


PODS = {"matchLabels": {"app": "vllm"}}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"selector": PODS, "targetPorts": [8000]}, "spec.selector"),
        ({"endpoints": [], "selector": PODS}, "spec.targetPorts"),
        ({"targetPorts": [8000]}, "spec.targetPorts"),
        ({"endpoints": [], "selector": PODS, "targetPorts": [0]}, "spec.targetPorts[0]"),
        ({"endpoints": [], "selector": PODS, "targetPorts": [80, 80]}, "spec.targetPorts[1]"),
        ({"endpoints": [], "selector": PODS, "targetPorts": list(range(1, 10))}, "spec.targetPorts"),
        ({"endpoints": [], "selector": {}, "targetPorts": [80]}, "spec.selector.matchLabels"),
        (
            {"endpoints": [], "selector": {"matchLabels": {"app x": "y"}}, "targetPorts": [80]},
            "spec.selector.matchLabels",
        ),
        (
            {"endpoints": [], "selector": {"matchLabels": {"app": "a b"}}, "targetPorts": [80]},
            "spec.selector.matchLabels.app",
        ),
    ],
)
def test_a_pool_names_servers_or_selects_pods_with_ports(spec, path):
    finding = only(load(pool("small", **spec)).findings)
    assert finding.path == path


@pytest.mark.parametrize("key", ["app", "app.kubernetes.io/name", "a_b.C-d", "x" * 63, "a/" + "x" * 63])
def test_keys_of_labels_as_kubernetes_has_them_are_taken(key):
    selector = {"matchLabels": {key: "", "other": "A.b-c_1"}}
    assert not load(pool("small", endpoints=[], selector=selector, targetPorts=[80])).findings


@pytest.mark.parametrize(
    "key", ["", "-a", "a-", "a/b/c", "/a", "a/", "A.io/x", "a..b/x", "a.-b/x", "x" * 64, "a\n", "é"]
)
def test_keys_that_no_label_has_are_told(key):
    selector = {"matchLabels": {key: "x"}}
    finding = only(load(pool("small", endpoints=[], selector=selector, targetPorts=[80])).findings)
    assert "is no label's key" in finding.message


def test_a_pool_of_pods_is_taken_as_it_is_written():
    spec = {"endpoints": [], "selector": PODS, "targetPorts": [8000, 8001]}
    found = compiled(pool("small", **spec))
    assert found.findings == ()
    assert found.snapshot.pools[0].selector == {"app": "vllm"}
    assert found.snapshot.pools[0].target_ports == (8000, 8001)


@pytest.mark.parametrize("block", ["rollout"])
def test_a_reserved_block_of_a_policy_is_refused(block):
    finding = only(load(policy("auto", **{block: {}})).findings)
    assert (finding.code, finding.path) == ("not-supported", f"spec.{block}")


@pytest.mark.parametrize("address", ["a" * 63, f"x.{'a' * 63}.test", ".".join(["a" * 63] * 3), "a.test."])
def test_names_of_the_longest_labels_there_may_be_are_taken(address):
    assert not load(pool("small", ["m"], endpoints=[{"address": address, "port": 1}])).findings


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"endpoints": [{"address": "10.0.0.1", "port": 0}]}, "spec.endpoints[0].port"),
        ({"endpoints": [{"address": "10.0.0.1", "port": 65536}]}, "spec.endpoints[0].port"),
        ({"endpoints": [{"address": "10.0.0.1", "port": "8000"}]}, "spec.endpoints[0].port"),
        ({"endpoints": [{"address": "10.0.0.1", "port": True}]}, "spec.endpoints[0].port"),
        ({"endpoints": [{"address": "10.0.0.1:8000", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "10.0.0.999", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "10.0.1", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "http://a", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "a..b", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "-a", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": f"{'a' * 64}.test", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": ".".join(["a" * 63] * 4), "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "", "port": 1}]}, "spec.endpoints[0].address"),
        ({"endpoints": [{"address": "fe80::1%eth0", "port": 1}]}, "spec.endpoints[0].address"),
        ({"engine": "vlm"}, "spec.engine"),
        ({"models": []}, "spec.models"),
        ({"models": [{"name": ""}]}, "spec.models[0].name"),
        ({"models": [{"name": "a\n"}]}, "spec.models[0].name"),
        ({"models": [{"name": " a"}]}, "spec.models[0].name"),
        ({"models": [{"name": "a"}, {"name": "a"}]}, "spec.models[1]"),
        ({"models": [{"name": "a", "aliases": ["b", "b"]}]}, "spec.models[0].aliases[1]"),
        ({"models": [{"name": "a", "adapters": [{"name": "b"}] * 2}]}, "spec.models[0].adapters[1]"),
        ({"allowedNamespaces": {"from": "Selector"}}, "spec.allowedNamespaces.selector"),
        (
            {"allowedNamespaces": {"from": "All", "selector": {"matchLabels": {"a": "b"}}}},
            "spec.allowedNamespaces.selector",
        ),
        (
            {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {}}}},
            "spec.allowedNamespaces.selector.matchLabels",
        ),
        ({"streamUsage": True}, "spec.streamUsage"),
    ],
)
def test_a_wrong_value_of_a_pool_names_its_path(spec, path):
    loaded = load(pool("small", **{"models": ["m"], **spec}))
    finding = only(loaded.findings)
    assert (finding.severity, finding.path) == (Severity.ERROR, path)
    assert finding.message
    assert finding.fix
    assert loaded.refused == {ResourceKey("ModelPool", "default", "small")}


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7",
        "::1",
        "fd00::7",
        "::ffff:10.0.0.7",
        "localhost",
        "a-b.c_d.svc.cluster.local.",
        "1a.example",
    ],
)
def test_an_ip_address_or_dns_name_is_an_address(address):
    assert load(pool("small", endpoints=[{"address": address, "port": 8000}])).findings == []


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"rules": []}, "spec.rules"),
        ({"rules": [{"candidates": []}]}, "spec.rules[0].candidates"),
        ({"candidates": [{"model": "a", "weight": 1}, {"model": "b"}]}, "spec.rules[0].candidates"),
        ({"candidates": [{"model": "a", "weight": 0}]}, "spec.rules[0].candidates"),
        ({"candidates": [{"model": "a", "weight": -1}]}, "spec.rules[0].candidates[0].weight"),
        ({"candidates": [{"model": "a", "weight": 0.5}]}, "spec.rules[0].candidates[0].weight"),
        ({"candidates": ["a", "a"]}, "spec.rules[0].candidates[1]"),
        ({"match": {"paths": [{"value": "v1"}]}}, "spec.match.paths[0].value"),
        ({"match": {"paths": [{"value": "/v1?x"}]}}, "spec.match.paths[0].value"),
        ({"match": {"paths": [{"value": "/v1"}, {"value": "/v1", "type": "Prefix"}]}}, "spec.match.paths[1]"),
        ({"match": {"paths": [{"value": "/v1", "type": "Regex"}]}}, "spec.match.paths[0].type"),
        ({"match": {"headers": [{"name": "a b"}]}}, "spec.match.headers[0].name"),
        ({"match": {"headers": [{"name": "a"}, {"name": "a"}]}}, "spec.match.headers[1]"),
        ({"match": {"headers": [{"name": "a"}, {"name": "A"}]}}, "spec.match.headers[1].name"),
        ({"match": {"models": ["a", "a"]}}, "spec.match.models[1]"),
        ({"match": {"models": "a"}}, "spec.match.models"),
    ],
)
def test_a_wrong_value_of_a_policy_names_its_path(spec, path):
    finding = only(load(policy("auto", **spec)).findings)
    assert (finding.severity, finding.path) == (Severity.ERROR, path)
    assert finding.fix


def test_a_finding_names_file_and_line_of_the_field():
    text = yaml.safe_dump_all([pool("small"), policy("auto", {"modelz": []})], sort_keys=False)
    finding = only(load_texts([("all.yaml", text)]).findings)
    assert finding.file == "all.yaml"
    assert text.splitlines()[(finding.line or 0) - 1].strip() == "modelz: []"
    assert finding.as_dict()["line"] == finding.line


def test_lists_are_taken_apart_and_lines_still_fit():
    items = [pool("a"), policy("b", {"modelz": []}), {"kind": "Pod", "apiVersion": "v1"}]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}, sort_keys=False)
    loaded = load_texts([("list.yaml", text)])
    assert brief(loaded.findings) == [
        ("error", "unknown-field", "spec.match.modelz"),
        ("warning", "foreign", ""),
    ]
    assert text.splitlines()[(loaded.findings[0].line or 0) - 1].strip() == "modelz: []"
    assert set(loaded.resources) == {ResourceKey("ModelPool", "default", "a")}


def test_one_broken_file_spoils_no_other():
    loaded = load_texts([("bad.yaml", "a: [\n"), ("good.yaml", yaml.safe_dump(pool("small")))])
    assert brief(loaded.findings) == [("error", "unreadable", "")]
    assert loaded.findings[0].source == "bad.yaml:2"
    assert loaded.unreadable == {"bad.yaml"}
    assert len(loaded.resources) == 1


def test_one_bad_document_spoils_no_other_of_its_file():
    loaded = load(pool("bad", engine="x"), pool("good"))
    assert set(loaded.resources) == {ResourceKey("ModelPool", "default", "good")}


@pytest.mark.parametrize(
    ("change", "code", "fix"),
    [
        ({"kind": "ModelPol"}, "unknown-kind", "did you mean 'ModelPool'?"),
        ({"kind": "modelpool"}, "unknown-kind", "did you mean 'ModelPool'?"),
        ({"kind": "Pool"}, "unknown-kind", "write one of ModelPool, RoutePolicy, Tenant, GatewaySettings"),
        ({"kind": None}, "unknown-kind", "write kind: ModelPool"),
        ({"apiVersion": "v1alpha1"}, "unknown-version", "write pilotage.dev/v1alpha1"),
        (
            {"apiVersion": "pilotage.io/v1alpha1", "kind": "ModelPol"},
            "unknown-version",
            "write pilotage.dev/v1alpha1 and kind: ModelPool",
        ),
        (
            {"apiVersion": "pilotge.dev/v1alpha1", "kind": "Widget"},
            "unknown-version",
            "write pilotage.dev/v1alpha1",
        ),
        (
            {"apiVersion": None, "kind": None},
            "not-a-resource",
            "write apiVersion: pilotage.dev/v1alpha1 and kind: ModelPool",
        ),
        ({"apiVersion": "pilotage.dev/v2"}, "unknown-version", "write pilotage.dev/v1alpha1"),
        ({"apiVersion": "pilotge.dev/v1alpha1"}, "unknown-version", "write pilotage.dev/v1alpha1"),
        ({"apiVersion": None}, "unknown-version", "write pilotage.dev/v1alpha1"),
        ({"apiVersion": 1}, "unknown-version", "write pilotage.dev/v1alpha1"),
    ],
)
def test_a_resource_that_may_be_meant_for_us_is_an_error_not_foreign(change, code, fix):
    finding = only(load(pool("small") | change).findings)
    assert (finding.severity, finding.code, finding.fix) == (Severity.ERROR, code, fix)


def named(name, value):
    return load_texts([(name, yaml.safe_dump(value))])


@pytest.mark.parametrize("name", ["pilotage.yaml", "conf/pilotage.yml", "anything.yaml"])
def test_settings_without_apiversion_and_kind_are_an_error(name):
    loaded = named(name, {"listen": {"gateway": "127.0.0.1:8080"}, "decisionHeaders": "summary"})
    finding = only(loaded.findings)
    assert (finding.severity, finding.code) == (Severity.ERROR, "not-a-resource")
    assert str(finding.resource) == "GatewaySettings pilotage"
    assert finding.fix == (
        "write apiVersion: pilotage.dev/v1alpha1 and kind: GatewaySettings, and put the fields below spec"
    )
    assert loaded.settings is None


def test_a_file_with_the_name_of_the_settings_is_an_error_whatever_its_fields():
    assert only(named("pilotage.yaml", {"port": 8080}).findings).severity is Severity.ERROR
    assert only(named("values.yaml", {"port": 8080}).findings).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"match": {"models": ["auto"]}, "rules": []}, "RoutePolicy"),
        ({"endpoints": [], "models": [], "colour": "red"}, "ModelPool"),
        ({"metadata": {"name": "a"}, "spec": {"rules": []}}, "RoutePolicy"),
    ],
)
def test_the_kind_that_was_meant_is_known_by_its_fields(value, kind):
    assert f"kind: {kind}" in only(named("x.yaml", value).findings).fix


def test_resources_of_others_are_skipped_with_a_warning():
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}
    assert brief(load(deployment).findings) == [("warning", "foreign", "")]
    for version, kind in (
        ("example.com/v1", "RoutePolicy"),
        ("inference.networking.k8s.io/v1", "InferencePool"),
        ("knative.dev/v1", "Service"),
        ("v1", "ConfigMap"),
    ):
        spec = {"selector": {}, "targetPorts": []}
        found = load({"apiVersion": version, "kind": kind, "spec": spec}).findings
        assert brief(found) == [("warning", "foreign", "")]


def test_a_kind_of_others_is_warned_of_once():
    others = [("apps/v1", "Deployment"), ("v1", "Service"), ("apps/v1", "Deployment"), ("v1", "Pod")]
    loaded = load(*({"apiVersion": version, "kind": kind} for version, kind in others))
    assert [one.message.partition(",")[0] for one in loaded.findings] == [
        "skipped 'apps/v1' 'Deployment'",
        "skipped 'v1' 'Service'",
        "skipped 'v1' 'Pod'",
    ]


def test_a_resource_that_stands_twice_counts_once():
    loaded = load_texts(
        [(f"{n}.yaml", yaml.safe_dump(pool("small", [model]))) for n, model in enumerate(["first", "second"])]
    )
    finding = only(loaded.findings)
    assert finding.message == "stands twice; the first, in 0.yaml:1, counts"
    [resource] = loaded.resources.values()
    assert resource.spec.models[0].name == "first"


@pytest.mark.parametrize("value", ["text", 1, [1], None])
@pytest.mark.parametrize("field", ["metadata", "spec"])
def test_a_part_of_the_wrong_kind_is_told(field, value):
    loaded = load_objects([pool("small") | {field: value}])
    assert {one.severity for one in loaded.findings} == {Severity.ERROR}
    assert loaded.resources == {}


def test_namespaces_bring_labels():
    assert load(namespace("a", team="x")).namespace_labels == {"a": {"team": "x"}}


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"name": "a", "labels": {"x": 1}}, "invalid-value"),
        ({"name": "a", "labels": ["x"]}, "invalid-value"),
        ({"labels": {}}, "missing-field"),
        ("a", "missing-field"),
    ],
)
def test_a_namespace_that_cannot_be_used_is_told(metadata, code):
    loaded = load({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert (only(loaded.findings).code, loaded.namespace_labels) == (code, {})


def test_long_and_unprintable_names_do_not_reach_a_terminal():
    loaded = load_objects(
        [pool("\x1b[31m" + "x" * 9000), pool("a", **{"\x1b[31m": 1}), {"kind": "\x1b" * 9000}]
    )
    assert len(loaded.findings) >= 3
    for finding in loaded.findings:
        text = f"{finding.resource} {finding.path} {finding.message} {finding.fix}"
        assert text.isprintable()
        assert len(text) < 1000


def test_a_resource_has_a_bounded_number_of_findings():
    endpoints = [{"address": "10.0.0.999", "port": 1}] * 4000
    assert len(load(pool("small", endpoints=endpoints)).findings) <= 50
    assert len(load(pool("small", endpoints=[{"port": "x"}] * 4000)).findings) <= 50


def test_files_of_keys_that_settings_name_lie_in_the_folder_without_a_warning():
    assert load({"keys": [{"id": "k1", "tenant": "acme"}]}).findings == []
    assert brief(load({"keys": "none"}).findings) != []
