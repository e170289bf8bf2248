"""Requests in another API's terms: what is carried, noted and refused."""

import copy
import tracemalloc
from typing import Any

import anthropic.types.message_create_params
import openai.types.chat.completion_create_params
import openai.types.responses.response_create_params
import orjson
import pytest
from sdk_types import check_request
from translated_requests import CHAT, MESSAGES, PNG, RESPONSES, SCHEMA

from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.fields import FIELDS, Fate
from pilotage_extproc.dialects.translation.translate import Translated, translate
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

REASONING = ModelFacts("gpt-x", 16_384, reasoning=True)
PLAIN = ModelFacts("claude-x", 4096)
EVERYTHING = {CallKind.CHAT: CHAT, CallKind.MESSAGES: MESSAGES, CallKind.RESPONSES: RESPONSES}
SMALL: dict[CallKind, dict[str, Any]] = {
    CallKind.CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    CallKind.MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    CallKind.RESPONSES: {"model": "m", "input": "hi"},
}


def done(
    kind: CallKind, target: CallKind, body: dict[str, Any], facts: ModelFacts = REASONING
) -> tuple[dict[str, Any], Translated]:
    translated = translate(kind, target, copy.deepcopy(body), facts)
    written = orjson.loads(translated.body)
    check_request(target, written)
    return written, translated


@pytest.mark.parametrize(("kind", "target"), FIELDS)
@pytest.mark.parametrize("facts", [REASONING, PLAIN])
def test_everything_an_api_can_say_is_a_valid_request_of_the_other(kind, target, facts):
    written, translated = done(kind, target, EVERYTHING[kind], facts)
    assert written["model"] == facts.model
    assert written["stream"] is True
    assert translated.path == ("/v1/messages" if target is CallKind.MESSAGES else "/v1/chat/completions")


