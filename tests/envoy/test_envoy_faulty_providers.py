"""Every way a provider can fail, over TLS: what the client sees, what the record says, who is left alone.

The tables are those of docs/fallback.md. OpenAI's answers pass as they are; Anthropic's are translated.
"""

import asyncio
import socket
import time
from typing import Any, NamedTuple

import pytest
from certificates import Authority
from envoy_rig import CHAT_BODY
from faulty_providers import KEY, FaultyProvider, error_of
from limited_picks import GOOD
from provider_answers import chat_chunk, message_event, message_start
from provider_stub import ProviderStub, raw, refused, reset, stalled
from scripted_server import Answer, chunk, stream_head

OPENAI, ANTHROPIC = "openai", "anthropic"
SPARE = b'{"choices":[]}'
PAGE = b"<html>RUBBISH</html>"
JSON, EVENTS = "application/json", "text/event-stream"
HALF = b'{"choices": [{"RUBBISH'
LONG = b"x" * 20_000
SHORT = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n" + HALF
ROLE = {ANTHROPIC: message_start(), OPENAI: chat_chunk({"role": "assistant", "content": ""})}
BEGUN = {
    ANTHROPIC: message_start()
    + message_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"}),
    OPENAI: chat_chunk({"role": "assistant", "content": "hello"}),
}
ERROR_EVENT = {
    ANTHROPIC: message_event("error", error={"type": "overloaded_error", "message": "no"}),
    OPENAI: b'data: {"error":{"message":"no","type":"overloaded_error","code":529}}\n\n',
}
ERROR, BODY, CUT = "an error object", "as it is", "cut"


class Seen(NamedTuple):
    """What became of a fault, alone and with a next server behind it."""

    status: int
    body: str
    reason: str | None
    """The failed attempt's; None where none is recorded."""
    code: int | None
    """Its status."""
    left_alone: str | None
    """The breaker that is open after two such answers."""
    went_on: bool
    """Whether the next of the list answered instead."""


def error(status: int, reason: str, left_alone: str | None, code: int | None = 0) -> Seen:
    """An error that leads on."""
    return Seen(status, ERROR, reason, status if code == 0 else code, left_alone, True)


LATE = error(504, "firstToken", "server", None)
ALL = {
    "401": (refused(401), error(502, "auth", "provider", 401)),
    "402": (refused(402), error(402, "quota", "provider")),
    "403": (refused(403), error(502, "auth", "provider", 403)),
    "404, no such model": (refused(404, "model_not_found"), error(404, "notFound", "model")),
    "429": (refused(429), error(429, "rateLimited", "model")),
    "429 with Retry-After": (refused(429, retry_after="30"), error(429, "rateLimited", "model")),
    "500": (refused(500), error(500, "serverError", "server")),
    "503": (refused(503), error(503, "serverError", "server")),
    "529": (refused(529), error(529, "rateLimited", "model")),
    "200 with an error object": (
        raw(200, b'{"error": {"message": "no", "type": "x", "code": 429}}', JSON),
        error(429, "rateLimited", "model"),
    ),
    "reset": (reset(), error(503, "serverError", "server")),
}
AS_IT_IS = {
    "503, a page": (raw(503, PAGE), error(503, "serverError", "server")._replace(body=BODY)),
    "404, a page": (raw(404, PAGE), error(404, "notFound", "model")._replace(body=BODY)),
    "200, a page": (raw(200, PAGE), error(502, "serverError", "server")),
    "307": (raw(307, b"", location="/elsewhere"), error(502, "serverError", "server")),
}
TRANSLATED = {
    "503, a page": (raw(503, PAGE), error(503, "serverError", "server")),
    "404, a page": (raw(404, PAGE), error(404, "notFound", "model")),
    "200, a page": (raw(200, PAGE), error(502, "serverError", "server")),
    "307": (raw(307, b"", location="/elsewhere"), error(502, "serverError", "server")),
}
WHOLE_ONLY = {
    OPENAI: {
        "half an answer": (raw(200, HALF, JSON), error(502, "serverError", "server")._replace(body=BODY)),
        "half of a long answer": (raw(200, HALF + LONG, JSON), Seen(200, BODY, None, None, "server", False)),
        "reset within": (reset(SHORT), error(502, "serverError", "server", None)),
        "reset within a long answer": (
            reset(SHORT.replace(b"500", b"50000") + LONG),
            Seen(200, CUT, None, 200, "server", False),
        ),
        "reset after headers": (reset(stream_head()), error(502, "serverError", "server", None)),
        "nothing": (raw(200, b"", JSON), error(502, "serverError", "server")._replace(body=BODY)),
        "an error that is text": (
            raw(200, b'{"error": "no"}', JSON),
            error(500, "serverError", "server")._replace(body=BODY),
        ),
    },
    ANTHROPIC: {
        "half an answer": (raw(200, HALF, JSON), error(502, "serverError", "server")),
        "reset within": (reset(SHORT), error(502, "serverError", "server")),
        "nothing": (raw(200, b"", JSON), error(502, "serverError", "server")),
    },
}


