"""The generated CRDs: structural, bounded, and of one mind with the types."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from api_manifests import policy, pool
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.crd import custom_resource_definitions
from pilotage_api.load import load_objects
from pilotage_api.modelpool import ModelPoolSpec
from pilotage_api.resource import RESERVED
from pilotage_api.routepolicy import RoutePolicySpec

CRDS = {one["spec"]["names"]["kind"]: one for one in custom_resource_definitions()}


def schema_of(kind: str) -> dict[str, Any]:
    return CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}")
    for step in ("items", "additionalProperties"):
        if isinstance(schema.get(step), dict):
            yield from walk(schema[step], f"{path}[]")


ALL = [(path, one) for kind in CRDS for path, one in walk(schema_of(kind), kind)]
OURS = [(path, one) for path, one in ALL if ".spec" in path or ".status" in path]


@pytest.mark.parametrize(
    ("kind", "name", "short"),
    [
        ("ModelPool", "modelpools.pilotage.dev", "mpool"),
        ("RoutePolicy", "routepolicies.pilotage.dev", "rpol"),
    ],
)
def test_a_crd_is_named_as_the_api_server_wants(kind, name, short):
    crd = CRDS[kind]
    assert crd["metadata"]["name"] == name
    assert crd["spec"]["names"]["shortNames"] == [short]
    [version] = crd["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}
    assert [one["name"] for one in version["additionalPrinterColumns"]][-1] == "Age"


@pytest.mark.parametrize(("path", "schema"), ALL)
def test_every_value_has_a_type_and_nothing_a_structural_schema_forbids(path, schema):
    assert schema["type"] in ("object", "array", "string", "integer", "number", "boolean")
    assert (
        not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title", "const", "propertyNames", RESERVED}
        & schema.keys()
    )
    assert not ("properties" in schema and "additionalProperties" in schema)
    assert "default" not in schema or schema["default"] is not None


@pytest.mark.parametrize(("path", "schema"), OURS)
def test_every_field_is_described_and_bounded(path, schema):
    if not path.endswith("[]"):
        assert schema.get("description"), path
    if schema["type"] == "array":
        assert schema["maxItems"] <= 4096
    if schema["type"] == "integer" and "Reserved" not in schema.get("description", "Reserved"):
        assert "minimum" in schema
        assert schema["format"] in ("int32", "int64")
    if schema["type"] == "string" and "enum" not in schema and not path.endswith("Time"):
        assert "maxLength" in schema or path.endswith("capabilities[]"), path


def test_reserved_fields_are_opaque_and_refused_by_a_rule():
    reserved = {
        path.partition(".spec.")[2]: one for path, one in OURS if "Reserved" in one.get("description", "")
    }
    assert set(reserved) == {
        "governance.records", "rollout",
    }  # fmt: skip
    for one in reserved.values():
        assert one["x-kubernetes-validations"] == [
            {"rule": "false", "message": "not supported in this version"}
        ]
        assert one["type"] != "object" or one["x-kubernetes-preserve-unknown-fields"] is True
        assert "properties" not in one


def test_fields_people_leave_out_have_the_defaults_the_types_have():
    spec = schema_of("ModelPool")["properties"]["spec"]["properties"]
    assert spec["engine"]["default"] == "vllm"
    assert spec["streamUsage"]["default"] == "inject"
    assert spec["allowedNamespaces"]["default"] == {"from": "Same"}
    assert "default" not in spec["endpoints"]
    match = schema_of("RoutePolicy")["properties"]["spec"]["properties"]["match"]
    assert match["properties"]["paths"]["items"]["properties"]["type"]["default"] == "Prefix"


FILLED_IN = {
    "ModelPool.spec.allowedNamespaces",
    "ModelPool.spec.allowedNamespaces.from",
    "ModelPool.spec.engine",
    "ModelPool.spec.external.auth.scheme",
    "ModelPool.spec.external.auth.secretRef.key",
    "ModelPool.spec.external.dialect",
    "ModelPool.spec.external.pathPrefix",
    "ModelPool.spec.external.port",
    "ModelPool.spec.health",
    "ModelPool.spec.health.consecutiveFailures",
    "ModelPool.spec.health.ejectionTime",
    "ModelPool.spec.scheduling",
    "ModelPool.spec.scheduling.picker",
    "ModelPool.spec.scheduling.picker.type",
    "ModelPool.spec.streamUsage",
    "RoutePolicy.spec.governance.budgets[].timeZone",
    "RoutePolicy.spec.governance.content.request[].onError",
    "RoutePolicy.spec.governance.content.remote[].maxBytes",
    "RoutePolicy.spec.governance.content.remote[].maxConcurrent",
    "RoutePolicy.spec.governance.content.remote[].onError",
    "RoutePolicy.spec.governance.content.remote[].receives",
    "RoutePolicy.spec.governance.content.remote[].timeout",
    "RoutePolicy.spec.governance.content.response[].onError",
    "RoutePolicy.spec.governance.content.response[].window",
    "RoutePolicy.spec.match.paths[].type",
    "RoutePolicy.spec.queue.maxBytes",
    "RoutePolicy.spec.queue.maxRequests",
    "RoutePolicy.spec.queue.minimumShare",
    "RoutePolicy.spec.queue.priority",
    "RoutePolicy.spec.rules[].objective.ceilings.quantile",
    "RoutePolicy.spec.rules[].objective.ceilings.whenNone",
    "RoutePolicy.spec.rules[].objective.weights.cost",
    "RoutePolicy.spec.rules[].objective.weights.latency",
    "RoutePolicy.spec.rules[].objective.weights.quality",
    "RoutePolicy.spec.rules[].stickiness.minimumGain",
    "RoutePolicy.spec.rules[].stickiness.scope",
    "RoutePolicy.spec.scheduling.picker",
    "RoutePolicy.spec.scheduling.picker.type",
    "Tenant.spec.budgets[].timeZone",
    "Tenant.spec.priority",
    "Tenant.spec.weight",
}


def test_fields_that_came_later_stay_left_out_so_that_older_operators_accept_what_does_not_use_them():
    # a newer field may be filled in below a block that is itself left out
    assert {path for path, one in ALL if ".spec" in path and "default" in one} == FILLED_IN


@pytest.mark.parametrize(("kind", "model"), [("ModelPool", ModelPoolSpec), ("RoutePolicy", RoutePolicySpec)])
def test_the_schema_has_every_field_of_the_type(kind, model):
    spec = schema_of(kind)["properties"]["spec"]
    assert set(spec["properties"]) == {field.alias for field in model.model_fields.values()}


# Of a field the schema and the types must take and refuse the same values: a manifest that works on a
# laptop works in a cluster. Rules in CEL are left out here, the API server alone evaluates those.
values = st.sampled_from(
    [
        *(0, 1, -1, 65535, 65536, 10**6, 10**6 + 1, True),
        *("", "a", "m", " m", "m ", "a b", "ö", "x" * 300, "vllm", "leave", "All", "Same", "Exact", "exact"),
        *("/v1", "v1", "/v1?x", "x-Tier", "x tier", "10.0.0.1"),
        *([], ["a"], [1], {}, {"a": "b"}, {"name": "m"}),
        *([{"name": "m"}], [{"model": "m"}], [{"value": "/"}], [{"name": "h", "value": "v"}]),
    ]
)
places = st.sampled_from(
    [
        ("ModelPool", ("endpoints",)),
        ("ModelPool", ("endpoints", 0)),
        ("ModelPool", ("endpoints", 0, "port")),
        ("ModelPool", ("engine",)),
        ("ModelPool", ("models",)),
        ("ModelPool", ("models", 0, "name")),
        ("ModelPool", ("models", 0, "aliases")),
        ("ModelPool", ("models", 0, "adapters")),
        ("ModelPool", ("allowedNamespaces",)),
        ("ModelPool", ("allowedNamespaces", "selector", "matchLabels")),
        ("ModelPool", ("streamUsage",)),
        ("RoutePolicy", ("match",)),
        ("RoutePolicy", ("match", "models")),
        ("RoutePolicy", ("match", "headers")),
        ("RoutePolicy", ("match", "headers", 0, "name")),
        ("RoutePolicy", ("match", "headers", 0, "value")),
        ("RoutePolicy", ("match", "paths", 0, "value")),
        ("RoutePolicy", ("match", "paths", 0, "type")),
        ("RoutePolicy", ("rules",)),
        ("RoutePolicy", ("rules", 0, "name")),
        ("RoutePolicy", ("rules", 0, "when")),
        ("RoutePolicy", ("rules", 0, "stickyBy")),
        ("RoutePolicy", ("otherwise",)),
        ("RoutePolicy", ("overrides", "header")),
        ("RoutePolicy", ("overrides", "rules")),
        ("RoutePolicy", ("rules", 0, "candidates")),
        ("RoutePolicy", ("rules", 0, "candidates", 0, "model")),
        ("RoutePolicy", ("rules", 0, "candidates", 0, "weight")),
    ]
)


def full(kind: str) -> dict[str, Any]:
    if kind == "ModelPool":
        allowed = {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}
        models = [{"name": "m", "aliases": ["x"], "adapters": [{"name": "y"}]}]
        return pool("p", models, allowedNamespaces=allowed, streamUsage="leave", engine="vllm")
    match = {
        "models": ["a"],
        "headers": [{"name": "h", "value": "v"}],
        "paths": [{"value": "/v1", "type": "Exact"}],
    }
    rule = {"name": "n", "candidates": [{"model": "m", "weight": 1}]}
    return policy("r", match, rules=[rule], overrides={"header": "h", "rules": ["n"]})


@settings(max_examples=examples(300), deadline=None)
@given(places, values)
def test_schema_and_types_take_and_refuse_the_same(place, value):
    kind, path = place
    resource = full(kind)
    inner: Any = resource["spec"]
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    loaded = load_objects([resource])
    # what the API server prunes (unknown fields) and what CEL and list maps refuse is left out
    codes = {one.code for one in loaded.findings}
    says_types = bool(codes & {"missing-field"}) or any(
        one.code == "invalid-value"
        and not one.path.endswith(("address", ".selector"))
        and "label's key" not in one.message
        for one in loaded.findings
    )
    valid = jsonschema.Draft7Validator(schema_of(kind)).is_valid(resource)
    assert valid != says_types, loaded.findings