def test_a_chat_becomes_messages():
    written, translated = done(CallKind.CHAT, CallKind.MESSAGES, CHAT)
    assert written["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    user, assistant, results = written["messages"]
    assert user["content"] == [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.jpg"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
    ]
    assert assistant["content"] == [
        {"type": "thinking", "thinking": "two tools", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"b": 1, "a": 100.0}},
        {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
    ]
    assert results == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "a cat"},
            {"type": "tool_result", "tool_use_id": "call_2", "content": "noon"},
            {"type": "text", "text": "And now?"},
        ],
    }
    assert written["tools"] == [
        {"name": "look", "description": "Looks.", "input_schema": SCHEMA, "strict": True},
        {"name": "now", "input_schema": {"type": "object"}},
    ]
    assert written["tool_choice"] == {"type": "tool", "name": "look", "disable_parallel_tool_use": True}
    assert written["max_tokens"] == 300
    assert (written["temperature"], written["top_p"], written["top_k"]) == (1, 0.9, 40)
    assert written["stop_sequences"] == ["END", "STOP"]
    assert written["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    assert written["metadata"] == {"user_id": "u-1"}
    assert set(translated.notes) == {
        "messages[].name: dropped",
        "messages[].content[].image_url.detail: dropped",
        "messages[].reasoning_content: dropped, unsigned; send `thinking_blocks`",
        "seed: dropped",
        "temperature: lowered to 1",
    }
    assert translated.answer == {
        "answer_as": "chat",
        "stream": "1",
        "usage": "1",
        "thinking": "1",
        "notes": "; ".join(translated.notes),
    }


def test_arguments_of_calls_keep_their_bytes():
    translated = translate(CallKind.CHAT, CallKind.MESSAGES, copy.deepcopy(CHAT), REASONING)
    assert b'"input":{"b": 1, "a": 1e2}' in translated.body


def test_messages_become_a_chat():
    written, translated = done(CallKind.MESSAGES, CallKind.CHAT, MESSAGES)
    system, user, assistant, first, second, rest = written["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert user["content"] == [
        {"type": "text", "text": "What is this?"},
        image,
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "text", "text": "notes"},
    ]
    assert assistant["content"] == "Let me look."
    assert [call["function"] for call in assistant["tool_calls"]] == [
        {"name": "look", "arguments": '{"z":1,"a":[1.5,null]}'},
        {"name": "now", "arguments": "{}"},
    ]
    assert first == {"role": "tool", "tool_call_id": "toolu_1", "content": "a cat"}
    assert second == {"role": "tool", "tool_call_id": "toolu_2", "content": "no clock"}
    assert rest["content"] == [
        {"type": "text", "text": "Of the result of toolu_1:"},
        image,
        {"type": "text", "text": "And now?"},
    ]
    assert written["tool_choice"] == "required"
    assert written["parallel_tool_calls"] is False
    assert written["max_completion_tokens"] == 500
    assert written["reasoning_effort"] == "high"
    assert written["stream_options"] == {"include_usage": True}
    assert written["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA, "strict": True}
    assert {note.split(":")[0] for note in translated.notes} == {
        "system",
        "system[].cache_control",
        "messages[].content[].thinking",
        "messages[].content[].signature",
        "messages[].content[].data",
        "messages[].content[].is_error",
        "messages[].content[].content",
        "top_k",
    }
    assert translated.answer["thinking"] == "1"


def test_stateless_responses_become_a_chat():
    written, translated = done(CallKind.RESPONSES, CallKind.CHAT, RESPONSES)
    system, user, assistant, first, second, rest = written["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "file"]
    assert user["content"][1]["image_url"]["detail"] == "low"
    assert assistant["content"] == "Let me look."
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_1", "call_2"]
    assert (first["content"], second["content"], rest["content"]) == ("a cat", "noon", "And now?")
    assert (written["verbosity"], written["reasoning_effort"]) == ("low", "high")
    assert {note.split(":")[0] for note in translated.notes} == {"input[].encrypted_content", "reasoning"}


@pytest.mark.parametrize(
    ("asked", "most", "written"),
    [(None, 4096, 4096), (100, 4096, 100), (9000, 4096, 4096), (9000, None, 9000)],
)
def test_the_required_limit_is_the_requests_else_the_models(asked, most, written):
    chat = {**SMALL[CallKind.CHAT], "max_tokens": asked}
    assert done(CallKind.CHAT, CallKind.MESSAGES, chat, ModelFacts("m", most))[0]["max_tokens"] == written


def test_without_any_limit_a_chat_is_refused_by_name():
    with pytest.raises(RequestRefused) as refused:
        translate(CallKind.CHAT, CallKind.MESSAGES, SMALL[CallKind.CHAT], ModelFacts("m"))
    assert (refused.value.reason, refused.value.param) == (Refusal.NOT_TRANSLATABLE, "max_tokens")
    assert "maxOutputTokens" in refused.value.message


def sample(name: str) -> Any:
    """A value that asks for something; no field that is dropped or refused is looked into."""
    return {"n": 3, "store": True, "background": True}.get(name, "asked-for")


TOP = [
    (kind, target, name, field)
    for (kind, target), places in FIELDS.items()
    for name, field in places[""].items()
    if field.fate is not Fate.CARRIED
]


@pytest.mark.parametrize(("kind", "target", "name", "field"), TOP)
def test_what_the_table_says_of_a_field_is_what_becomes_of_it(kind, target, name, field):
    body = {**SMALL[kind], name: sample(name)}
    if field.fate is Fate.REFUSED:
        with pytest.raises(RequestRefused) as refused:
            translate(kind, target, body, PLAIN)
        assert (refused.value.reason, refused.value.param) == (Refusal.NOT_TRANSLATABLE, name)
    else:
        _, translated = done(kind, target, body, PLAIN)
        assert [note.split(":")[0] for note in translated.notes] == [name]
        assert b"asked-for" not in translated.body
    for plain in (None, *field.plain):
        assert translate(kind, target, {**SMALL[kind], name: plain}, PLAIN).notes == ()


SDK_PARAMS = {
    CallKind.CHAT: openai.types.chat.completion_create_params.CompletionCreateParamsStreaming,
    CallKind.MESSAGES: anthropic.types.message_create_params.MessageCreateParamsStreaming,
    CallKind.RESPONSES: openai.types.responses.response_create_params.ResponseCreateParamsStreaming,
}


@pytest.mark.parametrize(("kind", "target"), FIELDS)
def test_the_tables_know_every_member_that_the_sdks_send(kind, target):
    params = SDK_PARAMS[kind]
    assert params.__required_keys__ | params.__optional_keys__ <= set(FIELDS[kind, target][""])


@pytest.mark.parametrize(("kind", "target"), FIELDS)
def test_carried_fields_are_those_whose_absence_shows(kind, target):
    """Each carried member of a full request changes what is written, or how the answer is made."""
    full = EVERYTHING[kind]
    whole = translate(kind, target, copy.deepcopy(full), REASONING)
    for name in full:
        field = FIELDS[kind, target][""].get(name)
        if field is None or field.fate is not Fate.CARRIED or name in ("model", "messages", "input"):
            continue
        without = {key: value for key, value in copy.deepcopy(full).items() if key != name}
        less = translate(kind, target, without, REASONING)
        assert less != whole, name


@pytest.mark.parametrize(("kind", "target"), FIELDS)
def test_an_unknown_member_is_dropped_with_a_note_that_cannot_hold_text(kind, target):
    body = {**SMALL[kind], "shiny_new": 1, "my secret\nis 42": 2}
    _, translated = done(kind, target, body, PLAIN)
    assert translated.notes == ("shiny_new: dropped, unknown", "(another member): dropped, unknown")


REFUSED = [
    (CallKind.CHAT, {"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    (CallKind.CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    (
        CallKind.CHAT,
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages.0.content.0.type",
    ),
    (
        CallKind.CHAT,
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}
            ]
        },
        "messages.0.content.0.image_url.url",
    ),
    (
        CallKind.CHAT,
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        "messages.0.content.0.file",
    ),
    (
        CallKind.CHAT,
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1"}}],
                }
            ]
        },
        "messages.0.tool_calls.0.function.arguments",
    ),
    (CallKind.CHAT, {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
    (CallKind.CHAT, {"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
    (CallKind.CHAT, {"tool_choice": "often"}, "tool_choice"),
    (CallKind.CHAT, {"response_format": {"type": "json_object"}}, "response_format.type"),
    (CallKind.CHAT, {"temperature": "hot"}, "temperature"),
    (CallKind.CHAT, {"max_tokens": True}, "max_tokens"),
    (CallKind.CHAT, {"messages": [{"role": "system", "content": "alone"}]}, "messages"),
    (CallKind.MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
    (
        CallKind.MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]},
        "messages.0.content.0.type",
    ),
    (
        CallKind.MESSAGES,
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
            ]
        },
        "messages.0.content.0.source.type",
    ),
    (CallKind.MESSAGES, {"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    (CallKind.MESSAGES, {"output_config": {"effort": "heroic"}}, "output_config.effort"),
    (CallKind.RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type"),
    (CallKind.RESPONSES, {"tools": [{"type": "web_search"}]}, "tools.0.type"),
    (
        CallKind.RESPONSES,
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input.0.content.0.file_id",
    ),
]


@pytest.mark.parametrize(("kind", "change", "param"), REFUSED)
def test_a_refusal_names_the_field(kind, change, param):
    target = CallKind.MESSAGES if kind is CallKind.CHAT else CallKind.CHAT
    with pytest.raises(RequestRefused) as refused:
        translate(kind, target, {**SMALL[kind], **change}, PLAIN)
    assert refused.value.param == param
    assert refused.value.reason.http_status == 400


def test_a_system_message_inside_a_conversation_moves_with_a_note():
    chat = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    }
    written, translated = done(CallKind.CHAT, CallKind.MESSAGES, chat, PLAIN)
    assert written["system"] == "b"
    assert written["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "c"}]}
    ]
    assert translated.notes == ("messages[]: moved to the system prompt",)


def test_a_user_id_that_openai_would_refuse_is_dropped():
    body = {**SMALL[CallKind.MESSAGES], "metadata": {"user_id": "u" * 65}}
    written, translated = done(CallKind.MESSAGES, CallKind.CHAT, body, PLAIN)
    assert "user" not in written
    assert translated.notes == ("user: dropped: longer than 64 characters",)


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 2048}, "low"),
        ({"type": "enabled", "budget_tokens": 10_000}, "medium"),
        ({"type": "enabled", "budget_tokens": 60_000}, "high"),
        ({"type": "disabled"}, "none"),
        ({"type": "adaptive"}, None),
    ],
)
def test_a_budget_of_thinking_becomes_an_effort(thinking, effort):
    body = {**SMALL[CallKind.MESSAGES], "thinking": thinking}
    assert done(CallKind.MESSAGES, CallKind.CHAT, body)[0].get("reasoning_effort") == effort
    assert "reasoning_effort" not in done(CallKind.MESSAGES, CallKind.CHAT, body, PLAIN)[0]


