"""Tenants against a real API server: checked, published, and what they say of themselves."""

import pytest
from operator_run import condition, policy, pool

from pilotage_api.settings import GatewaySettings
from pilotage_kube.errors import Invalid
from pilotage_kube.resource import TENANTS

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")
LIMITS = [{"per": "tenant", "window": "1m", "requests": 10}]


def tenant(name: str = "acme", **spec):
    return TENANTS.object(name, spec=spec)


async def test_a_tenant_is_published_and_says_so(operators):
    acme = tenant(models=["auto", "small"], teams=["search"], limits=LIMITS)
    await operators.apply(SMALL, AUTO, acme)
    picker = operators.pick()
    operators.start()
    found = await operators.says(acme, "True True True")
    assert found["status"]["models"] == "auto,small"
    [seen] = picker.snapshot.tenants
    assert (seen.name, seen.models, seen.teams) == ("acme", ("auto", "small"), ("search",))
    assert seen.governance.limits[0].requests == 10
    told = operators.plane.kubectl("get", "tenants", "-n", operators.namespace).splitlines()
    columns = "NAME MODELS SPENT HELD RESETS ACCEPTED RESOLVED PROGRAMMED REASON AGE"
    assert told[0].split() == columns.split()
    # it has an effect only where the gateway asks who its clients are
    assert "asks who its clients are" not in condition(found, "Accepted")["message"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"limits": [{"per": "policy", "window": "1m", "requests": 1}]}, "a tenant is no policy"),
        (
            {"budgets": [{"per": "policy", "period": "day", "usd": "1", "mode": "soft"}]},
            "a tenant is no policy",
        ),
        (
            {
                "budgets": [
                    {
                        "per": "team",
                        "period": "day",
                        "usd": "1",
                        "mode": "soft",
                        "whenSpent": {"candidates": [{"model": "small"}]},
                    }
                ]
            },
            "whenSpent is for policies",
        ),
        ({"weight": 0}, "weight"),
    ],
)
async def test_the_api_server_refuses_what_check_refuses(operators, spec, said):
    with pytest.raises(Invalid, match=said):
        await operators.apply(tenant(**spec))


async def test_an_edit_reaches_the_pickers_and_a_tenant_that_is_deleted_is_gone(operators):
    acme = tenant(models=["auto"])
    await operators.apply(SMALL, AUTO, acme)
    picker = operators.pick()
    operators.start()
    await operators.says(acme, "True True True")
    await operators.apply(tenant(models=["auto", "small"]))

    async def followed() -> bool:
        return picker.snapshot.tenants[0].models == ("auto", "small")

    await operators.eventually(followed)
    await operators.client.delete(TENANTS, "acme", operators.namespace)

    async def gone() -> bool:
        return picker.snapshot.tenants == ()

    await operators.eventually(gone)


def test_settings_of_a_cluster_take_keys_from_secrets():
    keys = {"secretSelector": {"matchLabels": {"pilotage.dev/api-key": "true"}}}
    assert GatewaySettings(governance={"identity": {"apiKeys": keys}}).governance.refuses_unmatched
