"""Pools of hosted providers in a cluster: what the API server refuses, and what statuses say."""

import pytest
from operator_run import condition

from pilotage_kube.errors import Invalid
from pilotage_kube.resource import MODEL_POOLS

AUTH = {"secretRef": {"name": "openai"}}


def hosted(external, **spec):
    full = {"host": "api.openai.com", "auth": AUTH, **external}
    return MODEL_POOLS.object("hosted", spec={"external": full, "models": [{"name": "gpt-x"}], **spec})


@pytest.mark.parametrize(
    ("external", "told"),
    [
        ({"auth": {"file": "/key"}}, "credentials come from secretRef only"),
        ({"auth": {"env": "KEY"}}, "credentials come from secretRef only"),
        ({"auth": {"scheme": "bearer"}}, "set one of secretRef, file and env"),
        ({"auth": {**AUTH, "scheme": "header"}}, "header belongs to scheme: header"),
        ({"auth": {**AUTH, "prefix": "x"}}, "prefix belongs to scheme: header"),
        ({"headers": [{"name": "authorization", "value": "v"}]}, "holds a credential"),
        ({"headers": [{"name": "x-api-key", "value": "v"}]}, "holds a credential"),
        ({"headers": [{"name": "host", "value": "v"}]}, "sets this header itself"),
        ({"headers": [{"name": "x-envoy-retry-on", "value": "v"}]}, "sets this header itself"),
        ({"headers": [{"name": "x-own", "value": "a\nb"}]}, "value"),
        ({"pathPrefix": "/a?b"}, "pathPrefix"),
        ({"pathPrefix": "/a/../b"}, "pathPrefix has no .."),
        ({"dialect": "azure"}, "apiVersion belongs to dialect: azure"),
        ({"tls": {"clientCertificate": {"certFile": "/c", "keyFile": "/k"}}}, "from secretRef only"),
        ({"tls": {"caBundle": "x"}}, "caBundle"),
    ],
)
async def test_the_api_server_refuses_what_check_refuses(operators, external, told):
    with pytest.raises(Invalid, match=told):
        await operators.apply(hosted(external))


@pytest.mark.parametrize(
    "more",
    [
        {"endpoints": [{"address": "10.0.0.1", "port": 80}]},
        {"selector": {"matchLabels": {"app": "a"}}, "targetPorts": [80]},
        {"engine": "sglang"},
    ],
)
async def test_a_provider_excludes_own_servers(operators, more):
    with pytest.raises(Invalid, match="external excludes"):
        await operators.apply(hosted({}, **more))


async def test_a_provider_that_the_settings_do_not_allow_says_why(operators):
    pool = hosted({"headers": [{"name": "x-own", "value": "v"}], "pathPrefix": "/openai"})
    await operators.apply(pool)
    operators.pick()
    operators.start()
    found = await operators.says(pool, "HostNotAllowed True True")
    message = condition(found, "Accepted")["message"]
    assert "api.openai.com is not among the gateway's providers.hosts" in message
    assert "tls.envoy is not set" in message