def streams(dialect: str) -> dict[str, tuple[Answer, Seen]]:
    """Faults of streams."""
    head, role, begun = stream_head(), ROLE[dialect], BEGUN[dialect]
    return {
        "stalls before the headers": (stalled(), LATE),
        "stalls after the headers": (stalled(head), LATE),
        "stalls within the first event": (stalled(head + chunk(role[:20])), LATE),
        "stalls after a role": (stalled(head + chunk(role)), LATE),
        "stalls after content": (
            stalled(head + chunk(begun)),
            Seen(200, CUT, None, None, "server", False),
        ),
        "reset after headers": (reset(head), error(502, "serverError", "server", None)),
        "reset after content": (
            reset(head + chunk(begun)),
            Seen(200, CUT, None, 200, "server", False),
        ),
        "ends before any content": (
            raw(200, role, EVENTS),
            # translated it ends with an error event, which has no status of its own
            error(502, "serverError", "server")._replace(body=BODY)
            if dialect == OPENAI
            else error(500, "serverError", "server"),
        ),
        "begins with an error": (
            raw(200, ERROR_EVENT[dialect], EVENTS),
            error(529, "rateLimited", "model"),
        ),
    }


def cases(dialect: str, stream: bool) -> dict[str, tuple[Answer, Seen]]:
    """The faults of a provider, and what is to become of each."""
    passed = AS_IT_IS if dialect == OPENAI else TRANSLATED
    return {**ALL, **passed, **(streams(dialect) if stream else WHOLE_ONLY[dialect])}


@pytest.fixture
async def start_gateway(tmp_path, start_server):
    gateways = []

    async def start(stub: ProviderStub, dialect: str = OPENAI, **external: Any) -> FaultyProvider:
        spare = await start_server(GOOD)
        gateway = FaultyProvider(tmp_path / "g", stub, spare, dialect, **external)
        gateways.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()


