"""Which streams are asked for usage that their client did not ask for, and that this leaves no trace."""

import json

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.stream_usage import (
    AddedUsage,
    UsageEdit,
    added_usage,
    leaves_usage_open,
    usage_asked,
    usage_unasked,
)
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import RequestRefused

CHAT = DIALECTS[CallKind.CHAT]
REFUSING = [{"include_usage": False}, {"include_usage": None}, {"other": 1, "include_usage": False}]


@pytest.mark.parametrize(
    "options", [None, {}, {"other": 1}, *REFUSING], ids=["null", "empty", "other", "false", "none", "both"]
)
def test_a_stream_whose_client_does_not_ask_leaves_it_open(options):
    assert leaves_usage_open(CHAT, {"stream": True, "stream_options": options})
    assert leaves_usage_open(DIALECTS[CallKind.COMPLETIONS], {"stream": True, "stream_options": options})
    assert leaves_usage_open(CHAT, {"stream": True})


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": 1}, "odd", 1, []])
def test_a_client_that_says_anything_else_does_not_leave_it_open(options):
    assert not leaves_usage_open(CHAT, {"stream": True, "stream_options": options})


def test_what_is_no_stream_or_carries_usage_anyway_has_nothing_to_ask_for():
    assert not leaves_usage_open(CHAT, {})
    assert not leaves_usage_open(CHAT, {"stream": None})
    assert not leaves_usage_open(DIALECTS[CallKind.RESPONSES], {"stream": True})
    assert not leaves_usage_open(DIALECTS[CallKind.MESSAGES], {"stream": True})


def asked(body: bytes, engine: Engine) -> tuple[bytes, UsageEdit]:
    edits, how = usage_asked(body, CHAT, json.loads(body), engine, StreamUsage.INJECT)
    return edited(body, edits), how


others = st.dictionaries(st.sampled_from(["other", "chunk_size"]), st.one_of(st.integers(), st.booleans()))
in_every_chunk = st.one_of(
    st.just({}),
    st.builds(lambda said: {"continuous_usage_stats": said}, st.sampled_from([True, False, None])),
)
plain = st.builds(
    lambda more, every, ahead: {**every, **more} if ahead else {**more, **every},
    others,
    in_every_chunk,
    st.booleans(),
)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.one_of(
        st.none(),
        plain,
        st.builds(
            lambda more, said: {**more, "include_usage": said}, plain, st.sampled_from([True, False, None])
        ),
    ),
    st.sampled_from(Engine),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_every_stream_is_asked_for_all_that_its_engine_can_say_and_can_be_as_it_was(
    options, engine, indent, missing
):
    members = {"stream": True, "messages": [{"role": "user", "content": '"include_usage": false {'}]}
    if not missing:
        members["stream_options"] = options
    body = json.dumps(members, indent=indent).encode()
    changed, how = asked(body, engine)
    now = json.loads(changed)
    said = now.pop("stream_options")
    assert said["include_usage"] is True
    if engine in (Engine.VLLM, Engine.SGLANG):
        assert said["continuous_usage_stats"] is True
    assert now == {name: value for name, value in members.items() if name != "stream_options"}
    if how is UsageEdit.NONE:
        assert changed == body
        return
    undone = usage_unasked(changed, how)
    assert undone is not None
    assert edited(changed, [undone]) == body


def test_engines_that_can_are_asked_in_every_chunk_though_their_client_wants_none():
    changed, how = asked(b'{"stream":true,"stream_options":{"include_usage": false}}', Engine.VLLM)
    assert (
        changed == b'{"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage": true }}'
    )
    assert how == UsageEdit.FALSE_REPLACED | UsageEdit.CONTINUOUS


@pytest.mark.parametrize(
    "options",
    [
        b'{"include_usage":false,"include_usage":false}',
        b'{"include\\u005fusage":false}',
        b'{"include_usage":false,"x":{"include_usage":false}}',
    ],
)
def test_a_wish_that_is_hidden_from_the_gateway_is_refused(options):
    with pytest.raises(RequestRefused):
        asked(b'{"stream":true,"stream_options":%b}' % options, Engine.OPENAI)


