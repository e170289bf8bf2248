"""The example policies with objectives, run: where each request goes, what it may answer, and why."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from examples_rig import ExamplesRig

SMALL, STRONG = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ExamplesRig]:
    one = ExamplesRig(tmp_path / "choice", name="choice")
    await one.start()
    assert not one.compiled[-1].has_errors
    yield one
    await one.stop()


async def asked(rig: ExamplesRig, session: aiohttp.ClientSession, model: str, **body: Any) -> dict[str, Any]:
    """One chat's answer and decision."""
    chat = {"model": model, "messages": [{"role": "user", "content": "hi"}], **body}
    async with session.post(f"{rig.url}/v1/chat/completions", json=chat) as answer:
        assert answer.status == 200, await answer.text()
        said = await answer.read() if body.get("stream") else await answer.json()
    decision = rig.decisions(1)[0]
    return {
        "answer": said,
        "choice": decision["choice"],
        "attempts": decision["attempts"],
        "rule": decision["rule"],
    }


async def test_cheap_first_asks_the_prompts_expected_gain(rig, session):
    found = await asked(rig, session, "cheap-first", max_tokens=2)
    assert found["attempts"][0]["model"] == STRONG  # a short answer costs next to nothing
    long = [{"role": "user", "content": "Name the capital of each country in Europe. " * 100}]
    found = await asked(rig, session, "cheap-first", max_tokens=2000, messages=long)
    assert found["attempts"][0]["model"] == SMALL
    assert found["choice"]["counterfactual"]["chooses"]["model"] == STRONG
    gain = found["choice"]["features"]["strongGain"]
    assert -1 <= gain["value"] <= 1
    assert 0 <= gain["confidence"] <= 1


async def test_budget_levels_clamp_what_may_be_clamped(rig, session):
    found = await asked(rig, session, "brief")
    budget = found["choice"]["outputBudget"]
    assert budget in {64, 256, 1024}
    assert found["answer"]["usage"]["completion_tokens"] <= budget
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    found = await asked(rig, session, "brief", response_format=schema)
    assert found["choice"]["outputBudget"] is None


async def test_slo_learns_times_from_the_answers_and_keeps_its_ceilings(rig, session):
    for _ in range(12):
        await asked(rig, session, "prompt-answers", stream=True, max_tokens=8)
    found = await asked(rig, session, "prompt-answers", stream=True, max_tokens=8)
    [chosen] = [one for one in found["choice"]["candidates"] if one["chosen"]]
    assert chosen["model"] == STRONG
    assert chosen["learnedFrom"] >= 8
    assert 0 < chosen["ttftSeconds"] < 2
    assert chosen["tpotSeconds"] is not None
    assert found["choice"]["withinBounds"]


async def test_by_domain_reads_words_topics_and_the_quality_of_each(rig, session):
    def about(text):
        return asked(rig, session, "by-domain", max_tokens=2, messages=[{"role": "user", "content": text}])

    legal = await about("Is the force-majeure clause of this lease of any use to us?")
    assert (legal["rule"], legal["attempts"][0]["model"], legal["choice"]) == ("legal", STRONG, None)
    maths = await about(
        "Find all x such that x^2 + 5x + 6 = 0, and prove that the polynomial has no other roots."
    )
    assert maths["rule"] == "by-quality"
    qualities = {one["quality"] for one in maths["choice"]["candidates"]}
    domain = maths["choice"]["features"]["domain"]
    assert qualities == ({0.5, 0.8} if domain == "math" else {0.62, 0.82})
