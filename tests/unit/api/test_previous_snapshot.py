"""A snapshot in the format before says the same, or is not made."""

import json
from pathlib import Path

import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_objects
from pilotage_api.previous_snapshot import PreviousSnapshot, lowered
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot

FORMER = Path(__file__).parents[2] / "fixtures" / "version-before"
RESOURCES = list(yaml.safe_load_all((FORMER / "resources.yaml").read_text()))
CONTENT = (FORMER / "content.json").read_bytes()
STRONG = {"candidates": [{"model": "strong"}]}
CONDITIONAL = {"when": "request.stream", **STRONG}


def snapshot(*more: dict) -> RoutingSnapshot:
    loaded = load_objects([*RESOURCES, *more])
    assert not loaded.refused, loaded.findings
    return compile_resources(loaded, GatewaySettings()).snapshot


def policy(name: str, **spec) -> dict:
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"match": {"models": [name]}, **spec},
    }


def test_resources_of_the_version_before_give_byte_for_byte_what_that_version_made():
    made = lowered(snapshot()).snapshot
    assert made.content() == CONTENT
    assert made.version == json.loads((FORMER / "head.json").read_text())["current"]["version"]


def test_reading_it_gives_rules_that_route_alike():
    former = PreviousSnapshot.model_validate_json(CONTENT)
    today = {(one.policy, one.model): one for one in snapshot().routes}
    assert len(former.routes) == len(today) > 2
    for route in former.routes:
        upgraded = route.upgraded()
        now = today[route.policy, route.model]
        assert upgraded == now.model_copy(update={"rules": now.rules[:1]})
        assert upgraded.always_answers


@pytest.mark.parametrize(
    "spec",
    [
        {"rules": [STRONG, CONDITIONAL]},
        {"rules": [STRONG], "otherwise": "next"},
        {"rules": [{"when": "true", **STRONG}, STRONG]},
    ],
)
def test_a_policy_whose_first_rule_takes_every_request_can_be_said(spec):
    made = lowered(snapshot(policy("more", **spec)))
    assert made.policies == ()
    [route] = (one for one in made.snapshot.routes if one.policy == "default/more")
    assert [one.model for one in route.rule.candidates] == ["strong"]


@pytest.mark.parametrize(
    "spec",
    [
        {"rules": [CONDITIONAL]},
        {"rules": [CONDITIONAL, STRONG]},
        {"rules": [{"when": "false", **STRONG}]},
        {"rules": [STRONG, {"name": "b", **CONDITIONAL}], "overrides": {"header": "x-rule", "rules": ["b"]}},
        {"rules": [{"candidates": [{"model": "strong", "weight": 1}], "stickyBy": "x-user"}]},
    ],
)
def test_a_policy_that_would_route_otherwise_is_named_and_nothing_is_made(spec):
    made = lowered(snapshot(policy("more", **spec), policy("fine", rules=[STRONG])))
    assert made.snapshot is None
    assert made.policies == ("default/more",)
