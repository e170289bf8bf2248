"""Rules on answers, compiled: what they say, and what cannot be kept."""

import pytest

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.load import load_texts
from pilotage_api.previous_snapshot import lowered
from pilotage_api.settings import GatewaySettings

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec: {endpoints: [{address: 10.0.0.1, port: 80}], models: [{name: small}]}
"""


def compiled(content: str, **settings: object) -> Compiled:
    policy = f"""
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: p}}
spec: {{rules: [{{candidates: [{{model: small}}]}}], governance: {{content: {content}}}}}
"""
    texts = [("a.yaml", POOL), ("b.yaml", policy)]
    return compile_resources(load_texts(texts), GatewaySettings.model_validate(settings))


def codes(found: Compiled) -> dict[str, str]:
    return {one.code: f"{one.severity.value} {one.path}" for one in found.findings}


def test_rules_on_answers_are_in_the_snapshot_with_their_window() -> None:
    found = compiled(
        "{request: [{detectors: [email], action: redact, restore: text}],"
        " response: [{detectors: [secret], action: block}, {detectors: [iban], action: flag, window: 64,"
        " onError: pass}]}"
    )
    assert codes(found) == {}
    [route] = found.snapshot.routes
    assert route.guards is not None
    assert [(one.action, one.window, one.refuses) for one in route.guards.answers] == [
        ("block", 1024, True),
        ("flag", 64, False),
    ]
    assert route.guards.content[0].restores
    assert route.guards.reads_answers
    assert lowered(found.snapshot).policies == ("default/p",)


def test_a_policy_that_guards_requests_alone_reads_no_answer() -> None:
    [route] = compiled("{request: [{detectors: [email], action: redact}]}").snapshot.routes
    assert route.guards is not None
    assert not route.guards.reads_answers


def test_a_detector_that_there_is_not_refuses_the_policys_requests() -> None:
    found = compiled("{response: [{detectors: [email, ticket], action: block}]}")
    assert codes(found)["no-such-detector"] == "error spec.governance.content.response[0].detectors[1]"
    assert found.snapshot.routes[0].guards is not None
    assert found.snapshot.routes[0].guards.unenforceable == "there is no detector 'ticket'"


@pytest.mark.parametrize("action", ["block", "flag"])
def test_only_what_is_replaced_can_be_put_back(action: str) -> None:
    found = compiled(f"{{request: [{{detectors: [email], action: {action}, restore: text}}]}}")
    assert codes(found)["invalid-value"] == "error spec.governance.content.request[0].restore"


@pytest.mark.parametrize("rule", ["{detectors: [email], action: redact, window: 8}", "{action: block}"])
def test_what_the_schema_forbids_is_an_error(rule: str) -> None:
    assert compiled(f"{{response: [{rule}]}}").has_errors


def test_answers_cannot_be_kept_where_the_gateway_fails_open() -> None:
    found = compiled("{response: [{detectors: [email], action: redact}]}", failOpenPool="default/small")
    assert codes(found)["not-enforceable"] == "error spec.governance.content.response"
    assert found.snapshot.routes[0].guards is not None
    assert "failOpenPool" in (found.snapshot.routes[0].guards.unenforceable or "")
    flagged = compiled("{response: [{detectors: [email], action: flag}]}", failOpenPool="default/small")
    assert "not-enforceable" not in codes(flagged)


def test_a_detector_that_only_answers_name_has_an_effect() -> None:
    own = "own: [{name: ticket, pattern: 'TCK-[0-9]{4}'}]"
    assert codes(compiled(f"{{{own}, response: [{{detectors: [ticket], action: flag}}]}}")) == {}
