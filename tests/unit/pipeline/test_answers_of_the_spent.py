"""Where a spent soft budget sends requests elsewhere, rules on their content and their answers hold on."""

import json
from typing import Any

import pytest
from test_spending_requests import HARD, POOLS, Gateway, gateway

from pilotage_api.settings import GatewaySettings

SPENT = (
    'budgets: [{per: policy, period: day, usd: "0.001", mode: soft,'
    " whenSpent: {candidates: [{model: small}]}}]"
)
CONTENT = (
    "content: {request: [{detectors: [email], action: redact, restore: text, whenTrust: [provider]}],"
    " response: [{detectors: [secret], action: block}]}"
)
EMAIL = "alice@mail.example"
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": f"write to {EMAIL}"}]}).encode()


def trusted(large: str, small: str) -> str:
    """The pools with these values of the label `trust`."""
    labelled = POOLS.replace("name: small}", f"name: small, labels: {{trust: {small}}}}}", 1)
    return labelled.replace("name: large}", f"name: large, labels: {{trust: {large}}}}}", 1)


async def spent(more: str, pools: str = POOLS, settings: GatewaySettings = HARD) -> Gateway:
    """A gateway whose budget is spent."""
    gate = await gateway(f"{{{SPENT}{more}}}", settings, pools)
    gate.end(await gate.ask(), 10, 1000)
    return gate


async def test_answers_of_the_other_model_are_looked_at_and_values_come_back() -> None:
    exchange: Any = await (await spent(f", {CONTENT}", trusted("provider", "provider"))).ask(BODY)
    assert exchange.decision.rule == "budgets[0].whenSpent"
    assert exchange.answer.rules.actions == {"secret": "block"}
    sent = json.loads(exchange.new_body)["messages"][0]["content"]
    assert exchange.answer.originals.get(sent.removeprefix("write to ")) == EMAIL


@pytest.mark.parametrize(("large", "small", "replaced"), [("own", "provider", True), ("own", "own", False)])
async def test_whom_a_spent_budget_leads_to_counts_from_the_beginning(
    large: str, small: str, replaced: bool
) -> None:
    gate = await gateway(f"{{{SPENT}, {CONTENT}}}", HARD, trusted(large, small))
    first: Any = await gate.ask(BODY)
    assert first.decision.targets[0].upstream_model == "large"
    assert (EMAIL.encode() not in first.new_body) is replaced


async def test_the_gateways_own_rules_on_answers_hold_there_too() -> None:
    floor = {"content": {"response": [{"detectors": ["iban"], "action": "redact"}]}}
    governance = {**HARD.model_dump(by_alias=True, exclude_unset=True)["governance"], **floor}
    settings = GatewaySettings.model_validate({"governance": governance})
    exchange: Any = await (await spent("", settings=settings)).ask(BODY)
    assert exchange.decision.rule == "budgets[0].whenSpent"
    assert exchange.answer.rules.actions == {"iban": "redact"}
