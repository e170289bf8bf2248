"""The most that a request of a hard budget can come to, whatever its body says."""

import json
from typing import Any

import pytest

from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.choices import likely_choices
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.token_bounds import TEMPLATE_TOKENS, Bounds
from pilotage_extproc.stages.parse import read_body

WINDOW = 8192
IMAGE = {"url": "https://images.example/large.png"}


def bounds_of(kind: CallKind, body: bytes) -> Bounds:
    exchange = Exchange(RequestHead("POST", DIALECTS[kind].path, {}))
    exchange.recognised(Call(kind, DIALECTS[kind].path, DIALECTS[kind].path))
    exchange.received(body)
    exchange.read(read_body(kind, body))
    return Bounds(exchange)


def written(**members: Any) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def chat(*content: Any, **members: Any) -> Bounds:
    messages = [{"role": "user", "content": list(content) or "hi"}]
    return bounds_of(CallKind.CHAT, written(**{"messages": messages, **members}))


def responses(*items: Any, **members: Any) -> Bounds:
    return bounds_of(CallKind.RESPONSES, written(input=list(items), **members))


def is_whole(bounds: Bounds) -> bool:
    """Whether its bytes bound its prompt."""
    try:
        bounds.most_input(None)
    except RequestRefused as refused:
        assert refused.reason is Refusal.COST_NOT_BOUNDED
        assert bounds.most_input(WINDOW) == WINDOW * bounds.prompts
        return False
    return True


def refusal_of(kind: CallKind, body: bytes) -> Refusal:
    with pytest.raises(RequestRefused) as caught:
        bounds_of(kind, body)
    return caught.value.reason


STANDING_FOR_MORE: dict[str, dict[str, Any]] = {
    "an image without a type, as vLLM takes it": {"image_url": IMAGE},
    "an image as text alone": {"image_url": "https://images.example/large.png"},
    "an image behind a type of text": {"type": "text", "text": "a", "uuid": "u", "image_url": IMAGE},
    "a sound without a type": {"input_audio": {"data": "", "format": "wav"}},
    "a video without a type": {"video_url": IMAGE},
    "a member that nobody knows": {"type": "text", "text": "a", "attached": "17"},
}


@pytest.mark.parametrize("part", STANDING_FOR_MORE.values(), ids=STANDING_FOR_MORE)
def test_a_part_that_may_stand_for_more_is_bounded_by_the_window_alone(part):
    assert not is_whole(chat(part))
    assert not is_whole(chat({"type": "tool_result", "tool_use_id": "1", "content": [part]}))


def test_an_earlier_answer_as_sound_stands_for_more_than_its_id():
    spoken = [{"role": "assistant", "audio": {"id": "audio_1"}}, {"role": "user", "content": "hi"}]
    assert not is_whole(chat(messages=spoken))


STORED = {
    "an item's id": {"id": "msg_1"},
    "a reference": {"type": "item_reference", "id": "msg_1"},
    "reasoning by its id": {"type": "reasoning", "id": "rs_1", "summary": []},
}


@pytest.mark.parametrize("item", STORED.values(), ids=STORED)
def test_items_that_the_provider_has_stored_are_not_in_the_body(item):
    assert not is_whole(responses(item, {"role": "user", "content": "hi"}))


def test_a_conversation_of_text_and_tools_is_bounded_by_its_bytes():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    turns: list[Any] = [
        {"role": "system", "content": "be brief", "name": "s"},
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": None, "reasoning_content": "well", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ]
    sampling = {"temperature": 0.5, "top_p": 1, "seed": 4, "stop": ["x"], "user": "u", "stream": True, "n": 1}
    assert is_whole(chat(messages=turns, chat_template_kwargs={"enable_thinking": True}, **sampling))
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "b64"}
    said = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    items = [thought, {**said, "content": [{"type": "output_text", "text": "a", "annotations": []}]}]
    assert is_whole(responses(*items, {"role": "user", "content": "hi"}, store=False))


TEMPLATES: dict[str, dict[str, Any]] = {
    "a template of the client's own": {"chat_template": "{% for i in range(9999) %}a {% endfor %}"},
    "data of a provider's index": {"something_new": {"index": "everything"}},
    "images beside the messages": {"images": ["aGk="]},
    "a template among its variables": {"chat_template_kwargs": {"chat_template": "{{ messages * 9999 }}"}},
    "variables that a template may repeat": {"chat_template_kwargs": {"documents": [{"text": "a"}]}},
    "a known variable with parts": {"chat_template_kwargs": {"thinking": ["a"]}},
    "variables that are none": {"chat_template_kwargs": "enable_thinking"},
}


