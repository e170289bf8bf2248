"""Which streams are asked for usage that their client did not ask for, and that this leaves no trace."""

import json

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.stream_usage import UsageEdit, leaves_usage_open, usage_asked, usage_unasked
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
def test_a_client_that_says_anything_else_is_left_alone(options):
    assert not leaves_usage_open(CHAT, {"stream": True, "stream_options": options})


def test_what_is_no_stream_or_carries_usage_anyway_has_nothing_to_ask_for():
    assert not leaves_usage_open(CHAT, {})
    assert not leaves_usage_open(CHAT, {"stream": None})
    assert not leaves_usage_open(DIALECTS[CallKind.RESPONSES], {"stream": True})
    assert not leaves_usage_open(DIALECTS[CallKind.MESSAGES], {"stream": True})


def asked(body: bytes, engine: Engine) -> tuple[bytes, UsageEdit]:
    edits, how = usage_asked(body, CHAT, json.loads(body), engine, StreamUsage.INJECT)
    return edited(body, edits), how


plain = st.dictionaries(
    st.sampled_from(["other", "chunk_size", "continuous_usage_stats"]),
    st.one_of(st.integers(), st.booleans()),
)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.one_of(
        st.none(),
        plain,
        st.builds(lambda more, said: {**more, "include_usage": said}, plain, st.sampled_from([False, None])),
    ),
    st.sampled_from(Engine),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_every_stream_that_does_not_ask_is_asked_and_can_be_as_it_was(options, engine, indent, missing):
    members = {"stream": True, "messages": [{"role": "user", "content": '"include_usage": false {'}]}
    if not missing:
        members["stream_options"] = options
    body = json.dumps(members, indent=indent).encode()
    changed, how = asked(body, engine)
    now = json.loads(changed)
    assert now.pop("stream_options")["include_usage"] is True
    assert now == {name: value for name, value in members.items() if name != "stream_options"}
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
