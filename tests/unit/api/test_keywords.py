"""Policies declare sets of keywords; conditions name their own policy's."""

import pytest

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings, PromptFeatureSettings

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: pool}
spec: {endpoints: [{address: 127.0.0.1, port: 8000}], models: [{name: m}]}
---
"""
POLICY = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: %s}
spec:
  match: {models: [%s]}
  keywords: %s
  rules:
  - {name: first, when: "%s", candidates: [{model: m}]}
  - {name: rest, candidates: [{model: m}]}
---
"""
SETS = "[{name: legal, words: [lease, Power of Attorney]}]"


def compiled(*policies: tuple[str, str, str, str]) -> Compiled:
    text = POOL + "".join(POLICY % policy for policy in policies)
    return compile_resources(load_texts([("a.yaml", text)]), GatewaySettings())


def codes(found: Compiled) -> list[tuple[str, str]]:
    return [(one.code, one.path) for one in found.findings]


def test_a_snapshot_has_the_sets_that_rules_name_under_their_full_names():
    found = compiled(("p", "auto", SETS, "prompt.keywords('legal')"))
    assert not found.findings
    [one] = found.snapshot.keywords
    assert (one.name, one.words) == ("default/p/legal", ("lease", "Power of Attorney"))
    [route] = found.snapshot.routes
    assert route.rules[0].when == "prompt.keywords('default/p/legal')"
    assert route.rules[0].reads == ('prompt.keywords("default/p/legal")',)


def test_a_set_that_is_not_declared_is_an_error_and_its_rule_never_holds():
    found = compiled(("p", "auto", SETS, "request.stream || prompt.keywords('leagl')"))
    assert ("no-such-keywords", "spec.rules[0].when") in codes(found)
    assert any("did you mean 'legal'?" in one.fix for one in found.findings)
    assert found.snapshot.routes[0].rules[0].when == "false"
    assert found.snapshot.keywords == ()


def test_a_policy_cannot_name_another_ones_set():
    found = compiled(
        ("p", "a", SETS, "prompt.keywords('legal')"), ("q", "b", "[]", "prompt.keywords('default/p/legal')")
    )
    assert codes(found) == [("no-such-keywords", "spec.rules[0].when")]


def test_a_set_that_no_rule_names_is_told():
    found = compiled(("p", "auto", SETS, "request.stream"))
    assert codes(found) == [("no-effect", "spec.keywords[0]")]
    assert found.snapshot.keywords == ()


@pytest.mark.parametrize(
    ("sets", "path"),
    [
        ("[{name: a, words: ['--']}]", "spec.keywords[0].words[0]"),
        ("[{name: a, words: ['a b c d e f g h i']}]", "spec.keywords[0].words[0]"),
        ("[{name: a, words: []}]", "spec.keywords[0].words"),
        ("[{name: 'A B', words: [x]}]", "spec.keywords[0].name"),
        ("[{name: a, words: [x]}, {name: a, words: [y]}]", "spec.keywords[1]"),
        ("[{name: a, words: [x, x]}]", "spec.keywords[0].words[1]"),
    ],
)
def test_sets_that_find_nothing_are_refused(sets, path):
    found = compiled(("p", "auto", sets, "request.stream"))
    assert path in [one.path for one in found.findings]
    assert found.refused


@pytest.mark.parametrize(
    ("features", "found"),
    [
        ({}, [("no-gain-weights", "spec.rules[0].when")]),
        ({"gain_file": "/own.predictor"}, []),
        ({"remote": {"url": "http://guard:80/", "provides": ["strongGain"]}}, []),
        (
            {"remote": {"url": "http://guard:80/", "provides": ["domain"]}},
            [("no-gain-weights", "spec.rules[0].when")],
        ),
    ],
)
def test_a_gain_that_nothing_tells_is_warned_of(features, found):
    text = POOL + POLICY % ("p", "auto", "[]", "prompt.strongGain > 0.2")
    settings = GatewaySettings(prompt_features=PromptFeatureSettings.model_validate(features))
    assert codes(compile_resources(load_texts([("a.yaml", text)]), settings)) == found