@pytest.mark.parametrize("members", TEMPLATES.values(), ids=TEMPLATES)
def test_members_that_may_add_to_the_prompt_are_bounded_by_the_window_alone(members):
    assert not is_whole(chat(**members))


def test_each_of_several_texts_that_are_embedded_may_fill_the_window():
    body = written(input=["long " * 4000] * 10)
    assert bounds_of(CallKind.EMBEDDINGS, body).most_input(WINDOW) >= 10 * 4000
    assert bounds_of(CallKind.EMBEDDINGS, written(input="hi")).most_input(None) < TEMPLATE_TOKENS + 100
    assert bounds_of(CallKind.EMBEDDINGS, written(input=[1, 2, 3])).most_input(16) == 16


def test_each_embedded_prompt_gets_an_answer_of_its_own():
    bounds = bounds_of(CallKind.COMPLETIONS, written(prompt=["a"], prompt_embeds=["x", "y", "z"], n=2))
    assert (bounds.prompts, bounds.choices) == (4, 8)
    assert bounds.most_input(WINDOW) == 4 * WINDOW


def test_documents_that_are_images_are_bounded_by_the_window_alone():
    pages = {"content": [{"type": "image_url", "image_url": IMAGE}] * 3}
    bounds = bounds_of(CallKind.RERANK, written(query="q", documents=pages))
    assert not is_whole(bounds)
    assert bounds.prompts == 3


def test_tools_that_are_nested_deeply_are_held_with_what_indents_them():
    schema: Any = {"enum": [1] * 50}
    for _ in range(60):
        schema = {"properties": {"a": schema}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    rendered = json.dumps(tools, indent=4)
    spaces_to_a_token = 16
    indented = sum(
        -(-(len(line) - len(line.lstrip())) // spaces_to_a_token) + len(line.strip())
        for line in rendered.splitlines()
    )
    assert chat(tools=tools).most_input(None) > indented + TEMPLATE_TOKENS


RUN = {"type": "web_search"}
ADDED = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": RUN}}
CLEAR = {"type": "clear_tool_uses_20250919"}
COMPACT = {"type": "compact_20260112"}
DEAR: dict[str, tuple[CallKind, dict[str, Any]]] = {
    "a search that the provider runs": (CallKind.CHAT, {"web_search_options": {}}),
    "a search by another name, whatever it says": (CallKind.CHAT, {"search_parameters": {}}),
    "a tool that has no type and no name": (CallKind.CHAT, {"tools": [{"google_search": {}}]}),
    "a tool behind many others": (CallKind.CHAT, {"functions": [{"name": "f"}] * 8001}),
    "a tool of a message": (CallKind.CHAT, {"messages": [{"role": "developer", "tools": [RUN]}]}),
    "a tool in an item": (CallKind.RESPONSES, {"input": [{"type": "additional_tools", "tools": [RUN]}]}),
    "tools in a group": (CallKind.RESPONSES, {"tools": [{"type": "namespace", "name": "n", "tools": [RUN]}]}),
    "a tool that is added later": (CallKind.MESSAGES, {"messages": [{"role": "system", "content": [ADDED]}]}),
    "more parts than are looked at": (CallKind.CHAT, {"messages": [{"role": "user", "content": ""}] * 8001}),
    "other models of Anthropic's": (CallKind.MESSAGES, {"fallbacks": "default"}),
    "other models of OpenRouter's": (CallKind.CHAT, {"models": ["m", "dear"]}),
    "members that are not seen": (CallKind.CHAT, {"extra_body": {"fallbacks": ["dear"]}}),
    "a summary before the answer": (CallKind.MESSAGES, {"context_management": {"edits": [CLEAR, COMPACT]}}),
    "a summary by OpenAI": (CallKind.RESPONSES, {"context_management": [{"type": "compaction"}]}),
    "a summary in place of an answer": (CallKind.MESSAGES, {"compaction": {"type": "summarize"}}),
    "a search by one more name": (CallKind.CHAT, {"enable_search": True}),
    "plug-ins of the provider": (CallKind.CHAT, {"plugins": [{"id": "web"}]}),
    "data that the provider looks up": (CallKind.CHAT, {"data_sources": [{"type": "azure_search"}]}),
    "a dearer tier": (CallKind.CHAT, {"service_tier": "priority"}),
    "an answer as sound": (CallKind.CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "a"}}),
    "a prediction that is billed": (CallKind.CHAT, {"prediction": {"type": "content", "content": "a"}}),
    "tools that the provider calls": (CallKind.MESSAGES, {"mcp_servers": [{"type": "url", "url": "u"}]}),
    "a container": (CallKind.MESSAGES, {"container": "c"}),
    "a faster and dearer mode": (CallKind.MESSAGES, {"speed": "fast"}),
    "a dearer place": (CallKind.MESSAGES, {"inference_geo": "us"}),
    "an answer that is not waited for": (CallKind.RESPONSES, {"background": True}),
}


