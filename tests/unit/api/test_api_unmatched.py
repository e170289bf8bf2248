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


@pytest.mark.parametrize(
    "header",
    [
        {"name": "Connection"},
        {"name": "upgrade", "value": "websocket"},
        {"name": "keep-alive"},
        {"name": "transfer-encoding", "value": "chunked"},
        {"name": "expect"},
        {"name": "Expect", "value": "100-Continue"},
        {"name": "te", "value": "gzip"},
        {"name": "X-Forwarded-Proto", "value": "https"},
        {"name": "x-forwarded-client-cert"},
    ],
)
def test_a_header_that_is_never_passed_on_or_written_anew_is_told_with_what_to_do(header):
    result = compiled(pool("p", ["m"]), policy("r", {"headers": [header]}, ["m"]))
    finding = only(result.findings)
    assert (finding.code, finding.path) == ("never-matches", "spec.match.headers[0].name")
    assert "match a header of your own" in finding.fix


@pytest.mark.parametrize(
    "header",
    [
        {"name": "Host", "value": "models.example"},
        {"name": "te"},
        {"name": "te", "value": "trailers"},
        {"name": "expect", "value": "x-quick"},
        {"name": "x-forwarded-proto"},
        {"name": "x-forwarded-host", "value": "models.example"},
    ],
)
def test_a_value_that_can_arrive_is_not(header):
    assert found({"headers": [header]}) == []


@pytest.mark.parametrize("name", ["x-tier", "x-envoy-internal", "x-gateway-inference-objective", "accept"])
def test_a_header_that_arrives_is_not(name):
    assert found({"headers": [{"name": name}]}) == []
