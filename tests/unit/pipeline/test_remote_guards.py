"""Guards over HTTP: asked behind local rules, within residency and their time, and not trusted."""

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator

import orjson
import pytest
from guarded_gateway import Gateway, gateway
from tests.support.guard_stub import GuardStub

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.run import run
from pilotage_extproc.sources.json_service import FAILURES_TO_OPEN, OPEN_SECONDS
from pilotage_extproc.sources.remote_guards import RemoteGuards
from pilotage_extproc.stages.parse import read_body

EMAIL = "alice@mail.example"
USER = {"role": "user", "content": f"write to {EMAIL}"}
ASKED = {"model": "auto", "messages": [USER]}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def guard() -> AsyncIterator[GuardStub]:
    stub = GuardStub()
    await stub.start()
    yield stub
    await stub.stop()


class Maker:
    """Makes gateways, and closes what they have opened."""

    def __init__(self, stub: GuardStub) -> None:
        self.clock = Clock()
        self._stub = stub
        self._made: list[RemoteGuards] = []

    async def __call__(
        self,
        more: str = "",
        governance: str = "",
        rules: str = "[{candidates: [{model: small}]}]",
        labels: dict[str, str] | None = None,
        *,
        timeout: str = "2s",
        in_cluster: bool = False,
        faultless: bool = True,
    ) -> Gateway:
        known = [] if labels is None else [{"host": "127.0.0.1", "labels": labels}]
        settings = GatewaySettings(governance={"content": {"guards": known}})
        guards = RemoteGuards(settings.governance.content, self.clock, in_cluster=in_cluster)
        self._made.append(guards)
        remote = f"remote: [{{url: '{self._stub.url}', timeout: {timeout}{more}}}]"
        text = f"{{content: {{{governance}{remote}}}}}"
        return await gateway(text, rules, settings, guards, faultless=faultless)

    async def close(self) -> None:
        for one in self._made:
            await one.close()


@pytest.fixture
async def made(guard: GuardStub) -> AsyncIterator[Maker]:
    maker = Maker(guard)
    yield maker
    await maker.close()


async def refused(
    gate: Gateway, asked: dict | bytes = ASKED, path: str = "/v1/chat/completions"
) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(asked, path)
    return caught.value


async def test_it_is_sent_all_text_by_who_says_it_and_no_headers_of_the_client(
    guard: GuardStub, made: Maker
) -> None:
    gate = await made(", receives: text")
    asked = {
        "model": "auto",
        "messages": [{"role": "system", "content": "be kind"}, USER],
        "tools": [{"type": "function", "function": {"name": "f", "description": "tells"}}],
    }
    await gate.ask(asked, authorization="Bearer top-secret")
    [sent] = guard.asked
    assert sent == {
        "version": 1,
        "call": "chat",
        "model": "auto",
        "texts": [
            {"role": "system", "text": "be kind"},
            {"role": "user", "text": f"write to {EMAIL}"},
            {"role": "tools", "text": orjson.dumps(asked["tools"][0]).decode()},  # type: ignore[index]
        ],
        "media": 0,
    }
    assert "top-secret" not in str(guard.headers)


async def test_it_receives_placeholders_though_the_model_receives_the_values(
    guard: GuardStub, made: Maker
) -> None:
    gate = await made()
    assert await gate.sent(ASKED) == {"model": "small", "messages": [USER]}
    [text] = guard.asked[0]["texts"]
    assert text["text"].startswith("write to [EMAIL_")
    assert EMAIL not in orjson.dumps(guard.asked).decode()


async def test_what_local_rules_block_is_not_shown_to_it(guard: GuardStub, made: Maker) -> None:
    gate = await made(", receives: text", "request: [{detectors: [email], action: block}], ")
    assert (await refused(gate)).reason is Refusal.CONTENT_BLOCKED
    assert guard.asked == []