@pytest.mark.parametrize("argument", ["[],", "{},", '"",'])
def test_arguments_of_a_call_are_read_without_making_anything_of_them(argument):
    arguments = '{"a":[' + argument * (6_000_000 // len(argument)) + "1]}"
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    tracemalloc.start()
    try:
        translated = translate(CallKind.CHAT, CallKind.MESSAGES, body, PLAIN)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert arguments.encode() in translated.body
    assert most < 8 * len(arguments)


@pytest.mark.parametrize(
    "arguments", ["[1]", "1", '{"a":1', '{"a":1} 2', '{"a":01}', "[" * 100_000, '{"a":' * 100_000]
)
def test_arguments_of_a_call_that_are_no_object_are_refused(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    with pytest.raises(RequestRefused) as refused:
        translate(CallKind.CHAT, CallKind.MESSAGES, body, PLAIN)
    assert refused.value.reason is Refusal.NOT_TRANSLATABLE


def test_a_schema_that_is_nested_past_what_can_be_written_is_refused():
    schema: dict[str, Any] = {}
    for _ in range(400):
        schema = {"items": schema}
    body = {
        **SMALL[CallKind.CHAT],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    with pytest.raises(RequestRefused) as refused:
        translate(CallKind.CHAT, CallKind.MESSAGES, body, PLAIN)
    assert refused.value.reason is Refusal.TOO_COMPLEX


def test_notes_are_bounded():
    body = {**SMALL[CallKind.CHAT], **{f"member_{number}": 1 for number in range(1000)}}
    assert len(translate(CallKind.CHAT, CallKind.MESSAGES, body, PLAIN).notes) == 64
