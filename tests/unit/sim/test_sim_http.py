"""The simulated server's HTTP: answers and metrics in the shape of a real vLLM's, faults, many at once."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pilotage_sim import Faults, MetricsFault, SimCluster, SimConfig, SimSpec

CAPTURES = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"
CONFIG = SimConfig(("tiny",), ("sql-lora", "chat-lora"), time_scale=0.05)
PROMPT = [{"role": "user", "content": "hello"}]
CHAT: dict[str, Any] = {"model": "tiny", "messages": PROMPT, "max_tokens": 4}


@pytest.fixture
async def server():
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, CONFIG)])
    yield cluster.servers[0]
    await cluster.stop()


@pytest.fixture
async def session(server):
    async with aiohttp.ClientSession(f"http://{server.address}") as one:
        yield one


def shape(value: Any) -> Any:
    """Keys and types, all the way down; of a list its first member."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "null" if value is None else type(value).__name__


def assert_like(told: Any, real: Any, path: str = "") -> None:
    """Every member of the real answer is there with the same type; nulls and empty lists may differ."""
    if isinstance(real, dict) and isinstance(told, dict):
        assert real.keys() <= told.keys(), f"{path}: {sorted(real.keys() - told.keys())} missing"
        for key in real:
            assert_like(told[key], real[key], f"{path}.{key}")
    elif isinstance(real, list) and isinstance(told, list):
        if real and told:
            assert_like(told[0], real[0], f"{path}[0]")
    elif real is not None and told is not None:
        assert type(told) is type(real), path


@pytest.mark.parametrize(
    ("path", "body", "capture"),
    [
        ("/v1/completions", {"model": "tiny", "prompt": "x", "max_tokens": 4}, "completion.json"),
        ("/v1/messages", CHAT, "messages.json"),
        ("/v1/responses", {"model": "tiny", "input": "x", "max_output_tokens": 4}, "responses.json"),
    ],
)
async def test_unstreamed_answers_have_the_shape_of_real_ones(session, path, body, capture):
    async with session.post(path, json=body) as answer:
        assert_like(await answer.json(), json.loads((CAPTURES / capture).read_text()))


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        name = re.search(r"^event: (.*)$", block, re.MULTILINE)
        data = re.search(r"^data: (.*)$", block, re.MULTILINE)
        if data and data[1] != "[DONE]":
            found.append((name[1] if name else "", json.loads(data[1])))
    return found


USAGE = {"stream": True, "stream_options": {"include_usage": True}}
CONTINUOUS = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}


