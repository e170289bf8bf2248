"""Examples for gateways that are not run here keep to the schemas of the CRDs they use."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
SCHEMAS = ("gateway-api-inference-extension-1.5", "istio-1.32", "gke-gateway-api")


def closed(schema: Any) -> Any:
    """The schema, refusing fields it does not name; an API server would drop them without a word."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {name: closed(one) for name, one in found["properties"].items()}
        found.setdefault("additionalProperties", False)
    if "items" in found:
        found["items"] = closed(found["items"])
    return found


def schemas() -> dict[tuple[str, str], Any]:
    found = {}
    for folder in SCHEMAS:
        for path in (ROOT / "tests" / "fixtures" / folder).glob("*.yaml"):
            crd = yaml.safe_load(path.read_text())["spec"]
            for version in crd["versions"]:
                schema = closed(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= {"apiVersion": True, "kind": True, "metadata": True}  # implied
                found[f"{crd['group']}/{version['name']}", crd["names"]["kind"]] = schema
    return found


def manifests(name: str) -> list[dict[str, Any]]:
    texts = [path.read_text() for path in sorted((ROOT / "examples" / name).glob("*.yaml"))]
    found = [one for text in texts for one in yaml.safe_load_all(text)]
    return [one for one in found if "kind" in one and not one["apiVersion"].startswith("gateway.networking")]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("agentgateway", {"InferencePool"}),
        ("istio", {"InferencePool", "DestinationRule"}),
        ("gke", {"InferencePool", "HealthCheckPolicy", "GCPBackendPolicy"}),
    ],
)
def test_an_example_keeps_to_the_schemas_of_its_gateway(name: str, kinds: set[str]) -> None:
    """All but the Gateway API's own kinds, which `make test-envoy-gateway` applies."""
    known = schemas()
    for manifest in manifests(name):
        jsonschema.validate(manifest, known[manifest["apiVersion"], manifest["kind"]])
    assert {one["kind"] for one in manifests(name)} == kinds


@pytest.mark.parametrize(
    ("name", "kind", "path", "value"),
    [
        ("istio", "DestinationRule", ("spec", "trafficPolicy", "tls", "mode"), "PLAIN"),
        ("istio", "DestinationRule", ("spec", "trafficPolicy", "tls", "insecure"), True),
        ("gke", "HealthCheckPolicy", ("spec", "default", "config", "httpHealthCheck", "port"), "8000"),
        ("gke", "HealthCheckPolicy", ("spec", "default", "config", "grpcHealthCheck"), {}),
        ("gke", "GCPBackendPolicy", ("spec", "default", "timeout"), 600),
        ("agentgateway", "InferencePool", ("spec", "endpointPickerRef", "failureMode"), "Open"),
    ],
)
def test_a_wrong_field_would_be_found(name: str, kind: str, path: tuple[str, ...], value: Any) -> None:
    [manifest] = [copy.deepcopy(one) for one in manifests(name) if one["kind"] == kind]
    place: Any = manifest
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, schemas()[manifest["apiVersion"], kind])
