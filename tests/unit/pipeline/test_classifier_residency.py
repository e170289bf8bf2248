"""Whose requests a classifier over HTTP is shown: it is asked before a rule has won."""

from contextlib import suppress

import orjson
import pytest
import yaml

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.sources.remote_classifier import RemoteClassifier

REMOTE = {"remote": {"url": "http://127.0.0.1:9/", "provides": ["domain"]}}
POOL = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "p", "labels": {"trust": "own"}},
    "spec": {"endpoints": [{"address": "10.0.0.1", "port": 80}], "models": [{"name": "m"}]},
}


def policy(name, **spec):
    rule = {"when": "prompt.domain == 'law'", "candidates": [{"model": "m"}], **spec.pop("rule", {})}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": name},
        "spec": {"match": {"models": [name]}, "rules": [rule], **spec},
    }


def content(action):
    return {"content": {"request": [{"detectors": ["email"], "action": action}]}}


@pytest.fixture
def asked(monkeypatch):
    """Texts that the classifier was sent."""
    texts = []

    async def classify(_self, text):
        texts.append(text.decode())
        return {"prompt.domain": "law"}

    monkeypatch.setattr(RemoteClassifier, "classify", classify)
    return texts


async def shown(asked, *policies, **settings):
    """Names of the policies whose requests the classifier was shown."""
    made = GatewaySettings.model_validate({"promptFeatures": REMOTE, **settings})
    text = yaml.safe_dump_all([POOL, *policies])
    compiled = compile_resources(load_texts([("all.yaml", text)]), made)
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, made)
    asked.clear()
    for one in policies:
        name = one["metadata"]["name"]
        exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}))
        await pipeline.begin(exchange)
        exchange.received(orjson.dumps({"model": name, "messages": [{"role": "user", "content": name}]}))
        with suppress(RequestRefused):  # where the domain is unknown no rule holds
            await pipeline.decide(exchange)
    return set(asked)


async def test_requests_of_a_policy_that_only_flags_are_shown(asked):
    assert await shown(asked, policy("plain"), policy("flags", governance=content("flag"))) == {
        "plain",
        "flags",
    }


@pytest.mark.parametrize("action", ["redact", "block"])
async def test_requests_whose_values_are_replaced_or_blocked_are_not(asked, action):
    assert await shown(asked, policy("plain"), policy("strict", governance=content(action))) == {"plain"}


async def test_requests_that_must_stay_in_some_pools_are_not(asked):
    bound = policy("bound", rule={"require": {"poolLabels": {"trust": "own"}}})
    assert await shown(asked, policy("plain"), bound) == {"plain"}


@pytest.mark.parametrize("action", ["redact", "block"])
async def test_where_the_gateway_itself_looks_at_content_none_are(asked, action):
    assert await shown(asked, policy("plain"), governance=content(action)) == set()
    assert await shown(asked, policy("plain"), governance=content("flag")) == {"plain"}


async def test_requests_that_may_go_on_to_a_stricter_policy_are_not(asked):
    on = policy("on", otherwise="next")
    assert await shown(asked, on, policy("strict", governance=content("redact"))) == set()
    assert await shown(asked, on, policy("plain")) == {"on", "plain"}