@pytest.mark.parametrize(("kind", "members"), DEAR.values(), ids=DEAR)
def test_what_is_billed_beyond_tokens_at_their_price_is_refused(kind, members):
    prompt = (
        {"input": "hi"} if kind is CallKind.RESPONSES else {"messages": [{"role": "user", "content": "hi"}]}
    )
    assert refusal_of(kind, written(**{**prompt, **members})) is Refusal.COST_NOT_BOUNDED


def test_members_that_ask_for_the_usual_price_are_served():
    usual = {"service_tier": "auto", "modalities": ["text"], "background": False, "mcp_servers": []}
    assert is_whole(chat(**usual, web_search_options=None))
    assert is_whole(chat(service_tier="flex"))
    assert is_whole(chat(tools=[{"type": "function", "function": {"name": "f"}}], models=[], fallbacks=None))


def test_a_member_without_a_name_is_no_conversation():
    members: dict[str, Any] = {"": [{}]}
    assert not is_whole(bounds_of(CallKind.EMBEDDINGS, written(input="hi", **members)))


def test_what_a_context_leaves_out_costs_nothing_more():
    messages = [{"role": "user", "content": "hi"}]
    body = written(messages=messages, max_tokens=9, context_management={"edits": [CLEAR]})
    assert is_whole(bounds_of(CallKind.MESSAGES, body))


def test_a_limit_of_nothing_is_refused_since_servers_read_it_as_no_limit():
    prompt = {"messages": [{"role": "user", "content": "hi"}]}
    assert refusal_of(CallKind.CHAT, written(**prompt, max_tokens=0)) is Refusal.INVALID_FIELD
    both = written(**prompt, max_tokens=5, max_completion_tokens=0)
    assert refusal_of(CallKind.CHAT, both) is Refusal.INVALID_FIELD


@pytest.mark.parametrize(
    "twice",
    [
        b'"max_tokens":9000,"max_tokens":null',
        b'"n":5,"n":null',
        b'"max_completion_tokens":9000,"max_completion_tokens":null,"max_tokens":5',
        b'"tools":[{"type":"web_search"}],"tools":[]',
        b'"messages":[{"role":"user","content":[{"type":"image_url","image_url":"x"}]}]',
        b'"Max_Tokens":9000,"max_tokens":5',
        b'"Web_Search_Options":{}',
        b'"service_tier":"priority","service_tier":"auto"',
        b'"web_s\\u0065arch_options":{},"web_search_options":null',
    ],
)
def test_a_member_that_stands_twice_is_refused_whichever_a_server_would_read(twice):
    for content in (b"hi", b"hi" * 50_000):
        body = b'{"model":"m",%b,"messages":[{"role":"user","content":"%b"}]}' % (twice, content)
        assert refusal_of(CallKind.CHAT, body) is Refusal.INVALID_FIELD


@pytest.mark.parametrize(
    ("kind", "members", "choices"),
    [
        (CallKind.CHAT, {"n": 4}, 4),
        (CallKind.CHAT, {"n": "4"}, 4),
        (CallKind.CHAT, {"n": 4.0, "best_of": 3}, 4),
        (CallKind.CHAT, {"n": None}, 1),
        (CallKind.CHAT, {"n": "many"}, 1),
        (CallKind.CHAT, {"n": -3}, 1),
        (CallKind.CHAT, {"n": 10**9}, 1024),
        (CallKind.CHAT, {"n": float("inf")}, 1),
        (CallKind.COMPLETIONS, {"prompt": ["a", "b", "c"], "best_of": 2}, 6),
        (CallKind.COMPLETIONS, {"prompt": [[1, 2], [3]]}, 2),
        (CallKind.COMPLETIONS, {"prompt": [1, 2, 3]}, 1),
        (CallKind.RESPONSES, {"input": ["a", "b"]}, 1),
    ],
)
def test_limits_hold_as_many_answers_as_a_lenient_server_would_make(kind, members, choices):
    assert likely_choices(DIALECTS[kind], members) == choices
