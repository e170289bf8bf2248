"""A classifier over HTTP is asked in batches, in time, and left alone while it fails."""

import asyncio
import json

import pytest
from aiohttp import web

from pilotage_api import settings
from pilotage_extproc.sources.json_service import FAILURES_TO_OPEN, OPEN_SECONDS
from pilotage_extproc.sources.remote_classifier import RemoteClassifier


class Server:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.answer: object = None
        self.status = 200
        self.batches: list[list[str]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def handle(self, request: web.Request) -> web.Response:
        texts = (await request.json())["texts"]
        self.batches.append(texts)
        await self.hold.wait()
        answer = self.answer
        if answer is None:
            answer = {"results": [{"domain": text, "domainConfidence": 0.5, "mood": "x"} for text in texts]}
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=self.status, text=text)


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def url(server):
    app = web.Application()
    app.router.add_post("/", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port)] = runner.addresses
    yield f"http://127.0.0.1:{port}/"
    server.hold.set()
    await runner.cleanup()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def classifier(url):
    made = []

    def make(clock=None, **given) -> RemoteClassifier:
        given = {"provides": ("domain",), "timeout_seconds": 5.0, **given}
        made.append(RemoteClassifier(settings.RemoteClassifier(url=url, **given), clock or Clock()))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_it_says_what_it_provides(classifier):
    assert await classifier().classify(b"law") == {"prompt.domain": "law", "prompt.domainConfidence": 0.5}


async def test_texts_that_wait_go_together_and_no_more_than_a_batch(classifier, server):
    server.hold.clear()
    asked = classifier(max_batch=2)
    calls = [asyncio.create_task(asked.classify(text)) for text in (b"1", b"2", b"3", b"4", b"5")]
    while not server.batches:
        await asyncio.sleep(0.005)
    server.hold.set()
    said = await asyncio.gather(*calls)
    assert [one["prompt.domain"] for one in said] == ["1", "2", "3", "4", "5"]
    assert all(len(batch) <= 2 for batch in server.batches)
    assert len(server.batches) == 3


async def test_a_slow_one_is_not_waited_for(classifier, server):
    server.hold.clear()
    assert await classifier(timeout_seconds=0.05).classify(b"x") == {}


async def test_no_more_than_some_wait(classifier, server):
    server.hold.clear()
    asked = classifier(max_batch=1, max_waiting=1)
    first = asyncio.create_task(asked.classify(b"1"))
    while not server.batches:
        await asyncio.sleep(0.005)
    second = asyncio.create_task(asked.classify(b"2"))
    await asyncio.sleep(0)
    assert await asked.classify(b"3") == {}
    server.hold.set()
    assert (await first, await second) == (
        {"prompt.domain": "1", "prompt.domainConfidence": 0.5},
        {"prompt.domain": "2", "prompt.domainConfidence": 0.5},
    )


@pytest.mark.parametrize(
    "answer",
    [
        "not json",
        [],
        {"results": []},
        {"results": [7]},
        {"results": [{"domain": 7}]},
        {"results": [{"domain": "x" * 65}]},
        {"results": [{"domainConfidence": 2.0}]},
        {"results": [{"domainConfidence": True}]},
        {"results": [{"domain": "x", "pad": "y" * 300_000}]},
    ],
)
async def test_a_wrong_answer_is_none(classifier, server, answer):
    server.answer = answer
    assert await classifier().classify(b"x") == {}


async def test_one_that_fails_again_and_again_is_left_alone_for_a_while(classifier, server):
    clock = Clock()
    asked = classifier(clock)
    server.status = 500
    for _ in range(FAILURES_TO_OPEN + 3):
        assert await asked.classify(b"x") == {}
    assert len(server.batches) == FAILURES_TO_OPEN
    clock.now = OPEN_SECONDS + 0.1
    await asked.classify(b"x")
    await asked.classify(b"x")
    assert len(server.batches) == FAILURES_TO_OPEN + 1
    server.status, clock.now = 200, 2 * OPEN_SECONDS + 0.3
    assert (await asked.classify(b"law"))["prompt.domain"] == "law"
    assert (await asked.classify(b"law"))["prompt.domain"] == "law"


async def test_one_that_is_gone_is_done_without():
    gone = RemoteClassifier(
        settings.RemoteClassifier(url="http://127.0.0.1:9/", provides=("domain",)), Clock()
    )
    assert await gone.classify(b"x") == {}
    await gone.close()
