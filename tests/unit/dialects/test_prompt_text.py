"""The canonical prompt: what two requests share is what an engine's prefix cache would share."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    NameKind,
    PoolSnapshot,
    ProfileSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.dialects.prompt_parts import MEDIA_PART_BYTES
from pilotage_extproc.dialects.prompt_text import read_prompt
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.plan import NO_PLAN
from pilotage_extproc.scheduling.candidates import candidate_set
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.server.admin_view import read_request
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.describe import Describe, session_of
from pilotage_extproc.stages.parse import read_body
from pilotage_extproc.state.calibration import TokenCalibration

SYSTEM = {"role": "system", "content": "You answer briefly."}
USER = {"role": "user", "content": "Why is the sky blue?"}
ANSWER = {"role": "assistant", "content": "Rayleigh scattering."}
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}


def prompt_text(kind: CallKind, members: dict[str, Any]) -> bytes:
    return read_prompt(kind, members).text


def chat(*messages: dict[str, Any], **more: Any) -> bytes:
    return prompt_text(CallKind.CHAT, {"messages": list(messages), **more})


def test_a_later_turn_begins_with_all_of_the_earlier_one():
    first = chat(SYSTEM, USER)
    assert chat(SYSTEM, USER, ANSWER, {"role": "user", "content": "And at dusk?"}).startswith(first)


def test_tool_definitions_come_first_and_tell_prompts_apart():
    with_tool = chat(SYSTEM, USER, tools=[TOOL])
    assert with_tool.startswith(orjson.dumps([TOOL]))
    assert not with_tool.startswith(chat(SYSTEM)[:5])


def test_messages_are_not_run_together():
    assert chat({"role": "user", "content": "ab"}) != chat({"role": "usera", "content": "b"})
    assert len({chat(USER), chat(USER, USER), chat(SYSTEM, USER)}) == 3


def test_text_parts_are_their_text():
    parts = [{"type": "text", "text": USER["content"]}]
    assert chat({"role": "user", "content": parts}) == chat(USER)


def test_an_image_stands_for_itself_by_its_digest():
    def image(url: str) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}

    big = "data:image/png;base64," + "A" * 1_000_000
    assert chat(image(big)) == chat(image(big))
    assert chat(image(big)) != chat(image(big + "B"))
    assert len(chat(image(big))) < MEDIA_PART_BYTES + 100


PICTURE = "A" * 4_000_000
ANTHROPIC_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
INPUT_IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [ANTHROPIC_IMAGE]}
COMPUTER = {
    "type": "computer_call_output",
    "call_id": "c1",
    "output": {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PICTURE}"},
}
FUNCTION = {"type": "function_call_output", "call_id": "c1", "output": [INPUT_IMAGE]}


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (CallKind.MESSAGES, {"messages": [{"role": "user", "content": [TOOL_RESULT]}]}),
        (CallKind.RESPONSES, {"input": [COMPUTER]}),
        (CallKind.RESPONSES, {"input": [FUNCTION]}),
        (CallKind.RESPONSES, {"input": [{"type": "image_generation_call", "result": PICTURE}]}),
        (CallKind.CHAT, {"messages": [{"role": "tool", "tool_call_id": "c1", "content": [INPUT_IMAGE]}]}),
    ],
    ids=["tool result", "screenshot", "function output", "generated image", "tool message"],
)
def test_an_image_that_a_tool_answered_with_weighs_what_an_image_does(kind, members):
    text = prompt_text(kind, members)
    assert MEDIA_PART_BYTES < len(text) < MEDIA_PART_BYTES + 300
    other = orjson.loads(orjson.dumps(members).replace(b"AAAA", b"AAAB", 1))
    assert prompt_text(kind, other) != text


def test_what_a_tool_answered_in_text_and_with_it_is_part_of_the_prompt():
    def answered(*content: dict[str, Any], call: str = "t1") -> bytes:
        result = {"type": "tool_result", "tool_use_id": call, "content": list(content)}
        return prompt_text(CallKind.MESSAGES, {"messages": [{"role": "user", "content": [result]}]})

    told = {"type": "text", "text": "done"}
    assert len({answered(told), answered(told, told), answered(told, call="t2"), answered()}) == 4


def marked(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "cache_control": {"type": "ephemeral"}}


def test_markers_of_what_a_provider_shall_cache_are_no_part_of_the_prompt():
    search = {"name": "search", "input_schema": {"type": "object"}}
    called = {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": "sky"}}
    image = {**ANTHROPIC_IMAGE, "source": {"type": "base64", "data": "QUJD"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [image]}

    def turn(mark: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
        inner = {**result, "content": [mark(image)]}
        members = {
            "tools": [TOOL, mark(search)],
            "system": [mark({"type": "text", "text": "Be brief."})],
            "messages": [
                mark({"role": "user", "content": [mark({"type": "text", "text": "Why?"})]}),
                {"role": "assistant", "content": [mark(called)]},
                {"role": "user", "content": [mark(inner), mark(image)]},
            ],
        }
        return prompt_text(CallKind.MESSAGES, members)

    assert turn(marked) == turn(lambda part: part)
    assert b"cache_control" not in turn(marked)


def claude_code(cch: str, *more: dict[str, Any]) -> bytes:
    """As Claude Code sends them: the first block of the system prompt differs each time."""
    billing = f"x-anthropic-billing-header: cc_version=2.1.77; cc_entrypoint=cli; cch={cch};"
    system = [{"type": "text", "text": billing}, {"type": "text", "text": "You are Claude Code."}]
    return prompt_text(CallKind.MESSAGES, {"system": system, "messages": [USER, *more]})


def test_what_claude_code_says_of_itself_for_billing_is_no_part_of_the_prompt():
    assert claude_code("a1b2c").startswith(claude_code("fffff")[:-1])
    late = {"role": "system", "content": [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"}]}
    none = {"role": "system", "content": []}
    assert claude_code("a", late) == claude_code("a", none)


def test_what_a_user_quotes_of_it_is_part_of_the_prompt():
    def quoted(cch: str) -> bytes:
        text = f"x-anthropic-billing-header: cch={cch};"
        return claude_code("a", {"role": "user", "content": [{"type": "text", "text": text}]})

    assert quoted("1") != quoted("2")
    as_text = [{"system": f"x-anthropic-billing-header: {n}", "messages": [USER]} for n in (1, 2)]
    told = [prompt_text(CallKind.MESSAGES, one) for one in as_text]
    assert told[0] != told[1], "vLLM leaves a system prompt of one text as it is"


@pytest.mark.parametrize(
    ("kind", "members", "all_text"),
    [
        (CallKind.CHAT, {"messages": [SYSTEM, USER], "tools": [TOOL]}, True),
        (CallKind.CHAT, {"messages": [{"role": "user", "content": [ANTHROPIC_IMAGE]}]}, False),
        (CallKind.MESSAGES, {"messages": [{"role": "user", "content": [TOOL_RESULT]}]}, False),
        (CallKind.CHAT, {"messages": [USER] * 3000}, False),
        (CallKind.RESPONSES, {"input": "hello"}, True),
        (CallKind.RESPONSES, {"input": "hello", "previous_response_id": None}, True),
        (CallKind.RESPONSES, {"input": "hello", "previous_response_id": "resp_1"}, False),
        (CallKind.RESPONSES, {"input": "hello", "conversation": "conv_1"}, False),
        (CallKind.RESPONSES, {"prompt": {"id": "pmpt_1"}}, False),
        (CallKind.COMPLETIONS, {"prompt": "hello"}, True),
        (CallKind.COMPLETIONS, {"prompt": ["hello", "there"]}, True),
        (CallKind.COMPLETIONS, {"prompt": [1, 2, 3]}, False),
        (CallKind.COMPLETIONS, {"prompt": [[1, 2, 3]]}, False),
        (CallKind.COMPLETIONS, {"prompt": "hello", "prompt_embeds": "AAAA"}, False),
        (CallKind.EMBEDDINGS, {"input": [[1, 2], [3]]}, False),
    ],
)
def test_only_a_prompt_of_text_alone_is_said_to_be_one(kind, members, all_text):
    assert read_prompt(kind, members).all_text == all_text


def test_a_list_of_one_prompt_is_that_prompt():
    for kind, field in ((CallKind.COMPLETIONS, "prompt"), (CallKind.EMBEDDINGS, "input")):
        assert prompt_text(kind, {field: ["x"]}) == prompt_text(kind, {field: "x"})
        assert prompt_text(kind, {field: [[1, 2]]}) == prompt_text(kind, {field: [1, 2]})
        assert prompt_text(kind, {field: ["x", "y"]}) != prompt_text(kind, {field: "x"})


PROFILE = ProfileBook(plugins={}).profile(ProfileSnapshot())


def features(members: dict[str, Any]) -> RequestFeatures:
    exchange = chat_exchange(members)
    exchange.routed(Route(candidate_set([], 1), None, None, None, ("m",), PROFILE, {}), NO_PLAN, "v")
    Describe(TokenCalibration()).apply(exchange)
    return exchange.features


def chat_exchange(members: dict[str, Any], **headers: str) -> Exchange:
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", headers))
    exchange.recognised(Call(CallKind.CHAT, "/v1/chat/completions", "/v1/chat/completions"))
    message = {"role": "user", "content": "hi"}
    body = orjson.dumps({"model": "m", "messages": [message], **members})
    exchange.read(read_body(CallKind.CHAT, body))
    return exchange


def test_prompts_of_different_cache_salts_share_no_block():
    body = {"messages": [{"role": "user", "content": "x" * 5000}]}

    def blocks(**more: Any) -> set[int]:
        prompt = features({**body, **more}).prompt
        assert prompt is not None
        return set(prompt.hashes)

    assert blocks(cache_salt="a") == blocks(cache_salt="a")
    assert blocks() == blocks(cache_salt=None)
    assert not blocks(cache_salt="a") & blocks(cache_salt="b")
    assert not blocks(cache_salt="a") & blocks()


def nested(depth: int) -> str:
    return '{"type":"object","a":' * depth + "1" + "}" * depth


POOL = PoolSnapshot(
    key="default/a",
    engine=Engine.VLLM,
    endpoints=(EndpointSnapshot(address="10.0.0.1", port=80),),
    stream_usage=StreamUsage.LEAVE,
    models=("m",),
)
SERVED = {"m": (Binding(pool=POOL.key, upstream_model="m", kind=NameKind.MODEL),)}


@pytest.mark.parametrize("depth", [100, 260, 900])
@pytest.mark.parametrize(
    "body",
    [
        '"tools":[%s],"messages":[{"role":"user","content":"hi"}]',
        '"messages":[{"role":"user","content":[{"type":"tool_result","content":[%s]}]}]',
        '"messages":[{"role":"assistant","tool_calls":[{"function":%s}]}]',
        '"messages":[{"role":"user","content":[{"type":"image","source":%s}]}]',
    ],
    ids=["tools", "tool result", "tool calls", "media"],
)
async def test_json_of_any_depth_that_can_be_read_is_placed_and_the_prompt_skipped_where_need_be(body, depth):
    pipeline, _ = await offline_pipeline(RoutingSnapshot(pools=(POOL,), names=SERVED), GatewaySettings())
    head = RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"})
    record = await pipeline.consider(head, ('{"model":"m",' + body % nested(depth) + "}").encode())
    assert record.addresses() == ["10.0.0.1:80"]
    if depth > 250:
        assert record.skipped == ("prompt: raised TypeError",)
        assert record.prompt_tokens == 0
    else:
        assert record.skipped == ()
        assert record.prompt_tokens > 0


def test_a_described_request_whose_body_is_too_deep_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        read_request(b'{"body":{"model":"m","tools":[' + nested(300).encode() + b"]}}")


def test_tool_calls_are_part_of_the_prompt():
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "x"}}]}
    other = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "y"}}]}
    assert chat(USER, called) != chat(USER, other)


def test_every_kind_of_call_has_its_prompt():
    assert b"hello" in prompt_text(CallKind.COMPLETIONS, {"prompt": "hello"})
    assert b"[1,2,3]" in prompt_text(CallKind.COMPLETIONS, {"prompt": [1, 2, 3]})
    assert b"hello" in prompt_text(CallKind.EMBEDDINGS, {"input": ["hello", "you"]})
    responses = prompt_text(CallKind.RESPONSES, {"instructions": "Be brief.", "input": "hello"})
    assert responses.index(b"Be brief.") < responses.index(b"hello")
    assert b"hello" in prompt_text(CallKind.RESPONSES, {"input": [{"role": "user", "content": "hello"}]})
    anthropic = {"system": "Be brief.", "messages": [USER], "tools": [TOOL]}
    told = prompt_text(CallKind.MESSAGES, anthropic)
    assert told.index(b"search") < told.index(b"Be brief.") < told.index(b"blue")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.sampled_from(
        [CallKind.CHAT, CallKind.COMPLETIONS, CallKind.EMBEDDINGS, CallKind.RESPONSES, CallKind.MESSAGES]
    ),
    st.dictionaries(
        st.sampled_from(["messages", "prompt", "input", "system", "instructions", "tools"]), JSON, max_size=6
    ),
)
def test_no_body_that_is_json_breaks_it(kind, members):
    first = prompt_text(kind, members)
    assert first == prompt_text(kind, orjson.loads(orjson.dumps(members)))


def session(members: dict[str, Any], **headers: str) -> int | None:
    return session_of(chat_exchange(members, **headers))


def test_a_session_is_the_header_else_the_cache_key_else_the_user():
    header = {"x-session-id": "s1"}
    assert session({"user": "u"}, **header) == session({}, **header)
    assert session({"prompt_cache_key": "k", "user": "u"}) == session({"prompt_cache_key": "k"})
    assert session({"user": "u"}) not in (None, session({"user": "v"}))
    assert session({}) is None
    assert session({"user": 5}) is None


def test_very_many_parts_are_not_told_apart_one_by_one_and_keep_their_order():
    messages = [{"role": "user", "content": f"message {number}"} for number in range(3000)]
    text = chat(*messages)
    assert text.count(b"\x1e") < 2100
    later = chat(*messages, {"role": "assistant", "content": "yes"})
    assert later.startswith(text[:-10])
    assert chat(*messages[:-1], {"role": "user", "content": "another"}) != text


def test_very_many_images_weigh_no_more_than_the_bound():
    parts = [{"type": "file"}] * 30_000
    most = 2100 * MEDIA_PART_BYTES
    assert len(chat({"role": "user", "content": parts})) < most + len(orjson.dumps(parts))
    messages = [{"role": "user", "content": parts[:10]}] * 3000
    assert len(chat(*messages)) < most + len(orjson.dumps(messages))
