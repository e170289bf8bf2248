"""Profiles, saturation and health of a pool: checked, defaulted, compiled."""

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

from pilotage_api.compile import compile_resources
from pilotage_api.scheduling import BUILT_IN_PICKERS, BUILT_IN_SCORERS, seconds
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    HealthSnapshot,
    ProfileSnapshot,
    SaturationSnapshot,
    WeightedSnapshot,
)

SCORERS = [{"type": "prefix-cache", "weight": 3}, {"type": "queue-depth", "weight": 2}]


def test_a_pool_says_how_its_servers_are_chosen_among():
    spec = {
        "scheduling": {"scorers": SCORERS, "picker": {"type": "weighted-random"}},
        "saturation": {"queueDepth": 5, "kvCacheUtilization": "0.8"},
        "health": {"consecutiveFailures": 2, "ejectionTime": "500ms"},
    }
    found = compiled(pool("small", **spec))
    assert found.findings == ()
    made = found.snapshot.pools[0]
    assert made.scheduling.scorers == (
        WeightedSnapshot(type="prefix-cache", weight=3),
        WeightedSnapshot(type="queue-depth", weight=2),
    )
    assert made.scheduling.picker.type == "weighted-random"
    assert made.saturation == SaturationSnapshot(queue_depth=5, kv_cache_utilization=0.8)
    assert made.health == HealthSnapshot(consecutive_failures=2, ejection_seconds=0.5)


def test_a_pool_that_says_nothing_has_the_defaults():
    made = compiled(pool("small")).snapshot.pools[0]
    assert made.scheduling == ProfileSnapshot()
    assert made.saturation == SaturationSnapshot()
    assert made.health == HealthSnapshot()


def test_a_policy_overrides_the_profile_for_its_requests():
    rules = [{"candidates": [{"model": "model-of-small"}]}]
    found = compiled(pool("small"), policy("auto", rules=rules, scheduling={"scorers": SCORERS}))
    scheduling = found.snapshot.routes[0].rules[0].scheduling
    assert scheduling is not None
    assert [one.type for one in scheduling.scorers] == ["prefix-cache", "queue-depth"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"scheduling": {"scorers": [{"type": "queue-depth"}]}}, "spec.scheduling.scorers[0].weight"),
        (
            {"scheduling": {"scorers": [{"type": "Queue Depth", "weight": 1}]}},
            "spec.scheduling.scorers[0].type",
        ),
        (
            {"scheduling": {"scorers": [{"type": "queue-depth", "weight": -1}]}},
            "spec.scheduling.scorers[0].weight",
        ),
        (
            {"scheduling": {"scorers": [{"type": "queue-depth", "weight": "1"}]}},
            "spec.scheduling.scorers[0].weight",
        ),
        ({"scheduling": {"scorers": [SCORERS[0], SCORERS[0]]}}, "spec.scheduling.scorers[1]"),
        ({"scheduling": {"scorer": []}}, "spec.scheduling.scorer"),
        ({"saturation": {"kvCacheUtilization": 0.8}}, "spec.saturation.kvCacheUtilization"),
        ({"saturation": {"kvCacheUtilization": "1.5"}}, "spec.saturation.kvCacheUtilization"),
        ({"saturation": {"queueDepth": 0}}, "spec.saturation.queueDepth"),
        ({"health": {"consecutiveFailures": 0}}, "spec.health.consecutiveFailures"),
        ({"health": {"ejectionTime": "10"}}, "spec.health.ejectionTime"),
        ({"health": {"ejectionTime": "0s"}}, "spec.health.ejectionTime"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(spec, path):
    assert only(load(pool("small", **spec)).findings).path == path


def test_a_name_that_is_not_built_in_is_a_warning_that_names_it():
    found = compiled(pool("small", scheduling={"scorers": [{"type": "queue-dept", "weight": 1}]}))
    finding = only(found.findings)
    assert (finding.code, finding.path) == ("unknown-step", "spec.scheduling.scorers[0].type")
    assert "did you mean 'queue-depth'" in finding.fix
    assert not found.has_errors


def test_scorers_that_all_weigh_nothing_are_a_warning():
    found = compiled(pool("small", scheduling={"scorers": [{"type": "queue-depth", "weight": 0}]}))
    assert only(found.findings).code == "no-weight"


def test_a_plug_in_that_is_installed_where_this_runs_is_no_warning():
    loaded = load(pool("small", scheduling={"filters": [{"type": "x/there"}, {"type": "x/away"}]}))
    found = compile_resources(loaded, GatewaySettings(), installed=frozenset({"x/there"}))
    assert brief(found.findings) == [
        ("info", "plug-in", "spec.scheduling.filters[0].type"),
        ("warning", "unknown-step", "spec.scheduling.filters[1].type"),
    ]


def test_parameters_of_what_is_built_in_are_told_to_have_no_effect():
    scheduling = {
        "scorers": [{**SCORERS[0], "parameters": {"half": "3"}}, SCORERS[1]],
        "picker": {"type": "max-score", "parameters": {"seed": "1"}},
    }
    assert brief(compiled(pool("small", scheduling=scheduling)).findings) == [
        ("warning", "no-effect", "spec.scheduling.scorers[0].parameters"),
        ("warning", "no-effect", "spec.scheduling.picker.parameters"),
    ]


@pytest.mark.parametrize(
    ("scheduling", "finding"),
    [
        ({}, [("warning", "empty-profile", "spec.scheduling")]),
        ({"picker": {"type": "weighted-random"}}, [("info", "default-scorers", "spec.scheduling")]),
        ({"scorers": SCORERS}, []),
    ],
)
def test_a_policy_that_replaces_scorers_without_naming_any_is_told(scheduling, finding):
    rules = [{"candidates": [{"model": "model-of-small"}]}]
    found = compiled(
        pool("small", scheduling={"scorers": SCORERS}), policy("auto", rules=rules, scheduling=scheduling)
    )
    assert brief(found.findings) == finding


@pytest.mark.parametrize(
    ("spec", "finding"),
    [
        (
            {"saturation": {"kvCacheUtilization": "0.0"}},
            [("warning", "always-full", "spec.saturation.kvCacheUtilization")],
        ),
        (
            {"health": {"ejectionTime": "999999h"}},
            [("warning", "long-ejection", "spec.health.ejectionTime")],
        ),
        ({"saturation": {"kvCacheUtilization": "0.01"}, "health": {"ejectionTime": "1h"}}, []),
    ],
)
def test_bounds_that_are_hardly_meant_are_warnings(spec, finding):
    assert brief(compiled(pool("small", **spec)).findings) == finding


@pytest.mark.parametrize(("text", "value"), [("250ms", 0.25), ("10s", 10), ("2m", 120), ("1h", 3600)])
def test_durations(text, value):
    assert seconds(text) == value


def test_the_picker_knows_every_built_in_step():
    from pilotage_extproc.scheduling.profile import PICKERS
    from pilotage_extproc.scheduling.profile import SCORERS as MADE

    assert set(MADE) == BUILT_IN_SCORERS
    assert set(PICKERS) == BUILT_IN_PICKERS