async def test_what_it_blocks_is_refused_by_kinds_and_without_a_text_of_it(
    guard: GuardStub, made: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guard.answer = {"action": "block", "kinds": ["self-harm", "s10"], "why": EMAIL}
    told = await refused(await made())
    assert told.reason is Refusal.CONTENT_BLOCKED
    assert "remote/self-harm, remote/s10" in told.message
    assert EMAIL not in told.message + caplog.text


async def test_what_it_flags_is_in_the_record_and_goes_on(guard: GuardStub, made: Maker) -> None:
    guard.answer = {"action": "flag", "kinds": ["toxic"]}
    exchange = await (await made()).ask(ASKED)
    assert [tuple(one) for one in exchange.handled] == [("remote/toxic", "flag", 1, ())]


FAULTS: dict[str, dict] = {
    "a server error": {"status": 500},
    "a redirect": {"status": 307, "reply_headers": {"location": "http://169.254.169.254/latest"}},
    "an answer that is not JSON": {"answer": "allow"},
    "an answer cut off": {"answer": '{"action": "al'},
    "no object": {"answer": ["allow"]},
    "an unknown action": {"answer": {"action": "maybe"}},
    "no action": {"answer": {}},
    "kinds that are no list": {"answer": {"action": "allow", "kinds": "x"}},
    "a kind that is a value": {"answer": {"action": "block", "kinds": [EMAIL]}},
    "a kind that is a number": {"answer": {"action": "block", "kinds": ["4111111111111111"]}},
    "too many kinds": {"answer": {"action": "flag", "kinds": ["a"] * 9}},
    "a huge answer": {"answer": b'{"action": "allow", "x": "' + b"y" * (8 << 20) + b'"}'},
    "a small one that is huge": {
        "answer": zlib.compress(b'{"action": "allow"}' + b" " * (64 << 20)),
        "reply_headers": {"content-encoding": "deflate"},
    },
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_wrong_is_none(guard: GuardStub, made: Maker, fault: str) -> None:
    for name, value in FAULTS[fault].items():
        setattr(guard, name, value)
    told = await refused(await made())
    assert told.reason is Refusal.GUARD_AWAY
    assert told.headers()["retry-after"] == "1"
    exchange = await (await made(", onError: pass")).ask(ASKED)
    assert [one.split(":")[0] for one in exchange.skipped] == ["guard"]
    assert EMAIL not in told.message + str(exchange.skipped)


async def test_one_that_is_slow_is_waited_for_no_longer_than_its_time(guard: GuardStub, made: Maker) -> None:
    guard.hold.clear()
    told = await asyncio.wait_for(refused(await made(timeout="20ms")), 1.5)
    assert told.reason is Refusal.GUARD_AWAY


async def test_one_that_is_not_there_is_away(guard: GuardStub, made: Maker) -> None:
    await guard.stop()
    assert (await refused(await made())).reason is Refusal.GUARD_AWAY


async def test_one_that_fails_again_and_again_is_left_alone_and_tried_by_one_call(
    guard: GuardStub, made: Maker
) -> None:
    guard.status = 500
    gate = await made()
    for _ in range(FAILURES_TO_OPEN + 3):
        await refused(gate)
    assert len(guard.asked) == FAILURES_TO_OPEN
    made.clock.now = OPEN_SECONDS + 0.1
    guard.hold.clear()
    first = asyncio.create_task(refused(gate))
    while len(guard.asked) == FAILURES_TO_OPEN:
        await asyncio.sleep(0)
    await refused(gate)
    guard.hold.set()
    await first
    assert len(guard.asked) == FAILURES_TO_OPEN + 1
    guard.status, made.clock.now = 200, 3 * OPEN_SECONDS
    await gate.ask(ASKED)
    await gate.ask(ASKED)


async def test_more_calls_at_one_time_than_it_may_have_are_not_made(guard: GuardStub, made: Maker) -> None:
    guard.hold.clear()
    gate = await made(", maxConcurrent: 2")
    under_way = [asyncio.create_task(gate.ask(ASKED)) for _ in range(2)]
    while len(guard.asked) < 2:
        await asyncio.sleep(0)
    assert (await refused(gate)).reason is Refusal.GUARD_AWAY
    guard.hold.set()
    await asyncio.gather(*under_way)
    await gate.ask(ASKED)


async def test_a_text_above_its_bound_is_not_sent(guard: GuardStub, made: Maker) -> None:
    gate = await made(", maxBytes: 1024")
    told = await refused(gate, {"model": "auto", "messages": [{"role": "user", "content": "x " * 600}]})
    assert told.reason is Refusal.CONTENT_NOT_CHECKED
    many = [{"role": "user", "content": "x"}] * 100
    assert (await refused(gate, {"model": "auto", "messages": many})).reason is Refusal.CONTENT_NOT_CHECKED
    assert guard.asked == []


async def test_a_text_that_stands_twice_is_refused_since_a_server_may_read_either(
    guard: GuardStub, made: Maker
) -> None:
    gate = await made()
    twice = b'{"model":"auto","messages":[{"role":"user","content":"bad","c\\u006fntent":"good"}]}'
    assert (await refused(gate, twice)).reason is Refusal.CONTENT_NOT_CHECKED
    assert guard.asked == []


async def test_a_prompt_of_tokens_says_nothing_to_a_guard(guard: GuardStub, made: Maker) -> None:
    tokens = {"model": "auto", "prompt": [15339, 1917]}
    told = await refused(await made(), tokens, "/v1/completions")
    assert told.reason is Refusal.CONTENT_NOT_CHECKED
    await (await made(", onError: pass")).ask(tokens, "/v1/completions")
    assert guard.asked == []


async def test_a_form_is_refused_where_it_must_be_asked(guard: GuardStub, made: Maker) -> None:
    form = (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nauto\r\n--b\r\n'
        b'content-disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    )
    gate = await made()
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(
            form, "/v1/audio/transcriptions", **{"content-type": "multipart/form-data; boundary=b"}
        )
    assert caught.value.reason is Refusal.CONTENT_NOT_CHECKED
    assert guard.asked == []


REQUIRING = "[{candidates: [{model: small}], require: {poolLabels: {region: eu}}}]"


@pytest.mark.parametrize("labels", [None, {}, {"region": "us"}, {"trust": "own"}])
async def test_one_without_the_labels_that_a_rule_requires_is_not_asked(
    guard: GuardStub, made: Maker, labels: dict[str, str] | None
) -> None:
    gate = await made(rules=REQUIRING, labels=labels, faultless=False)
    assert [one.code for one in gate.found.findings if one.severity == "error"] == ["guard-outside"]
    assert (await refused(gate)).reason is Refusal.GUARD_AWAY
    passing = await made(", onError: pass", rules=REQUIRING, labels=labels)
    assert [one.severity for one in passing.found.findings if one.code == "guard-outside"] == ["warning"]
    exchange = await passing.ask(ASKED)
    assert exchange.skipped == ("guard: a guard may not be asked about requests of its rule",)
    assert guard.asked == []


async def test_one_with_the_labels_is(guard: GuardStub, made: Maker) -> None:
    gate = await made(rules=REQUIRING, labels={"region": "eu", "trust": "own"})
    await gate.ask(ASKED)
    assert len(guard.asked) == 1


async def test_a_host_that_the_settings_do_not_list_is_not_asked(guard: GuardStub) -> None:
    settings = GatewaySettings(governance={"content": {"guards": [{"host": "guard.models"}]}})
    guards = RemoteGuards(settings.governance.content, Clock(), in_cluster=False)
    gate = await gateway(
        f"{{content: {{remote: [{{url: '{guard.url}'}}]}}}}",
        settings=settings,
        guards=guards,
        faultless=False,
    )
    assert [one.code for one in gate.found.findings if one.severity == "error"] == ["host-not-allowed"]
    assert (await refused(gate)).reason is Refusal.GUARD_AWAY
    assert guard.asked == []


async def test_in_a_cluster_loopback_is_never_asked_though_it_is_listed(
    guard: GuardStub, made: Maker
) -> None:
    gate = await made(labels={}, in_cluster=True)
    assert (await refused(gate)).reason is Refusal.GUARD_AWAY
    assert guard.asked == []


async def test_in_a_cluster_a_name_that_stands_for_loopback_is_not_asked(guard: GuardStub) -> None:
    settings = GatewaySettings(governance={"content": {"guards": [{"host": "localhost"}]}})
    guards = RemoteGuards(settings.governance.content, Clock(), in_cluster=True)
    url = guard.url.replace("127.0.0.1", "localhost")
    gate = await gateway(f"{{content: {{remote: [{{url: '{url}'}}]}}}}", settings=settings, guards=guards)
    assert (await refused(gate)).reason is Refusal.GUARD_AWAY
    assert guard.asked == []
    await guards.close()


async def test_a_request_that_is_decided_anew_is_not_asked_about_again_unless_it_has_changed(
    guard: GuardStub, made: Maker
) -> None:
    guard.answer = {"action": "flag", "kinds": ["toxic"]}
    gate = await made()
    exchange = await gate.ask(ASKED)
    for _ in range(2):
        exchange.undecided()
        await run(exchange.plan.governance, exchange)
    assert len(guard.asked) == 1
    assert len(exchange.handled) == 1
    other = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "other"}]})
    exchange.rewritten(other, read_body(exchange.call.kind, other))
    await run(exchange.plan.governance, exchange)
    assert len(guard.asked) == 2


async def test_a_policy_without_guards_has_no_stage_for_them(made: Maker) -> None:
    gate = await gateway("{tools: [{deny: [a]}]}")
    plan = (await gate.ask({"model": "auto", "messages": [USER]})).plan
    assert [stage.name for stage in plan.governance] == ["tools"]
