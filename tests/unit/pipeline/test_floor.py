"""The governance floor: each way round it is closed, and says so."""

import pytest
from identity_rig import POLICY, POOL, compiled, gateway, key

from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.stages.refuse_steering import STEERING_MEMBERS

LIMITED = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: limited}
spec:
  match: {models: ["*"]}
  rules: [{candidates: [{model: small}]}]
  governance: {limits: [{per: tenant, window: 1m, requests: 5}]}
"""
SPECIFIC = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: specific}
spec:
  match: {models: [large]}
  rules: [{candidates: [{model: large}]}]
  governance: GOVERNANCE
"""
TENANT = """
apiVersion: pilotage.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {models: ["auto", "s*"], teams: [search]}
"""
SMALL = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: small}
spec:
  match: {models: [small]}
  rules: [{candidates: [{model: small}]}]
"""
ONE = {"authorization": "Bearer one"}


async def refused(asked):
    with pytest.raises(RequestRefused) as found:
        await asked
    return found.value


async def test_another_model_name_leads_round_no_policy():
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    await asking.ask("auto", headers=ONE)
    for model in ("small", "large", "Auto", "auto ", "", "nothing"):
        found = await refused(asking.ask(model, headers=ONE))
        assert found.reason in (Refusal.NO_POLICY, Refusal.MISSING_MODEL, Refusal.INVALID_FIELD), model


@pytest.mark.parametrize("name", [*sorted(STEERING_MEMBERS), "Model", "MODEL"])
async def test_a_member_that_would_choose_a_server_a_cache_or_a_model_leads_round_no_policy(name):
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    found = await refused(asking.ask("auto", headers=ONE, **{name: "large"}))
    assert (found.reason, found.param) == (
        Refusal.INVALID_FIELD,
        name if name in STEERING_MEMBERS else "model",
    )
    await asking.ask("auto", headers=ONE, lora_path=None, mode="x")
    without = await gateway(POOL, POLICY, identity=None, unmatched="refuse")
    assert (await refused(without.ask("auto", **{name: "large"}))).reason is Refusal.INVALID_FIELD
    free = await gateway(POOL, POLICY, identity=None)
    await free.ask("auto", **{name: "large"})


ADVISOR = {"type": "advisor_20260301", "name": "advisor", "model": "large"}
ADDED = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": ADVISOR}}


@pytest.mark.parametrize(
    ("member", "more"),
    [
        ("tools", {"tools": [{"name": "f", "input_schema": {}}, ADVISOR]}),
        ("messages", {"messages": [{"role": "system", "content": [ADDED]}]}),
        ("messages", {"messages": [{"role": "user", "content": [{}] * 20_000}, {"tools": [ADVISOR]}]}),
    ],
)
async def test_a_tool_that_asks_another_model_leads_round_no_policy(member, more):
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9, **more}
    found = await refused(asking.ask("auto", headers=ONE, path="/v1/messages", **body))
    assert (found.reason, found.param) == (Refusal.INVALID_FIELD, member)
    free = await gateway(POOL, POLICY, identity=None)
    await free.ask("auto", path="/v1/messages", **body)


async def test_a_tool_whose_arguments_have_a_model_is_served():
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    schema = {"type": "object", "properties": {"model": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "order", "parameters": schema}}]
    await asking.ask("auto", headers=ONE, tools=tools)


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
async def test_what_another_tenant_has_stored_is_not_reached_by_the_id_of_an_item(item):
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    said = {"type": "message", "role": "user", "content": "and then?", "id": "msg_2"}
    path = "/v1/responses"
    found = await refused(asking.ask("auto", headers=ONE, path=path, input=[item, said]))
    assert (found.reason, found.param) == (Refusal.INVALID_FIELD, "input")
    await asking.ask("auto", headers=ONE, path=path, input=[said, {"role": "user", "content": "x"}])
    alone = await gateway(POOL, POLICY, identity=None)
    await alone.ask("auto", path=path, input=[item, said])


CODE = {"type": "code_interpreter", "container": "cntr_1"}
SHELL = {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}}


@pytest.mark.parametrize(
    ("path", "param", "more"),
    [
        ("/v1/messages", "thread", {"thread": {"type": "continue", "previous_message_id": "msg_1"}}),
        ("/v1/messages", "container", {"container": "container_1"}),
        ("/v1/messages", "container", {"container": {"id": "container_1", "skills": []}}),
        ("/v1/messages", "diagnostics", {"diagnostics": {"previous_message_id": "msg_1"}}),
        ("/v1/messages/count_tokens", "thread", {"thread": {"type": "continue"}}),
        ("/v1/responses", "conversation", {"conversation": "conv_1"}),
        ("/v1/responses", "tools", {"tools": [CODE]}),
        ("/v1/responses", "tools", {"tools": [SHELL]}),
        ("/v1/responses", "input", {"input": [{"type": "additional_tools", "tools": [CODE]}]}),
    ],
)
async def test_what_the_provider_keeps_for_all_tenants_is_not_reached(path, param, more):
    body = {"input": "hi", **more}
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    found = await refused(asking.ask("auto", headers=ONE, path=path, **body))
    assert (found.reason, found.param) == (Refusal.INVALID_FIELD, param)
    alone = await gateway(POOL, POLICY, identity=None, unmatched="refuse")
    await alone.ask("auto", path=path, **body)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/messages", {"container": {"skills": [{"type": "anthropic", "skill_id": "xlsx"}]}}),
        ("/v1/responses", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
        ("/v1/responses", {"tools": [{"type": "computer_use_preview", "environment": "linux"}]}),
        ("/v1/responses", {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}),
    ],
)
async def test_a_container_of_its_own_is_served_to_a_tenant(path, more):
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    await asking.ask("auto", headers=ONE, path=path, **{"input": "hi", **more})


async def test_long_conversations_are_served_to_tenants():
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    for path, member in (("/v1/responses", "input"), ("/v1/messages", "messages")):
        turns = [{"role": "user", "content": 'the "model" in é its "container"'}] * 10_000
        await asking.ask("auto", headers=ONE, path=path, **{member: turns})


async def test_a_tool_whose_names_are_written_with_escapes_is_looked_at():
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    exchange = Exchange(RequestHead("POST", "/v1/messages", ONE))
    await asking.pipeline.begin(exchange)
    tool = b'{"type":"advisor_20260301","name":"advisor","m\\u006fdel":"large"}'
    messages = b'[{"role":"user","content":"x"}]'
    exchange.received(b'{"model":"auto","max_tokens":9,"messages":%b,"tools":[%b]}' % (messages, tool))
    assert (await refused(asking.pipeline.decide(exchange))).reason is Refusal.INVALID_FIELD


async def test_unmatched_requests_are_served_where_the_settings_say_so():
    asking = await gateway(POOL, POLICY, keys=[key("one")], unmatched="serve")
    assert (await asking.ask("small", headers=ONE)).identity.tenant == "acme"


async def test_unmatched_requests_can_be_refused_without_an_identity():
    asking = await gateway(POOL, POLICY, identity=None, unmatched="refuse")
    assert (await refused(asking.ask("small"))).reason is Refusal.NO_POLICY


@pytest.mark.parametrize(
    "governance",
    [
        "null",
        "{limits: [{per: tenant, window: 1m, requests: 6}]}",
        "{limits: [{per: team, window: 1m, requests: 5}]}",
        "{limits: [{per: tenant, window: 1h, requests: 5}]}",
        "{limits: [{per: tenant, concurrent: 1}]}",
        "{kvIsolation: tenant}",
    ],
)
async def test_a_more_specific_policy_that_is_less_strict_is_not_followed(governance):
    specific = SPECIFIC.replace("GOVERNANCE", governance)
    asking = await gateway(POOL, LIMITED, specific, keys=[key("one")])
    found = await refused(asking.ask("large", headers=ONE))
    assert found.reason is Refusal.NOT_GOVERNED
    assert "default/limited" in found.message
    await asking.ask("small", headers=ONE)
    findings = compiled(POOL, LIMITED, specific, unmatched="refuse")[0].findings
    told = [one for one in findings if one.code == "outranked"]
    assert [(str(one.resource), one.path) for one in told] == [
        ("RoutePolicy default/limited", "spec.governance")
    ]


@pytest.mark.parametrize(
    "governance",
    [
        "{limits: [{per: tenant, window: 1m, requests: 5}]}",
        "{limits: [{per: key, concurrent: 9}, {per: tenant, window: 1m, requests: 4, totalTokens: 100}]}",
    ],
)
async def test_one_that_is_as_strict_is(governance):
    specific = SPECIFIC.replace("GOVERNANCE", governance)
    asking = await gateway(POOL, LIMITED, specific, keys=[key("one")])
    await asking.ask("large", headers=ONE)
    found = compiled(POOL, LIMITED, specific, unmatched="refuse")[0]
    assert "outranked" not in [one.code for one in found.findings]


async def test_without_a_floor_the_more_specific_policy_wins_as_ever():
    asking = await gateway(POOL, LIMITED, SPECIFIC.replace("GOVERNANCE", "null"), identity=None)
    assert (await asking.ask("large")).decision.policy == "default/specific"


@pytest.mark.parametrize(
    "wrong",
    [
        "spec: {match: {models: [large]}, governance: {limits: 5}, rules: [{candidates: [{model: large}]}]}",
        "spec: {match: {models: [large], paths: 7}, governance: {}, rules: []}",
    ],
)
async def test_a_governing_policy_that_is_invalid_refuses_what_it_would_have_governed(wrong):
    broken = f"apiVersion: pilotage.dev/v1alpha1\nkind: RoutePolicy\nmetadata: {{name: broken}}\n{wrong}\n"
    asking = await gateway(POOL, broken, identity=None)
    found = await refused(asking.ask("large"))
    assert found.reason is Refusal.LIMITS_AWAY
    assert "default/broken" in found.message
    await asking.ask("small")
    findings = compiled(POOL, broken)[0].findings
    assert "refuses" in [one.code for one in findings]


async def test_one_that_governs_nothing_refuses_nothing():
    broken = SPECIFIC.replace("  governance: GOVERNANCE", "  nonsense: 1")
    asking = await gateway(POOL, broken, identity=None)
    await asking.ask("large")


async def test_a_packed_body_is_not_let_through_unread():
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    packed = {**ONE, "content-type": "application/json", "content-encoding": "gzip"}
    assert (await refused(asking.ask(headers=packed))).reason is Refusal.UNSUPPORTED_BODY
    assert (await refused(asking.ask(headers=packed, pool="default/pool"))).reason is Refusal.UNSUPPORTED_BODY


async def test_a_pool_that_another_gateway_has_chosen_is_not_a_way_round():
    asking = await gateway(POOL, POLICY, keys=[key("one")])
    assert (await refused(asking.ask(headers=ONE, pool="default/pool"))).reason is Refusal.NO_POLICY
    odd = asking.ask(headers=ONE, path="/v1/odd", pool="default/pool")
    assert (await refused(odd)).reason is Refusal.UNKNOWN_PATH
    assert (await refused(asking.ask(pool="default/pool"))).reason is Refusal.UNAUTHENTICATED


async def test_a_tenant_is_served_what_it_may_use_and_told_of_nothing_else():
    asking = await gateway(POOL, POLICY, SMALL, TENANT, keys=[key("one", team="search")], unmatched="serve")
    await asking.ask("auto", headers=ONE)
    await asking.ask("small", headers=ONE)
    assert (await refused(asking.ask("large", headers=ONE))).reason is Refusal.MODEL_NOT_FOUND
    page = (await asking.ask(headers=ONE, path="/v1/models", method="GET")).body
    assert b'"auto"' in page
    assert b'"small"' in page
    assert b'"large"' not in page
    hidden = asking.ask(headers=ONE, path="/v1/models/large", method="GET")
    assert (await refused(hidden)).reason is Refusal.MODEL_NOT_FOUND


async def test_models_that_no_policy_takes_are_not_listed_where_they_are_refused():
    asking = await gateway(POOL, POLICY, SMALL, keys=[key("one")])
    page = (await asking.ask(headers=ONE, path="/v1/models", method="GET")).body
    assert b'"auto"' in page
    assert b'"large"' not in page


async def test_tenants_and_teams_that_are_not_known_are_refused():
    asking = await gateway(POOL, POLICY, TENANT, keys=[key("one", "else"), key("two", team="support")])
    assert (await refused(asking.ask(headers=ONE))).reason is Refusal.UNKNOWN_TENANT
    two = {"x-api-key": "two"}
    assert (await refused(asking.ask(headers=two))).reason is Refusal.UNKNOWN_TEAM


async def test_a_tenant_whose_resource_is_invalid_is_not_served_without_bounds():
    wrong = TENANT.replace("teams: [search]", "limits: 5")
    asking = await gateway(POOL, POLICY, wrong, keys=[key("one")])
    found = await refused(asking.ask(headers=ONE))
    assert (found.reason, "acme" in found.message) == (Refusal.LIMITS_AWAY, True)


async def test_limits_of_a_tenant_hold_over_all_policies_and_keys():
    limited = TENANT.replace("teams: [search]", "limits: [{per: tenant, window: 1m, requests: 2}]")
    other = TENANT.replace("acme", "other")
    keys = [key("one"), key("two"), key("three", "other")]
    asking = await gateway(POOL, POLICY, SMALL, limited, other, keys=keys)
    await asking.ask("auto", headers=ONE)
    await asking.ask("small", headers={"x-api-key": "two"})
    found = await refused(asking.ask("auto", headers={"x-api-key": "two"}))
    assert found.reason is Refusal.RATE_LIMITED
    assert int(found.headers()["retry-after"]) > 0
    await asking.ask("auto", headers={"x-api-key": "three"})
