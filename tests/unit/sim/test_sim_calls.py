"""The simulated server's calls beside generation, in the shapes vLLM documents."""

import aiohttp
import pytest

from pilotage_sim import SimCluster, SimConfig, SimSpec

CONFIG = SimConfig(("tiny",), ("sql-lora",), time_scale=0.05)


@pytest.fixture
async def ask():
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, CONFIG)])
    async with aiohttp.ClientSession(f"http://{cluster.servers[0].address}") as session:

        async def one(path: str, status: int = 200, **sent: object) -> dict:
            async with session.post(path, **sent) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()

        yield one
    await cluster.stop()


async def test_rerank_sorts_documents_by_how_well_they_fit(ask):
    wanted = {"query": "sky", "documents": ["a", {"text": "b"}, "c"]}
    told = await ask("/v1/rerank", json=wanted)
    scores = [result["relevance_score"] for result in told["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {result["index"] for result in told["results"]} == {0, 1, 2}
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] > 0
    assert told["model"] == "tiny"
    assert len((await ask("/rerank", json=wanted | {"top_n": 1}))["results"]) == 1


async def test_score_pairs_one_with_many_or_each_with_its_own(ask):
    one_to_many = {"text_1": "a", "text_2": ["b", "c"]}
    assert [row["index"] for row in (await ask("/score", json=one_to_many))["data"]] == [0, 1]
    pairs = await ask("/v1/score", json={"queries": ["a", "b"], "documents": ["c", "d"]})
    assert len(pairs["data"]) == 2
    assert "error" in await ask("/score", 400, json={"text_1": ["a", "b"], "text_2": ["c"]})


async def test_classify_and_pooling_answer_each_input(ask):
    classified = await ask("/classify", json={"input": ["a", "b"]})
    assert [sum(row["probs"]) for row in classified["data"]] == [pytest.approx(1.0)] * 2
    assert len((await ask("/pooling", json={"input": [1, 2, 3]}))["data"]) == 1


async def test_what_is_tokenized_can_be_detokenized(ask):
    told = await ask("/tokenize", json={"prompt": "Why is the sky blue?"})
    assert told["count"] == len(told["tokens"]) == 5
    assert (await ask("/detokenize", json={"tokens": told["tokens"]}))["prompt"] == "Why is the sky blue?"
    assert "error" in await ask("/detokenize", 400, json={"tokens": [-1]})


async def test_anthropic_counts_and_has_errors_of_its_own(ask):
    messages = [{"role": "user", "content": "hello"}]
    assert (await ask("/v1/messages/count_tokens", json={"messages": messages}))["input_tokens"] > 0
    told = await ask("/v1/messages", 404, json={"model": "none", "messages": messages, "max_tokens": 1})
    assert (told["type"], told["error"].keys()) == ("error", {"type", "message"})


async def test_audio_is_read_as_a_form(ask):
    form = aiohttp.FormData()
    form.add_field("file", bytes(64_000), filename="a.wav")
    told = await ask("/v1/audio/transcriptions", data=form)
    assert (bool(told["text"]), told["usage"]) == (True, {"type": "duration", "seconds": 2})
    assert "error" in await ask("/v1/audio/transcriptions", 400, json={"model": "tiny"})


async def test_another_model_is_404_and_none_is_the_servers_own(ask):
    assert "error" in await ask("/tokenize", 404, json={"model": "none", "prompt": "a"})
    assert (await ask("/classify", json={"model": "sql-lora", "input": "a"}))["model"] == "sql-lora"