@pytest.mark.parametrize(
    ("path", "body", "capture"),
    [
        ("/v1/chat/completions", {**CHAT, **USAGE}, "chat.sse"),
        (
            "/v1/completions",
            {"model": "sql-lora", "prompt": "x", "max_tokens": 4, **CONTINUOUS},
            "completions_lora_continuous_usage.sse",
        ),
        ("/v1/messages", {**CHAT, "stream": True}, "messages.sse"),
        (
            "/v1/responses",
            {"model": "tiny", "input": "x", "stream": True, "max_output_tokens": 4},
            "responses.sse",
        ),
    ],
)
async def test_streams_begin_and_end_as_real_ones(session, path, body, capture):
    async with session.post(path, json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(await answer.text())
    real = events((CAPTURES / capture).read_text())
    for position in (0, -1):
        assert told[position][0] == real[position][0]
        assert_like(told[position][1], real[position][1])
    assert {name for name, _ in real} <= {name for name, _ in told}


async def test_errors_have_the_shape_of_real_ones(session):
    async with session.post("/v1/chat/completions", json={"model": "tiny", "messages": "nope"}) as answer:
        assert (answer.status, shape(await answer.json())) == (
            400,
            shape(json.loads((CAPTURES / "error_400.json").read_text())),
        )
    async with session.post("/v1/chat/completions", json={**CHAT, "model": "nope"}) as answer:
        assert (answer.status, shape(await answer.json())) == (
            404,
            shape(json.loads((CAPTURES / "error_model.json").read_text())),
        )


async def test_the_model_list_has_the_shape_of_a_real_one(session):
    async with session.get("/v1/models") as answer:
        told = await answer.json()
    real = json.loads((CAPTURES / "models_lora.json").read_text())
    assert {one["id"] for one in told["data"]} == {one["id"] for one in real["data"]}
    assert_like(told, real)


def families(page: str) -> dict[str, tuple[str, set[frozenset[str]]]]:
    """Type and sets of label names, by metric."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    found: dict[str, tuple[str, set[frozenset[str]]]] = {}
    for name, labels in re.findall(r"^(vllm:\w+)(?:\{(.*)\})? \S+$", page, re.MULTILINE):
        if name in types:
            names = frozenset(re.findall(r'(\w+)="', labels))
            found.setdefault(name, (types[name], set()))[1].add(names)
    return found


NEEDED = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:lora_requests_info",
    "vllm:cache_config_info",
}


async def test_metrics_have_the_names_types_and_labels_of_real_ones(session):
    async with session.get("/metrics") as answer:
        told = families(await answer.text())
    real = families((CAPTURES / "metrics_under_load_lora.prom").read_text())
    assert told.keys() >= NEEDED
    for name, (kind, labels) in told.items():
        assert name in real
        assert kind == real[name][0]
        if name == "vllm:cache_config_info":  # a real one lists its whole configuration
            assert all(any(ours <= theirs for theirs in real[name][1]) for ours in labels)
        else:
            assert labels <= real[name][1], name


async def test_metrics_follow_the_engine(server, session):
    server.faults.slow = 20.0
    calls = [asyncio.create_task(ask(session, max_tokens=30)) for _ in range(5)]
    for _ in range(200):
        async with session.get("/metrics") as answer:
            page = await answer.text()
        if 'vllm:num_requests_running{engine="0",model_name="tiny"} 5.0' in page:
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("five running requests were never seen")
    server.faults.slow = 0.1
    assert await asyncio.gather(*calls) == [200] * 5


async def ask(session: aiohttp.ClientSession, **options: Any) -> int | str:
    try:
        async with session.post("/v1/chat/completions", json={**CHAT, **options}) as answer:
            await answer.read()
            return answer.status
    except aiohttp.ClientError as error:
        return type(error).__name__


@pytest.mark.parametrize(
    "fault",
    [
        *({"slow": value} for value in ("x", -1, True, None)),
        *({"error_rate": value} for value in (5, -0.1, "1")),
        *({"die_after_tokens": value} for value in (-1, 1.5, True, "3")),
        {"die_while_queued": 1},
        *({"status": value} for value in (200, 600, "429", True, 429.0)),
        *({"retry_after_seconds": value} for value in (-1, "2", True)),
        *({"metrics": value} for value in ("nope", [], 3)),
        {"slow": 2, "sloow": 2},
        [],
        "slow",
    ],
)
async def test_a_fault_that_does_not_fit_is_a_400_and_sets_nothing(server, session, fault):
    async with session.post("/sim/faults", json=fault) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, 400)
    assert server.faults == Faults()


@pytest.mark.parametrize("options", ["x", 3, ["include_usage"]])
async def test_stream_options_that_are_no_object_are_a_400(session, options):
    body = {**CHAT, "stream": True, "stream_options": options}
    async with session.post("/v1/chat/completions", json=body) as answer:
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, "body.stream_options")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{"die_while_queued": True}, {"die_after_tokens": 2}])
async def test_an_injected_death_is_no_error_in_the_log(server, session, fault, stream, caplog):
    server.faults.update(fault)
    with pytest.raises(aiohttp.ClientError):
        async with session.post("/v1/chat/completions", json={**CHAT, "stream": stream}) as answer:
            await answer.read()
    assert caplog.records == []


async def test_faults(server, session):
    server.faults.error_rate = 1.0
    assert await ask(session) == 500
    server.faults.error_rate = 0.0
    for fault in ({"die_while_queued": True}, {"die_after_tokens": 2}):
        server.faults.update(fault)
        for stream in (False, True):
            assert isinstance(await ask(session, stream=stream), str)
        server.faults.update({"die_while_queued": False, "die_after_tokens": None})
    assert await ask(session) == 200
    with pytest.raises(ValueError, match="unknown fault"):
        server.faults.update({"sloow": 2})
    async with session.post("/sim/faults", json={"metrics": "garbage"}) as answer:
        assert answer.status == 200
    assert server.faults.metrics is MetricsFault.GARBAGE


async def test_stream_headers_come_before_the_first_token(server, session):
    server.faults.slow = 200.0
    began = time.monotonic()
    async with session.post("/v1/chat/completions", json={**CHAT, "stream": True, "max_tokens": 1}) as answer:
        headers_after = time.monotonic() - began
        await answer.content.readline()
        token_after = time.monotonic() - began
    assert headers_after < token_after / 2


async def test_a_killed_server_refuses_and_comes_back_with_an_empty_cache(server, session):
    long = [{"role": "user", "content": "words " * 500}]
    assert await ask(session, messages=long) == 200
    assert await ask(session, messages=long) == 200
    assert server.engine.counters.prefix_hits > 0
    await server.kill()
    assert isinstance(await ask(session), str)
    await server.start()
    assert await ask(session, messages=long) == 200
    assert server.engine.counters.prefix_hits == 0


async def test_the_openai_client_works(server):
    import openai  # loads for a second

    async with openai.AsyncOpenAI(base_url=f"http://{server.address}/v1", api_key="none") as client:
        answer = await client.chat.completions.create(**CHAT)
        stream = await client.chat.completions.create(**CHAT, stream=True)
        pieces = [chunk.choices[0].delta.content async for chunk in stream]
    assert answer.choices[0].message.content == "".join(piece or "" for piece in pieces)


async def test_two_hundred_servers_run_in_one_process():
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, CONFIG)] * 200)
    async with aiohttp.ClientSession() as session:
        statuses = []
        for server in cluster.servers[::20]:
            async with session.get(f"http://{server.address}/health") as answer:
                statuses.append(answer.status)
    await cluster.stop()
    assert statuses == [200] * 10
