"""`kvIsolation: tenant`: engines and the picker's index keep the prompts of tenants apart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_rig import bearer, gateway, key

from pilotage_extproc.dialects.document import Document
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.stages.prepare import _salted

POOLS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: own}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 80}]
  models: [{name: small}]
---
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: other}
spec:
  engine: sglang
  endpoints: [{address: 10.0.0.2, port: 80}]
  models: [{name: large}]
"""
POLICY = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules: [{candidates: CANDIDATES}]
  governance: {kvIsolation: tenant}
  scheduling: {scorers: [{type: prefix-cache, weight: 1}]}
"""
KEYS = [key("one"), key("two", "other")]
TEXT = "a long prompt that both of them send, of more than one block of text. " * 40


async def isolating(candidates="[{model: small}]"):
    return await gateway(POOLS, POLICY.replace("CANDIDATES", candidates), keys=KEYS)


async def ask(asking, who, path="/v1/chat/completions", **members):
    exchange = Exchange(RequestHead("POST", path, bearer(who), envoy="e"))
    await asking.pipeline.begin(exchange)
    said = {"model": "auto", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 4, **members}
    exchange.received(json.dumps(said).encode())
    await asking.pipeline.decide(exchange)
    return exchange


def salt(exchange):
    return json.loads(exchange.new_body)["cache_salt"]


async def test_each_tenant_has_a_salt_of_its_own_that_names_it_to_nobody():
    asking = await isolating()
    first, again, other = [salt(await ask(asking, who)) for who in ("one", "one", "two")]
    assert first == again != other
    assert len(first) == 32
    assert "acme" not in first


async def test_a_client_cannot_choose_another_tenants_salt_but_separate_its_own_requests():
    asking = await isolating()
    own = salt(await ask(asking, "one"))
    stolen = salt(await ask(asking, "two", cache_salt=own))
    assert stolen not in (own, salt(await ask(asking, "two")))
    assert salt(await ask(asking, "one", cache_salt="a")) != salt(await ask(asking, "one", cache_salt="b"))
    assert salt(await ask(asking, "one", cache_salt=None)) == own


async def test_the_pickers_index_knows_no_block_of_one_tenant_in_another_ones_prompt():
    asking = await isolating()
    hashes = [set((await ask(asking, who)).features.prompt.hashes) for who in ("one", "two", "one")]
    assert hashes[0] == hashes[2]
    assert hashes[0]
    assert not hashes[0] & hashes[1]


async def test_other_engines_get_no_salt_and_a_list_has_attempts_of_one_kind():
    asking = await isolating("[{model: large}, {model: small}]")
    exchange = await ask(asking, "one")
    assert "cache_salt" not in json.loads(exchange.new_body or exchange.body)
    assert [target.upstream_model for target in exchange.decision.targets] == ["large"]
    asking = await isolating("[{model: small}, {model: large}]")
    exchange = await ask(asking, "one", stream=True)
    assert [target.upstream_model for target in exchange.decision.targets] == ["small"]


async def test_it_goes_together_with_changes_to_the_request():
    text = POLICY.replace("CANDIDATES", "[{model: small}, {model: large}]")
    asking = await gateway(POOLS, f"{text}  transform: {{systemPrompt: {{prefix: Be brief.}}}}\n", keys=KEYS)
    exchange = await ask(asking, "one")
    assert json.loads(exchange.new_body)["messages"][0]["role"] == "system"
    assert len(salt(exchange)) == 32


async def test_a_call_that_cannot_be_kept_apart_is_refused():
    asking = await isolating()
    with pytest.raises(RequestRefused) as refused:
        await ask(asking, "one", "/v1/messages")
    assert refused.value.reason is Refusal.NOT_ISOLATED


async def test_a_policy_that_does_not_ask_for_it_has_no_stage_for_it():
    asking = await gateway(
        POOLS, POLICY.replace("CANDIDATES", "[{model: small}]").replace("kvIsolation: tenant", ""), keys=KEYS
    )
    assert "cache_salt" not in json.loads((await ask(asking, "one")).new_body)


@given(
    st.dictionaries(
        st.text(max_size=8), st.none() | st.integers() | st.text() | st.lists(st.text()), min_size=1
    ),
    st.sampled_from([None, "", "own", "\\u00e4\n"]) | st.just(...),
    st.sampled_from(["", " ", "\n\t"]),
)
def test_nothing_else_in_the_body_changes(members, own, blank):
    members = {name: value for name, value in members.items() if name != "cache_salt"} or {"model": "m"}
    if own is not ...:
        members["cache_salt"] = own
    body = f"{blank}{json.dumps(members)}{blank}".encode()
    changed = edited(body, [_salted(body, Document("m", False, members), "s" * 32)])
    assert json.loads(changed) == {**members, "cache_salt": "s" * 32}
