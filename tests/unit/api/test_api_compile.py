"""Resources to a snapshot, and what is found on the way."""

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

from pilotage_api.compile import compile_resources
from pilotage_api.findings import ResourceKey, Severity
from pilotage_api.settings import GatewaySettings, OtherTraffic
from pilotage_api.snapshot import NameKind, RoutingSnapshot

SMALL = {"name": "llama-8b", "aliases": ["small"], "adapters": [{"name": "sql"}]}
STRONG = {"name": "llama-70b", "aliases": ["strong"]}


def test_a_quickstart_compiles_to_pools_names_and_a_route():
    result = compiled(
        pool("small", [SMALL], endpoints=[{"address": "10.0.0.1", "port": 1}, {"address": "h", "port": 2}]),
        pool("strong", [STRONG], engine="sglang", streamUsage="leave"),
        policy("auto", {"models": ["auto"]}, ["small", "strong"]),
    )
    assert result.findings == ()
    small, strong = result.snapshot.pools
    assert [(one.address, one.port) for one in small.endpoints] == [("10.0.0.1", 1), ("h", 2)]
    assert (small.key, small.models, small.engine, small.stream_usage) == (
        "default/small",
        ("llama-8b", "sql"),
        "vllm",
        "inject",
    )
    assert (strong.engine, strong.stream_usage) == ("sglang", "leave")
    names = {
        name: [(one.pool, one.upstream_model, one.kind) for one in bindings]
        for name, bindings in result.snapshot.names.items()
    }
    assert names == {
        "llama-8b": [("default/small", "llama-8b", NameKind.MODEL)],
        "small": [("default/small", "llama-8b", NameKind.ALIAS)],
        "sql": [("default/small", "sql", NameKind.ADAPTER)],
        "llama-70b": [("default/strong", "llama-70b", NameKind.MODEL)],
        "strong": [("default/strong", "llama-70b", NameKind.ALIAS)],
    }
    [route] = result.snapshot.routes
    assert (route.policy, route.model, route.glob, route.path, route.headers) == (
        "default/auto",
        "auto",
        False,
        None,
        (),
    )
    assert route.rules[0].name == "rules[0]"
    assert [(one.model, one.weight, one.bindings[0].pool) for one in route.rules[0].candidates] == [
        ("small", None, "default/small"),
        ("strong", None, "default/strong"),
    ]


def test_a_rules_own_name_and_weights_reach_the_snapshot():
    rules = [{"name": "split", "candidates": [{"model": "a", "weight": 9}, {"model": "b", "weight": 0}]}]
    [route] = compiled(pool("p", ["a", "b"]), policy("auto", rules=rules)).snapshot.routes
    assert (route.rules[0].name, [one.weight for one in route.rules[0].candidates]) == ("split", [9, 0])


def test_a_snapshot_survives_json():
    snapshot = compiled(pool("small", [SMALL]), policy("auto")).snapshot
    assert RoutingSnapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_equal_content_has_an_equal_version_whatever_the_order():
    resources = [
        pool("a", ["m"]),
        pool("b", ["m"]),
        policy("x", candidates=["m"]),
        policy("y", {"models": ["z"]}),
    ]
    one, other = compiled(*resources), compiled(*reversed(resources))
    assert one.snapshot == other.snapshot
    assert len(one.snapshot.version) == 16
    assert compiled(*resources[:3]).snapshot.version != one.snapshot.version


def test_the_same_model_in_several_pools_is_one_candidate_set():
    result = compiled(pool("b", ["m"]), pool("a", ["m"]), policy("auto", candidates=["m"]))
    assert [one.pool for one in result.snapshot.names["m"]] == ["default/a", "default/b"]
    assert [one.pool for one in result.snapshot.routes[0].rules[0].candidates[0].bindings] == [
        "default/a",
        "default/b",
    ]
    assert result.findings == ()


