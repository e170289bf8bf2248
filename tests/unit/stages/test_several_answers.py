"""Calls for several answers: what they cost, and what they are no measure of."""

import orjson
import pytest
from choosing_gateway import answered, decided, gateway

from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
EIGHT = [
    (CHAT, {"n": 8}),
    (COMPLETIONS, {"prompt": ["x"] * 8}),
    (COMPLETIONS, {"prompt": [[1, 2]] * 8}),
    (COMPLETIONS, {"prompt": "x", "best_of": 8, "n": 2}),
    (COMPLETIONS, {"prompt": ["x", "y"], "n": 4}),
]


def output_usd_of(exchange):
    """Dollars expected for the output of the pick."""
    choice, pick = exchange.choice, exchange.ranking.order[0]
    return float(choice.usd(choice.level)[pick] - choice.input_usd[pick])


@pytest.mark.parametrize(("path", "members"), EIGHT)
async def test_eight_answers_cost_eight_times_the_output(path, members):
    pipeline, _ = await gateway({"quality": 100, "cost": 1})
    one = await decided(pipeline, {"max_tokens": 300, "prompt": "x"}, path=path)
    eight = await decided(pipeline, {"max_tokens": 300, **members}, path=path)
    assert output_usd_of(eight) == pytest.approx(8 * output_usd_of(one))


@pytest.mark.parametrize(("path", "members"), EIGHT)
async def test_a_ceiling_on_money_is_of_all_answers_together(path, members):
    # 300 tokens at 10 USD a million are 0.003 USD, 8 times as many are over the ceiling
    bounds = {"floor": {"quality": "0.7"}, "ceilings": {"usdPerRequest": "0.01", "whenNone": "refuse"}}
    pipeline, _ = await gateway(objective=bounds)
    await decided(pipeline, {"max_tokens": 300, "prompt": "x"}, path=path)
    with pytest.raises(RequestRefused) as refused:
        await decided(pipeline, {"max_tokens": 300, **members}, path=path)
    assert refused.value.reason is Refusal.OUT_OF_BOUNDS


async def test_several_answers_are_dear_enough_to_go_to_the_cheap_model():
    pipeline, _ = await gateway({"quality": 100, "cost": 3})
    assert (await decided(pipeline)).decision.targets[0].upstream_model == "strong"
    assert (await decided(pipeline, {"n": 16})).decision.targets[0].upstream_model == "weak"


async def test_texts_that_no_model_answers_count_once():
    pipeline, _ = await gateway({"quality": 100, "cost": 1})
    exchange = await decided(pipeline, {"input": ["x"] * 8, "n": 8}, path="/v1/embeddings")
    assert exchange.choice.asked.answers == 1


@pytest.mark.parametrize(("path", "members"), EIGHT)
async def test_no_output_budget_touches_calls_for_several_answers(path, members):
    pipeline, _ = await gateway({"cost": 1}, outputBudget={"levels": [64, 256], "enforce": "clamp"})
    one = await decided(pipeline, {"prompt": "x"}, path=path)
    assert one.choice.budget == orjson.loads(one.new_body)["max_tokens"] == 64
    several = await decided(pipeline, members, path=path)
    assert several.choice.budgets == (None,)
    assert "max_tokens" not in orjson.loads(several.new_body)


@pytest.mark.parametrize(("path", "members"), EIGHT)
async def test_several_answers_teach_neither_how_long_one_is_nor_how_fast(path, members):
    pipeline, state = await gateway({"cost": 1})
    experience = state.experience
    for asked, taught in ((members, 0), ({"prompt": "x", "n": 1}, 1)):
        exchange = await decided(pipeline, {"stream": True, **asked}, path=path)
        answered(pipeline, exchange, TokenUsage(100, 800))
        assert experience.lengths.of("default/auto/all", "weak").seen == taught
        assert len(experience.latency) == taught


async def test_several_answers_teach_how_much_of_their_prompt_was_written_to_a_cache():
    pipeline, state = await gateway({"cost": 1})
    exchange = await decided(pipeline, {"n": 8})
    answered(pipeline, exchange, TokenUsage(100, 800, cached_input_tokens=20, cache_write_input_tokens=60))
    assert state.experience.writes.share("default/auto/all", "weak") == 0.75


async def test_of_several_prompts_each_has_a_window_of_its_own():
    pipeline, _ = await gateway()
    exchange = await decided(pipeline, {"prompt": ["x"] * 8}, path=COMPLETIONS)
    assert exchange.choice.asked.prompts == 8
    exchange = await decided(pipeline, {"input": ["x"] * 3}, path="/v1/embeddings")
    assert exchange.choice.asked.prompts == 3
