"""From the version before to this one and back, with requests under way all the time.

The version before publishes and reads snapshots of format 1 only, and knows no conditions of rules.
"""

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster_rig import (
    CHART,
    GATEWAY,
    MODELS,
    NAMESPACE,
    VALUES,
    apply_examples,
    gateway_url,
    get,
    helm,
    kubectl,
    part,
    until,
)

from load import Load

PREVIOUS = os.environ.get("PILOTAGE_PREVIOUS_DIR", "")
STREAMED = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: streamed}
spec:
  match: {models: [streamed]}
  rules:
  - {name: streams, when: request.stream, candidates: [{model: small}]}
  - {name: others, candidates: [{model: strong}]}
"""

pytestmark = pytest.mark.skipif(not PREVIOUS, reason="no previous version: run `make test-upgrade`")


def bring(chart: Path, tag: str) -> None:
    """The gateway by this chart, with the image of this tag; return when all of it is ready."""
    values = {**VALUES, "image": {**VALUES["image"], "tag": tag}}
    helm("upgrade", "--install", "pilotage", chart, "--wait", "--timeout", "400s", values=values)


def roll_back() -> None:
    helm("rollback", "pilotage", "1", "--wait", "--timeout", "400s")


def head() -> dict[str, Any]:
    """What the snapshot store holds."""
    return json.loads(get("configmap", "pilotage-snapshot", "-n", GATEWAY)["data"]["head"])


def images() -> set[str]:
    return {one["spec"]["containers"][0]["image"] for name in ("extproc", "operator") for one in part(name)}


def condition(policy: str, kind: str) -> dict[str, Any]:
    status = get("routepolicy", policy, "-n", MODELS).get("status", {})
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})


def programmed(*policies: str) -> None:
    for policy in policies:
        until(
            lambda policy=policy: condition(policy, "Programmed").get("status") == "True",
            seconds=60,
            told=lambda policy=policy: condition(policy, "Programmed"),
        )


def asked(url: str, model: str, *, stream: bool) -> tuple[int, str]:
    """Status of a request, and the rule that took it."""
    body = {"model": model, "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 2}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps({**body, "stream": stream}).encode(),
        {"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers["x-pilotage-decision"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def under_load(url: str, change: Callable[[], None]) -> None:
    """Make a change while requests run; none may be lost or cut."""

    def going() -> bool:
        return any("deletionTimestamp" in one["metadata"] for one in get("pods", "-n", GATEWAY)["items"])

    async with Load(url) as load:
        await asyncio.to_thread(change)
        await asyncio.to_thread(until, lambda: not going(), seconds=90)
        await load.more(20)
    assert load.count("answered") > 50
    assert load.count("lost") == 0, load.told()
    assert load.count("cut") == 0, load.told()


@pytest.fixture(scope="module")
def before():
    """The URL of a gateway of the version before, with the examples in force; removed in the end."""
    for name in (GATEWAY, MODELS):
        # of a run before, on a cluster that stays up
        kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=90s")
        kubectl("apply", "-f", "-", given=NAMESPACE.format(name=name))
    bring(Path(PREVIOUS) / "charts" / "pilotage", "previous")
    apply_examples()
    yield gateway_url()
    helm("uninstall", "pilotage")
    kubectl("delete", "namespace", GATEWAY, MODELS, "--wait=false")


async def test_an_upgrade_from_the_version_before_and_the_way_back_lose_nothing(before):
    assert images() == {"localhost/pilotage:previous"}
    assert "format" not in head()["current"]

    await under_load(before, lambda: bring(CHART, "dev"))
    assert images() == {"localhost/pilotage:dev"}
    programmed("auto", "auto-premium")
    until(lambda: head()["current"]["format"] == 2, seconds=30, told=head)
    assert head()["newest"] is None

    # what only this version knows
    kubectl("apply", "-n", MODELS, "-f", "-", given=STREAMED)
    programmed("streamed")
    for stream, rule in ((True, "streams"), (False, "others")):
        status, told = asked(before, "streamed", stream=stream)
        assert status == 200, told
        assert rule in told

    await under_load(before, roll_back)
    assert images() == {"localhost/pilotage:previous"}
    until(lambda: "format" not in head()["current"], seconds=30, told=head)
    programmed("auto", "auto-premium")
    # the version before refuses the policy rather than leave a part of it out
    until(lambda: condition("streamed", "Accepted").get("status") == "False", seconds=30)
    assert "when is not supported in this version" in condition("streamed", "Accepted")["message"]
    assert condition("streamed", "Programmed")["reason"] == "NotAccepted"
    assert asked(before, "streamed", stream=True)[0] == 404
    assert asked(before, "auto", stream=True)[0] == 200

    await under_load(before, lambda: bring(CHART, "dev"))
    programmed("auto", "auto-premium", "streamed")
    assert asked(before, "streamed", stream=True)[0] == 200