def test_a_client_that_asks_for_the_last_chunk_alone_is_counted_in_every_chunk():
    body = b'{"stream":true,"stream_options":{"include_usage":true}}'
    changed, how = asked(body, Engine.VLLM)
    assert changed == b'{"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true}}'
    assert how == UsageEdit.CONTINUOUS
    assert asked(body, Engine.OPENAI) == (body, UsageEdit.NONE)


def test_a_client_that_wants_the_last_chunk_alone_evades_no_count():
    body = b'{"stream":true,"stream_options":{"continuous_usage_stats":false,"include_usage":true}}'
    changed, _ = asked(body, Engine.SGLANG)
    assert json.loads(changed)["stream_options"] == {"continuous_usage_stats": True, "include_usage": True}


@pytest.mark.parametrize(
    "several", ['"n":2', '"n":"2"', '"n":0', '"best_of":3', '"prompt":["a","b"]', '"prompt":[[1],[2]]']
)
def test_of_several_answers_usage_is_asked_for_in_the_last_chunk_alone(several):
    """In every other one an engine says what one choice or prompt has used."""
    body = b'{"stream":true,%b}' % several.encode()
    changed, how = asked(body, Engine.VLLM)
    assert json.loads(changed)["stream_options"] == {"include_usage": True}
    assert edited(changed, [usage_unasked(changed, how)]) == body
    body = b'{"stream":true,%b,"stream_options":{"include_usage":true}}' % several.encode()
    assert asked(body, Engine.VLLM) == (body, UsageEdit.NONE)
    assert added_usage(CHAT, json.loads(body), [(Engine.VLLM, StreamUsage.INJECT)]) is AddedUsage.NONE


@pytest.mark.parametrize("one", ['"n":1', '"n":null', '"prompt":"a"', '"prompt":["a"]', '"prompt":[1,2]'])
def test_of_one_answer_usage_is_asked_for_in_every_chunk(one):
    changed, _ = asked(b'{"stream":true,%b}' % one.encode(), Engine.VLLM)
    assert json.loads(changed)["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


@pytest.mark.parametrize("name", ["include_usage", "continuous_usage_stats"])
@pytest.mark.parametrize("said", [0, 1, "false", "no", [], {}])
def test_a_wish_that_servers_may_read_either_way_is_refused(name, said):
    body = json.dumps({"stream": True, "stream_options": {name: said}}).encode()
    with pytest.raises(RequestRefused) as refused:
        asked(body, Engine.VLLM)
    assert refused.value.param == f"stream_options.{name}"


@pytest.mark.parametrize(
    ("options", "engine", "usage", "expected"),
    [
        (None, Engine.OPENAI, StreamUsage.INJECT, AddedUsage.ALL),
        ({"include_usage": False}, Engine.VLLM, StreamUsage.INJECT, AddedUsage.ALL),
        ({"include_usage": True}, Engine.VLLM, StreamUsage.INJECT, AddedUsage.BEFORE_LAST),
        ({"include_usage": True}, Engine.OPENAI, StreamUsage.INJECT, AddedUsage.NONE),
        (
            {"include_usage": True, "continuous_usage_stats": True},
            Engine.VLLM,
            StreamUsage.INJECT,
            AddedUsage.NONE,
        ),
        ({"include_usage": True}, Engine.VLLM, StreamUsage.LEAVE, AddedUsage.NONE),
        (None, Engine.VLLM, StreamUsage.LEAVE, AddedUsage.NONE),
    ],
)
def test_what_a_client_did_not_ask_for_is_known(options, engine, usage, expected):
    members = {"stream": True, "stream_options": options}
    assert added_usage(CHAT, members, [(Engine.OPENAI, StreamUsage.LEAVE), (engine, usage)]) is expected