def test_a_candidate_no_pool_serves_is_a_warning_and_stays_in_the_rule():
    result = compiled(pool("small", [SMALL]), policy("auto", candidates=["small", "smal"]))
    finding = only(result.findings)
    assert (finding.severity, finding.code, finding.path) == (
        Severity.WARNING,
        "no-such-model",
        "spec.rules[0].candidates[1].model",
    )
    assert [len(one.bindings) for one in result.snapshot.routes[0].rules[0].candidates] == [1, 0]


def test_a_policy_none_of_whose_candidates_is_served_is_an_error_and_still_matches():
    result = compiled(pool("small", [SMALL]), policy("auto", candidates=["gone"]))
    assert brief(result.findings) == [
        ("warning", "no-such-model", "spec.rules[0].candidates[0].model"),
        ("error", "no-candidates", "spec.rules[0].candidates"),
    ]
    assert result.has_errors
    assert len(result.snapshot.routes) == 1


def test_a_pool_without_endpoints_is_a_warning():
    assert brief(compiled(pool("p", endpoints=[])).findings) == [
        ("warning", "no-endpoints", "spec.endpoints")
    ]


def test_an_endpoint_that_stands_twice_counts_once():
    endpoints = [{"address": "a", "port": 1}, {"address": "a", "port": 2}, {"address": "a", "port": 1}]
    result = compiled(pool("p", endpoints=endpoints))
    assert brief(result.findings) == [("warning", "duplicate-endpoint", "spec.endpoints[2]")]
    assert [one.port for one in result.snapshot.pools[0].endpoints] == [1, 2]


def test_the_same_endpoint_may_stand_in_two_pools():
    assert compiled(pool("a"), pool("b")).findings == ()


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"fail_open_pool": "default/gone"}, "spec.failOpenPool"),
        ({"fail_open_pool": "small"}, "spec.failOpenPool"),
        ({"other_paths": OtherTraffic(action="forward", pool="default/gone")}, "spec.otherPaths.pool"),
        ({"other_bodies": OtherTraffic(action="forward")}, "spec.otherBodies.pool"),
        ({"other_bodies": OtherTraffic(pool="default/small")}, "spec.otherBodies.pool"),
    ],
)
def test_settings_that_name_no_pool_are_told(settings, path):
    finding = only(compiled(pool("small"), **settings).findings)
    assert (str(finding.resource), finding.path) == ("GatewaySettings pilotage", path)


def test_a_finding_of_the_compiler_names_file_and_line():
    loaded = load(pool("small"), policy("auto", candidates=["small", "smal"]))
    finding = compile_resources(loaded, GatewaySettings()).findings[0]
    assert finding.file == "all.yaml"
    assert finding.line is not None
    assert finding.line > 10


def test_one_bad_resource_takes_no_other_down():
    result = compiled(pool("good", ["m"]), pool("bad", engine="x"), policy("auto", candidates=["m"]))
    assert result.refused == {ResourceKey("ModelPool", "default", "bad")}
    assert [one.key for one in result.snapshot.pools] == ["default/good"]
    assert len(result.snapshot.routes) == 1
    assert result.has_errors


def test_nothing_compiles_to_an_empty_snapshot():
    assert compiled().snapshot.pools == ()
    assert compiled().findings == ()


@pytest.mark.parametrize("name", ["a\r\nset-cookie: evil=1", "a;b", 'a"b', "\x1b[31m", "a b", "-a", "ä"])
def test_a_rule_name_that_could_end_a_header_is_refused(name):
    done = compiled(pool("a", ["m"]), policy("r", rules=[{"name": name, "candidates": [{"model": "m"}]}]))
    assert brief(done.findings) == [("error", "invalid-value", "spec.rules[0].name")]
    assert done.snapshot.routes == ()


@pytest.mark.parametrize("name", ["m\x1b[31m", "m\x9b31m", "m\r\nset-cookie: a=b"])
def test_a_model_name_with_control_characters_is_refused(name):
    done = compiled(pool("a", [name]))
    assert brief(done.findings) == [("error", "invalid-value", "spec.models[0].name")]
