"""The example policies with rules, run: which rule each request follows, and where it goes."""

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from examples_rig import ExamplesRig

SMALL, STRONG = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ExamplesRig]:
    one = ExamplesRig(tmp_path / "rules")
    await one.start()
    assert not one.compiled[-1].has_errors
    yield one
    await one.stop()


class Asker:
    """A client, and what was decided for it."""

    def __init__(self, rig: ExamplesRig, session: aiohttp.ClientSession) -> None:
        self._rig, self._session = rig, session

    async def status(self, model: str, headers: dict[str, str] | None = None, **body: Any) -> int:
        """Of one chat."""
        chat = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}], **body}
        url = f"{self._rig.url}/v1/chat/completions"
        async with self._session.post(url, json=chat, headers=headers) as answer:
            self.answer = await answer.json()
            return answer.status

    async def rule(self, model: str, headers: dict[str, str] | None = None, **body: Any) -> tuple[str, str]:
        """The rule that won, as `policy/rule`, and the model of the pick."""
        assert await self.status(model, headers, **body) == 200, self.answer
        decision = self._rig.decisions(1)[0]
        policy = decision["policy"].removeprefix("default/")
        assert self.answer["model"] == decision["attempts"][0]["model"]
        return f"{policy}/{decision['rule']}", decision["attempts"][0]["model"]


@pytest.fixture
def asker(rig: ExamplesRig, session: aiohttp.ClientSession) -> Asker:
    return Asker(rig, session)


async def test_by_size_sends_long_prompts_tools_and_pictures_to_the_strong_model(asker):
    demanding, rest = ("by-size/demanding", STRONG), ("by-size/rest", SMALL)
    assert await asker.rule("auto") == rest
    assert await asker.rule("auto", tools=[tool("weather")]) == rest
    assert await asker.rule("auto", tools=[tool("weather"), tool("search_web")]) == demanding
    long = [{"role": "user", "content": "All happy families are alike. " * 2000}]
    assert await asker.rule("auto", messages=long) == demanding
    assert await asker.rule("auto", messages=[{"role": "user", "content": [PICTURE]}]) == demanding


async def test_by_caller_follows_the_header_and_the_clock(asker):
    assert await asker.rule("tiered", {"x-tier": "premium"}) == ("by-caller/premium", STRONG)
    assert await asker.rule("tiered") == ("by-caller/standard", SMALL)
    assert await asker.status("tiered", {"x-tier": "other"}) == 404
    assert asker.answer["error"]["code"] == "no_rule_matched"
    before = batch_runs()
    status = await asker.status("tiered", {"x-tier": "batch"})
    assert status in {200 if before else 404, 200 if batch_runs() else 404}


def batch_runs() -> bool:
    """Whether it is night or weekend where the example's settings say."""
    now = dt.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
    return now.hour < 7 or now.hour >= 20 or now.isoweekday() >= 6


async def test_by_load_spills_over_when_the_small_pool_is_gone(rig, asker):
    assert await asker.rule("spill") == ("by-load/small-has-room", SMALL)
    for server in rig.servers_of(SMALL):
        await rig.gateway.simulated.cluster.remove(server.address)
    rules = []
    for _ in range(200):
        assert await asker.status("spill") == 200, "the strong pool takes what the small one cannot"
        rules.append(rig.decisions(1)[0]["rule"])
        if rules[-1] == "spill":
            break
    assert rules[-1] == "spill"
    tried = rig.decisions(1)[0]["rulesTried"]
    assert [(one["rule"], one["holds"]) for one in tried] == [("small-has-room", False), ("spill", True)]


async def test_the_canary_gets_few_users_who_stay_and_testers_who_ask(rig, asker):
    first = {user: await asker.rule("assistant", {"x-user": f"user-{user}"}) for user in range(100)}
    assert {rule for rule, _ in first.values()} == {"canary/split"}
    drawn = Counter(model for _, model in first.values())
    assert 1 <= drawn[STRONG] <= 12
    for user in [*range(10), *(user for user, (_, model) in first.items() if model == STRONG)]:
        assert await asker.rule("assistant", {"x-user": f"user-{user}"}) == first[user]
    assert await asker.rule("assistant", {"x-rule": "canary"}) == ("canary/canary", STRONG)
    assert rig.decisions(1)[0]["rulesTried"][0]["reason"] == "chosen by header"
    rule, _ = await asker.rule("assistant", {"x-rule": "split"})
    assert rule == "canary/split"


async def test_what_a_policy_does_not_take_goes_to_the_next(asker):
    taken = ("json-only/schema", SMALL)
    assert await asker.rule("extract", response_format=SCHEMA) == taken
    assert await asker.rule("extract") == ("extract-rest/strong", STRONG)
    assert await asker.rule("extract", response_format=SCHEMA, max_tokens=5000) == (
        "extract-rest/strong",
        STRONG,
    )
    assert await asker.rule("extract-addresses", response_format=SCHEMA) == ("extract-rest/strong", STRONG)