async def seen(gateway: FaultyProvider, stream: bool) -> Seen:
    """What becomes of two requests: one that has the provider alone, one that has a next server."""
    status, _, body = await gateway.chat(model="alone", stream=stream)
    failed = (await gateway.explained())["failedAttempts"]
    whole = ERROR if isinstance(error_of(body), dict) else BODY
    told = CUT if body.endswith(b"<cut>") else whole
    _, _, following = await gateway.chat(stream=stream)
    await gateway.explained()
    return Seen(
        status,
        told,
        failed[0]["reason"] if failed else None,
        failed[0]["status"] if failed else None,
        gateway.left_alone(),
        following == SPARE,
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
async def test_each_fault_is_told_recorded_and_followed_as_the_tables_say(
    start_gateway, stub, dialect, stream
):
    gateway = await start_gateway(stub, dialect)
    await gateway.until_usable("hosted")
    expected, found = {}, {}
    for name, (answer, wanted) in cases(dialect, stream).items():
        stub.script[:] = [answer] * 2
        expected[name], found[name] = wanted, await seen(gateway, stream)
        gateway.forgive()
    stub.script.clear()
    assert {name: one for name, one in found.items() if one != expected[name]} == {
        name: one for name, one in expected.items() if one != found[name]
    }


@pytest.mark.parametrize("said", [b"", SHORT], ids=["before the headers", "within the answer"])
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
async def test_a_provider_that_stalls_leaves_the_next_its_share_of_the_whole_time(
    start_gateway, stub, dialect, said
):
    gateway = await start_gateway(stub, dialect)
    await gateway.until_usable("hosted")
    for _ in range(2):
        stub.script[:] = [stalled(said)]
        began = time.monotonic()
        status, _, body = await gateway.chat()
        assert (status, body) == (200, SPARE)
        assert 1.3 < time.monotonic() - began < 2.7, "half of three seconds"
        found = await gateway.explained()
        [failed] = found["failedAttempts"]
        assert (failed["reason"], failed["status"]) == ("firstToken", None)
        assert 1.4 < found["limits"]["attemptSeconds"] <= 1.5
    assert gateway.left_alone() == "server"


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
async def test_a_provider_that_stalls_alone_has_all_the_time_and_then_the_client_is_told(
    start_gateway, stub, dialect
):
    gateway = await start_gateway(stub, dialect)
    await gateway.until_usable("hosted")
    stub.script[:] = [stalled()]
    began = time.monotonic()
    status, _, body = await gateway.chat(model="alone")
    assert (status, error_of(body)["code"]) == (504, "timeout")
    # silence is bounded too, and that is over first
    assert 1.9 < time.monotonic() - began < 4


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
async def test_a_provider_that_breaks_off_is_noticed_at_once(start_gateway, stub, dialect, stream):
    gateway = await start_gateway(stub, dialect)
    await gateway.until_usable("hosted")
    for answer in (reset(), reset(stream_head()), reset(stream_head() + chunk(ROLE[dialect]))):
        stub.script[:] = [answer]
        # less than a first token may take, and than the second that Envoy usually waits
        async with asyncio.timeout(0.45):
            status, _, body = await gateway.chat(stream=stream)
        assert (status, body) == (200, SPARE)
        gateway.forgive()


UNREACHABLE = {
    "nobody listens": {},
    "an expired certificate": {"expired": True},
    "a certificate of another name": {"hosts": ("other.example",)},
    "a certificate of another authority": {},
}


@pytest.mark.parametrize("case", sorted(UNREACHABLE))
async def test_a_provider_that_cannot_be_connected_to_is_told_as_such_and_gets_nothing(
    start_gateway, start_stub, case
):
    provider = await start_stub(**UNREACHABLE[case])
    trusted = Authority() if case == "a certificate of another authority" else provider.authority
    gateway = await start_gateway(
        provider, reasons=["connect", "unhealthy"], tls={"caBundle": trusted.certificate}
    )
    await gateway.until_usable("hosted")
    if case == "nobody listens":
        await provider.stop()
    for body, code in ((CHAT_BODY, "upstream_unavailable"), ({"store": True}, "upstream_unavailable")):
        status, _, said = await gateway.chat(**{**body, "model": "alone"})
        assert (status, error_of(said)["code"]) == (503, code)
        gateway.forgive()
        # nothing was sent: calls with side effects go on as well
        status, headers, said = await gateway.chat(**{**body, "model": "auto"})
        assert (status, said) == (200, SPARE)
        assert "x-pilotage-try-next" not in headers
        [failed] = (await gateway.explained())["failedAttempts"]
        assert (failed["reason"], failed["status"]) == ("connect", None)
        gateway.forgive()
    for _ in range(2):
        await gateway.chat(model="auto")
        await gateway.explained()
    assert gateway.left_alone() == "server"
    assert provider.received == []


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), ("", "is empty"), ("a\nb", "more than one line")],
    ids=["missing", "empty", "two lines"],
)
async def test_a_provider_without_a_credential_is_passed_over_until_it_has_one(
    start_gateway, stub, tmp_path, content, why
):
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    gateway = await start_gateway(stub, auth={"file": str(key)})
    await gateway.until(lambda: KEY in gateway.problems(), 10)
    assert gateway.problems()[KEY].reason == "CredentialMissing"
    assert why in gateway.problems()[KEY].message
    status, _, said = await gateway.chat(model="alone")
    assert (status, error_of(said)["code"]) == (503, "no_endpoints")
    assert (await gateway.chat())[::2] == (200, SPARE)
    found = await gateway.explained()
    assert found["passedOver"] == [{"model": "hosted", "reason": "unavailable", "leftOut": True}]
    assert gateway.left_alone() is None
    key.write_text("late\n")
    await gateway.until_usable("hosted")
    assert (await gateway.chat(model="alone"))[0] == 200
    assert stub.received[-1].headers["authorization"] == "Bearer late"


async def test_a_name_that_vanishes_keeps_its_addresses_and_one_that_never_was_is_passed_over(
    start_gateway, start_stub, monkeypatch
):
    usual, known = socket.getaddrinfo, {"vanishing.example": False}

    def getaddrinfo(host, *args, **more):
        if host not in known:
            return usual(host, *args, **more)
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return usual("127.0.0.1", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("pilotage_extproc.sources.discovery.RESOLVE_INTERVAL_SECONDS", 0.1)
    provider = await start_stub(hosts=["vanishing.example"])
    gateway = await start_gateway(provider, host="vanishing.example")
    await gateway.until(lambda: KEY in gateway.problems(), 10)
    assert gateway.problems()[KEY].reason == "NameNotResolved"
    assert (await gateway.chat())[::2] == (200, SPARE)
    known["vanishing.example"] = True
    await gateway.until_usable("hosted")
    assert (await gateway.chat(model="alone"))[0] == 200
    known["vanishing.example"] = False
    await gateway.until(lambda: "vanishing.example" in gateway.runtime.discovery.failed, 10)
    assert (await gateway.chat(model="alone"))[0] == 200
    assert gateway.left_alone() is None
