"""Who asks: by key, token or trusted header; everybody else is refused in the shape of their API."""

import json

import pytest
from identity_rig import KEYS, POLICY, POOL, bearer, gateway, key

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.domain.refusals import ErrorShape, Refusal, RequestRefused
from pilotage_extproc.domain.vouched import Vouched
from pilotage_extproc.state.api_keys import KeyBook

JWT = {"jwt": {"issuer": "https://idp.example", "jwksUri": "https://idp.example/keys", "tenantClaim": "org"}}
TRUSTED = {"trustedHeader": {"name": "X-Tenant", "fromCidrs": ["10.1.0.0/16", "fd00::/8"]}}


async def refused(asked):
    with pytest.raises(RequestRefused) as found:
        await asked
    return found.value


@pytest.mark.parametrize(
    "headers",
    [bearer("one"), {"authorization": "bearer  one"}, {"x-api-key": "one"}, {"api-key": "one"}],
)
async def test_a_key_is_taken_from_the_header_of_each_api(headers):
    asking = await gateway(POOL, POLICY, keys=[key("one", team="support")])
    exchange = await asking.ask(headers=headers)
    assert exchange.identity == Identity("acme", "support", "id-one")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("two"),
        bearer(""),
        {"authorization": "Basic one"},
        {"x-api-key": "one,one"},
        {"x-tenant": "acme"},
        {"x-forwarded-for": "10.1.0.1", "x-tenant": "acme"},
    ],
)
async def test_whoever_is_not_known_is_refused_with_401_and_a_challenge(headers):
    asking = await gateway(POOL, POLICY, keys=[key("one")], identity={**KEYS, **TRUSTED})
    found = await refused(asking.ask(headers=headers))
    assert found.reason is Refusal.UNAUTHENTICATED
    assert found.headers()["www-authenticate"].startswith("Bearer realm=")
    assert json.loads(found.body())["error"]["code"] == "invalid_api_key"
    assert json.loads(found.body(ErrorShape.ANTHROPIC))["error"]["type"] == "authentication_error"


async def test_a_revoked_or_expired_key_is_refused_from_the_next_request_on():
    asking = await gateway(POOL, POLICY, keys=[key("one"), key("old", expires_at=1.0)])
    assert (await refused(asking.ask(headers=bearer("old")))).reason is Refusal.UNAUTHENTICATED
    await asking.ask(headers=bearer("one"))
    asking.state.keys.follow([])
    assert (await refused(asking.ask(headers=bearer("one")))).reason is Refusal.UNAUTHENTICATED


async def test_nobody_is_served_before_keys_are_known():
    asking = await gateway(POOL, POLICY, keys=[])
    asking.state.keys._by_prefix = None
    assert (await refused(asking.ask(headers=bearer("one")))).reason is Refusal.IDENTITY_AWAY


def test_a_key_that_shares_the_beginning_of_a_hash_is_not_taken_for_another():
    book, one = KeyBook(), key("one")
    other = type(one)("other", one.digest[:8] + bytes(24), "else")
    book.follow([other, one])
    assert book.find("one", 0.0) is one
    assert book.find("two", 0.0) is None


async def test_a_tokens_claims_say_who_asks_where_envoy_has_verified_it():
    asking = await gateway(POOL, POLICY, identity={"jwt": {**JWT["jwt"], "teamClaim": "realm.team"}})
    claims = {"org": "acme", "sub": "ann", "realm": {"team": "search"}}
    exchange = await asking.ask(headers=bearer("e.y.j"), vouched=Vouched(claims=claims))
    assert exchange.identity == Identity("acme", "search", "", "ann")
    assert (await refused(asking.ask(headers=bearer("e.y.j")))).reason is Refusal.UNAUTHENTICATED


@pytest.mark.parametrize("org", [None, "", 7, ["acme"], " acme", "a" * 300, "a\nb"])
async def test_a_token_that_names_no_tenant_is_refused_with_403(org):
    asking = await gateway(POOL, POLICY, identity=JWT)
    found = await refused(asking.ask(vouched=Vouched(claims={"org": org})))
    assert found.reason is Refusal.UNKNOWN_TENANT


@pytest.mark.parametrize("source", ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"])
async def test_a_header_of_a_trusted_proxy_names_the_tenant(source):
    asking = await gateway(POOL, POLICY, identity=TRUSTED)
    exchange = await asking.ask(headers={"x-tenant": "acme"}, vouched=Vouched(source=source))
    assert exchange.identity == Identity("acme")


@pytest.mark.parametrize("source", [None, "10.2.0.1", "127.0.0.1", "@", "fe80::1%eth0"])
async def test_from_anywhere_else_it_counts_for_nothing(source):
    asking = await gateway(POOL, POLICY, identity=TRUSTED)
    found = await refused(asking.ask(headers={"x-tenant": "acme"}, vouched=Vouched(source=source)))
    assert found.reason is Refusal.UNAUTHENTICATED


async def test_rules_read_who_asks():
    asking = await gateway(POOL, POLICY, keys=[key("one", team="support"), key("two")])
    assert (await asking.ask(headers=bearer("one"))).decision.targets[0].upstream_model == "large"
    assert (await asking.ask(headers=bearer("two"))).decision.targets[0].upstream_model == "small"


async def test_without_identity_no_plan_has_a_stage_for_it():
    asking = await gateway(POOL, POLICY, identity=None)
    plans = asking.pipeline._plans
    assert [stage.name for stage in plans.on_head] == ["head"]
    assert "authorize" not in [stage.name for stage in plans.on_body]
    assert GatewaySettings().governance.floor is False
    assert (await asking.ask()).identity == Identity()


async def test_a_decision_is_explained_to_the_operator_without_a_key():
    asking = await gateway(POOL, POLICY)
    head = RequestHead("POST", "/v1/chat/completions", {})
    record = await asking.pipeline.consider(
        head, b'{"model":"auto","messages":[{"role":"user","content":"x"}]}'
    )
    assert record.route.policy == "default/auto"
