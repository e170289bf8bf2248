"""Parts of a match that no request ever fits are told."""

import pytest
from api_manifests import brief, compiled, only, policy, pool

from pilotage_api.calls import INFERENCE_PATHS, STEERING_PREFIXES
from pilotage_extproc.dialects.table import CALLS


def found(match: dict) -> list[tuple[str, str, str]]:
    return brief(compiled(pool("p", ["m"]), policy("r", match, ["m"])).findings)


def test_the_paths_told_are_those_the_picker_knows():
    assert set(INFERENCE_PATHS) == {path for call in CALLS for path in call.paths}


@pytest.mark.parametrize(
    "path",
    [
        {"value": "/nothing/here"},
        {"value": "/v1//x/"},
        {"value": "/v1/models"},
        {"value": "/v1/chat/completions/", "type": "Exact"},
        {"value": "/v1", "type": "Exact"},
        {"value": "/v1/chat/completion"},
    ],
)
def test_a_path_of_no_call_is_told(path):
    assert found({"paths": [path]}) == [("warning", "never-matches", "spec.match.paths[0]")]


@pytest.mark.parametrize("value", ["/", "/v1", "/v1/", "/v1/chat", *INFERENCE_PATHS, "/v1/responses/"])
def test_a_prefix_of_a_call_is_none(value):
    assert found({"paths": [{"value": value}]}) == []


def test_the_nearest_call_is_named():
    result = compiled(pool("p", ["m"]), policy("r", {"paths": [{"value": "/v1/chat/completion"}]}, ["m"]))
    finding = only(result.findings)
    assert finding.fix == "did you mean /v1/chat/completions?"
    assert finding.message == "no inference call has this path and the policy never applies"


@pytest.mark.parametrize(
    "name", [*STEERING_PREFIXES[1:3], "X-Gateway-Destination-Endpoint", "x-envoy-retry-on", "Accept-Encoding"]
)
def test_a_header_that_envoy_drops_is_told(name):
    assert found({"headers": [{"name": name}]}) == [
        ("warning", "never-matches", "spec.match.headers[0].name")
    ]


@pytest.mark.parametrize("name", ["x-tier", "x-envoy-internal", "x-gateway-inference-objective", "accept"])
def test_a_header_that_arrives_is_not(name):
    assert found({"headers": [{"name": name}]}) == []
