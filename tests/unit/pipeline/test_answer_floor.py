"""Rules of the settings on answers hold for every request; policies add to them and take nothing away."""

from typing import Any

import orjson
import pytest
from guarded_gateway import Gateway, gateway

from pilotage_api.compile import compile_resources
from pilotage_api.gateways import Gateway as Front
from pilotage_api.load import Loaded
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
BLOCKS = {"detectors": ["secret"], "action": "block"}
ELSEWHERE = "spec.governance.content.response"


def floor(*rules: dict[str, Any], **more: Any) -> GatewaySettings:
    return GatewaySettings.model_validate({"governance": {"content": {"response": list(rules)}}, **more})


def actions(exchange: Exchange) -> dict[str, str]:
    assert exchange.answer is not None
    assert exchange.answer.rules is not None
    return dict(exchange.answer.rules.actions)


async def guarded(governance: str = "{}", *rules: dict[str, Any]) -> Gateway:
    return await gateway(governance, settings=floor(*(rules or (BLOCKS,))))


@pytest.mark.parametrize("model", ["auto", "small"])
async def test_answers_are_looked_at_with_and_without_a_policy(model: str) -> None:
    exchange = await (await guarded()).ask({**CHAT, "model": model})
    assert actions(exchange) == {"secret": "block"}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/completions"])
async def test_answers_of_all_apis_are_looked_at(path: str) -> None:
    asked = {"model": "small", "messages": CHAT["messages"], "max_tokens": 1}
    if path != "/v1/messages":
        asked = {"model": "small", "input" if path == "/v1/responses" else "prompt": "hi"}
    assert actions(await (await guarded()).ask(asked, path)) == {"secret": "block"}


async def test_a_policy_adds_to_it() -> None:
    more = "{content: {response: [{detectors: [iban], action: redact, window: 4096}]}}"
    exchange = await (await guarded(more)).ask(CHAT)
    assert actions(exchange) == {"secret": "block", "iban": "redact"}
    assert exchange.answer is not None
    assert exchange.answer.rules is not None
    assert exchange.answer.rules.window == 4096


async def test_a_policy_that_says_less_takes_nothing_away() -> None:
    less = "{content: {response: [{detectors: [secret], action: flag, onError: pass}]}}"
    exchange = await (await guarded(less)).ask(CHAT)
    assert actions(exchange) == {"secret": "block"}
    assert exchange.answer is not None
    assert exchange.answer.rules is not None
    assert exchange.answer.rules.refuses


@pytest.mark.parametrize(
    "governance",
    [
        "{limits: [{per: user, window: 1m, requests: 5}], kvIsolation: tenant}",
        "{tools: [{deny: ['*']}]}",
        "{content: {request: [{detectors: [email], action: redact, restore: text}]}}",
    ],
)
async def test_other_rules_of_a_policy_leave_it(governance: str) -> None:
    assert actions(await (await guarded(governance)).ask(CHAT)) == {"secret": "block"}


async def test_an_answer_that_cannot_be_looked_at_is_refused_whoever_asks() -> None:
    gate = await guarded()
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, answer_passes=False))
    await gate.pipeline.begin(exchange)
    exchange.received(orjson.dumps({**CHAT, "model": "small"}))
    with pytest.raises(RequestRefused) as refused:
        await gate.pipeline.decide(exchange)
    assert refused.value.reason is Refusal.CONTENT_NOT_CHECKED


async def test_calls_without_text_in_their_answers_go_on() -> None:
    exchange = await (await guarded()).ask({"model": "small", "input": "hi"}, "/v1/embeddings")
    assert exchange.answer is None


async def test_with_fail_open_it_cannot_be_kept_and_nothing_is_served() -> None:
    failing = floor(BLOCKS, failOpenPool="default/own")
    gate = await gateway(settings=failing, faultless=False)
    [found] = [one for one in gate.found.findings if one.code == "not-enforceable"]
    assert found.resource is not None
    assert (found.resource.kind, found.path) == ("GatewaySettings", ELSEWHERE)
    for model in ("auto", "small"):
        with pytest.raises(RequestRefused, match="failOpenPool"):
            await gate.ask({**CHAT, "model": model})


async def test_with_fail_open_it_may_flag() -> None:
    settings = floor({**BLOCKS, "action": "flag"}, failOpenPool="default/own")
    gate = await gateway(settings=settings)
    assert actions(await gate.ask(CHAT)) == {"secret": "flag"}


def test_settings_name_built_in_detectors_alone() -> None:
    with pytest.raises(ValueError, match="no built-in detector"):
        floor({"detectors": ["ticket"], "action": "block"})
    with pytest.raises(ValueError, match="window"):
        floor({**BLOCKS, "window": 8})


@pytest.mark.parametrize("front", [Front.OTHER, Front.INFERENCE_POOL])
def test_check_says_what_it_takes_behind_another_gateway(front: Front) -> None:
    settings = floor(BLOCKS).model_copy(update={"gateway": front})
    found = compile_resources(Loaded(), settings).findings
    assert ("depends-on-gateway", ELSEWHERE) in {(one.code, one.path) for one in found}
