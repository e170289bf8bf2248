"""Bodies changed as policies ask: what changes, and that nothing else does."""

import json

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.transform_snapshot import BoundSnapshot, TransformSnapshot
from pilotage_extproc.dialects.splice import MemberName
from pilotage_extproc.dialects.transform.parameters import removed
from pilotage_extproc.dialects.transform.transform import Transform
from pilotage_extproc.dialects.transform.walk import Walk, without
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import RequestRefused

USER = {"role": "user", "content": "hi"}
BE_KIND = {"role": "system", "content": "Be kind."}
AROUND = {"prefix": "First.", "suffix": 'Last "words".'}
JOINED = 'First.\n\nLast "words".'


def applied(body, kind=CallKind.CHAT, **given):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(Transform(TransformSnapshot(name="p/0", **given)).applied(kind, raw))


def bound(name, **given):
    return (BoundSnapshot(name=name, **given),)


def refusal(body, kind=CallKind.CHAT, **given) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        applied(body, kind, **given)
    assert refused.value.reason.http_status == 400
    return refused.value


# the system prompt


@pytest.mark.parametrize(
    ("messages", "becomes"),
    [
        ([USER], [{"role": "system", "content": JOINED}, USER]),
        ([], [{"role": "system", "content": JOINED}]),
        ([BE_KIND, USER], [{"role": "system", "content": 'First.\n\nBe kind.\n\nLast "words".'}, USER]),
        ([{"role": "system", "content": ""}, USER], [{"role": "system", "content": JOINED}, USER]),
        ([{"role": "system", "content": None}, USER], [{"role": "system", "content": JOINED}, USER]),
        (
            [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, USER],
            [
                {
                    "role": "developer",
                    "content": [
                        {"type": "text", "text": "First."},
                        {"type": "text", "text": "x"},
                        {"type": "text", "text": 'Last "words".'},
                    ],
                },
                USER,
            ],
        ),
        (
            [BE_KIND, {"role": "developer", "content": "b"}, USER],
            [
                {"role": "system", "content": "First.\n\nBe kind."},
                {"role": "developer", "content": 'b\n\nLast "words".'},
                USER,
            ],
        ),
        ([USER, BE_KIND], [{"role": "system", "content": JOINED}, USER, BE_KIND]),
    ],
)
def test_chat_gets_text_around_the_system_messages_it_begins_with(messages, becomes):
    assert applied({"messages": messages}, **AROUND) == {"messages": becomes}


@pytest.mark.parametrize(
    "messages",
    [[USER], [BE_KIND, USER], [BE_KIND, USER, BE_KIND], [USER, {"role": "developer", "content": []}]],
)
def test_a_replacement_leaves_no_system_message_of_the_client(messages):
    assert applied({"messages": messages}, replace="New.") == {
        "messages": [{"role": "system", "content": "New."}, USER]
    }


def test_a_conversation_of_system_messages_alone_is_replaced_whole():
    assert applied({"messages": [BE_KIND, BE_KIND]}, replace="N") == {
        "messages": [{"role": "system", "content": "N"}]
    }


def test_a_role_written_with_escapes_is_a_role():
    body = rb'{"messages":[{"r\u006fle":"sys\u0074em","content":"mine"},{"role":"user","content":"hi"}]}'
    assert applied(body, replace="New.")["messages"] == [{"role": "system", "content": "New."}, USER]


@pytest.mark.parametrize(
    ("system", "becomes"),
    [
        ({}, JOINED),
        ({"system": None}, JOINED),
        ({"system": "Be kind."}, 'First.\n\nBe kind.\n\nLast "words".'),
        (
            {"system": [{"type": "text", "text": "x"}]},
            [
                {"type": "text", "text": "First."},
                {"type": "text", "text": "x"},
                {"type": "text", "text": 'Last "words".'},
            ],
        ),
        ({"system": []}, [{"type": "text", "text": "First."}, {"type": "text", "text": 'Last "words".'}]),
    ],
)
@pytest.mark.parametrize("kind", [CallKind.MESSAGES, CallKind.COUNT_TOKENS])
def test_messages_get_it_in_their_system_member(kind, system, becomes):
    assert applied({"messages": [USER], **system}, kind, **AROUND) == {"messages": [USER], "system": becomes}
    replaced = applied({"messages": [USER, BE_KIND], **system}, kind, replace="N")
    assert replaced == {"messages": [USER], "system": "N"}


@pytest.mark.parametrize("given", [{}, {"instructions": None}, {"instructions": "Be kind."}])
def test_responses_get_it_in_their_instructions(given):
    own = given.get("instructions")
    becomes = JOINED if own is None else 'First.\n\nBe kind.\n\nLast "words".'
    body = {"input": "hi", **given}
    assert applied(body, CallKind.RESPONSES, **AROUND) == {"input": "hi", "instructions": becomes}
    body["input"] = [{"type": "message", **BE_KIND}, USER]
    assert applied(body, CallKind.RESPONSES, replace="N") == {"input": [USER], "instructions": "N"}


def test_completions_have_no_system_prompt():
    assert applied({"prompt": "x"}, CallKind.COMPLETIONS, **AROUND) == {"prompt": "x"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CallKind.CHAT, {"messages": [{"role": "system", "content": 3}]}),
        (CallKind.CHAT, {"messages": [{"role": "system"}]}),
        (CallKind.CHAT, b'{"messages":[{"role":"system","content":"a","content":"b"}]}'),
        (CallKind.CHAT, b'{"messages":[{"role":"user"}],"messages":[]}'),
        (CallKind.MESSAGES, {"messages": [USER], "system": 3}),
        (CallKind.MESSAGES, b'{"messages":[],"system":"a","system":"b"}'),
        (CallKind.RESPONSES, {"input": "hi", "instructions": ["x"]}),
    ],
)
def test_a_system_prompt_that_can_be_read_in_two_ways_is_refused(kind, body):
    assert refusal(body, kind, **AROUND)


def test_a_walk_without_end_is_refused():
    many = {"messages": [{"role": "system", "content": [[]] * 300_000}]}
    assert "too many parts" in str(refusal(many, replace="x"))


# parameters


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({}, {"temperature": 0.5}),
        ({"temperature": None}, {"temperature": 0.5}),
        ({"temperature": 0.4}, {"temperature": 0.4}),
        ({"temperature": 2}, {"temperature": 1.0}),
        ({"temperature": 1e3}, {"temperature": 1.0}),
        ({"temperature": -1.5e-3}, {"temperature": 0.2}),
    ],
)
@pytest.mark.parametrize("kind", [CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES, CallKind.COMPLETIONS])
def test_a_number_stays_within_its_bounds(kind, given, becomes):
    bounds = bound("temperature", minimum="0.2", maximum="1.0", default="0.5")
    assert applied({"model": "m", **given}, kind, bounds=bounds) == {"model": "m", **becomes}


@pytest.mark.parametrize("value", ["2", True, [2], {"a": 1}])
def test_what_only_passes_for_a_number_is_refused(value):
    assert refusal({"temperature": value}, bounds=bound("temperature", maximum="1")).param == "temperature"


@pytest.mark.parametrize("value", ["200", 200.0, False])
def test_what_only_passes_for_an_integer_is_refused(value):
    for name in ("max_tokens", "max_completion_tokens"):
        assert refusal({name: value}, bounds=bound("max_tokens", maximum="100")).param == name


def test_a_number_that_stands_twice_is_refused_within_its_bounds_too():
    body = b'{"temperature":0.1,"temperature":0.2}'
    assert refusal(body, bounds=bound("temperature", maximum="1")).param == "temperature"


@pytest.mark.parametrize(
    ("kind", "given", "becomes"),
    [
        (CallKind.CHAT, {}, {"max_tokens": 100}),
        (CallKind.CHAT, {"max_completion_tokens": 500}, {"max_completion_tokens": 100}),
        (
            CallKind.CHAT,
            {"max_completion_tokens": 50, "max_tokens": 500},
            {"max_completion_tokens": 50, "max_tokens": 100},
        ),
        (CallKind.RESPONSES, {"max_output_tokens": 500}, {"max_output_tokens": 100}),
        (CallKind.RESPONSES, {}, {"max_output_tokens": 100}),
        (CallKind.MESSAGES, {"max_tokens": 64}, {"max_tokens": 64}),
        (CallKind.COMPLETIONS, {"max_tokens": None}, {"max_tokens": 100}),
    ],
)  # fmt: skip
def test_the_bound_of_output_holds_under_every_name_a_call_has_for_it(kind, given, becomes):
    assert applied({"m": 1, **given}, kind, bounds=bound("max_tokens", maximum="100")) == {"m": 1, **becomes}


def test_a_default_is_put_into_calls_that_have_the_parameter_alone():
    bounds = bound("top_k", default="5")
    assert applied({"m": 1}, CallKind.CHAT, bounds=bounds) == {"m": 1, "top_k": 5}
    assert applied({"m": 1}, CallKind.RESPONSES, bounds=bounds) == {"m": 1}


def test_the_number_of_answers_is_bounded_under_the_name_requests_have_for_it():
    assert applied({"n": 8}, bounds=bound("choices", maximum="2")) == {"n": 2}


def test_calls_that_no_policy_changes_stay_as_they_are():
    body = b'{"input":"x","temperature":9,"user":"u"}'
    bounds = bound("temperature", maximum="1")
    made = Transform(TransformSnapshot(name="p/0", replace="x", bounds=bounds, remove=("user",)))
    assert made.applied(CallKind.EMBEDDINGS, body) is body


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        (b'{"a":1, "b" : [1,{"b":2}] ,"c":3}', b'{"a":1 ,"c":3}'),
        (b'{ "b":"x" , "c":3}', b'{  "c":3}'),
        (b'{"a":1,"b":null}', b'{"a":1}'),
        (b'{"b":{}}', b"{}"),
    ],
)
def test_a_member_goes_with_one_of_its_commas(body, becomes):
    assert removed(body, MemberName("b")) == becomes


def test_a_member_to_remove_that_stands_twice_is_refused():
    assert refusal(b'{"user":1,"user":2}', remove=("user",)).param == "user"


def test_what_asks_for_usage_stays_where_it_is_taken_out_again():
    body = b'{"stream_options":{"include_usage":true},"model":"m","messages":[]}'
    given = TransformSnapshot(name="p/0", bounds=bound("seed", default="1"), remove=("user",))
    made = Transform(given).applied(CallKind.CHAT, body)
    assert made == body[:-1] + b',"seed":1}'


# nothing else changes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
CONTENT = (
    st.text() | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}))
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant"]), "content": CONTENT},
    optional={"name": st.text(), "tool_calls": JSON},
)
OTHERS = st.dictionaries(
    st.text(max_size=6).filter(
        lambda name: name not in ("messages", "temperature", "max_tokens", "max_completion_tokens", "user")
    ),
    JSON,
    max_size=5,
)
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


def written(body, spacing, ascii_only) -> bytes:
    return json.dumps(body, separators=spacing, ensure_ascii=ascii_only).encode()


def without_system(messages):
    return [one for one in messages if one["role"] not in ("system", "developer")]


@given(st.lists(MESSAGE, max_size=5), OTHERS, SPACING, st.booleans(), st.text(min_size=1))
@settings(max_examples=examples(200), deadline=None)
def test_a_replacement_changes_system_messages_and_nothing_else(messages, others, spacing, plain, text):
    raw = written({**others, "messages": messages}, spacing, plain)
    made = applied(raw, replace=text)
    assert made == {
        **others,
        "messages": [{"role": "system", "content": text}, *without_system(messages)],
    }


@given(st.lists(MESSAGE, max_size=5), OTHERS, SPACING, st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_text_around_it_changes_the_first_system_messages_and_nothing_else(messages, others, spacing, plain):
    raw = written({**others, "messages": messages}, spacing, plain)
    made = applied(raw, prefix="P", suffix="S")
    assert {**made, "messages": 0} == {**others, "messages": 0}
    assert without_system(made["messages"]) == without_system(messages)
    leading = made["messages"][0]
    text = leading["content"]
    assert text.startswith("P") if isinstance(text, str) else text[0] == {"type": "text", "text": "P"}
    unchanged = made["messages"][-len(without_system(messages)) :] if without_system(messages) else []
    assert all(one in made["messages"] for one in unchanged)


@given(
    OTHERS,
    SPACING,
    st.booleans(),
    st.none() | st.floats(-9, 9) | st.integers(-9, 9),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@settings(max_examples=examples(200), deadline=None)
def test_bounds_and_removals_change_what_they_name_and_nothing_else(
    others, spacing, plain, temperature, has_user, order
):
    body = {**others, "temperature": temperature, "messages": [USER], **({"user": "u"} if has_user else {})}
    names = list(body)
    order.shuffle(names)
    raw = written({name: body[name] for name in names}, spacing, plain)
    bounds = bound("temperature", minimum="0", maximum="1")
    made = applied(raw, bounds=bounds, remove=("user",))
    kept = None if temperature is None else min(max(temperature, 0), 1)
    assert made == {**others, "messages": [USER], "temperature": kept}


@given(st.lists(JSON, max_size=6), SPACING, st.data())
@settings(max_examples=examples(200), deadline=None)
def test_values_are_cut_out_of_a_list_with_their_commas(values, spacing, data):
    raw = written(values, spacing, True)
    gone = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    spans = list(Walk(raw).items(0))
    assert [json.loads(raw[span.start : span.end]) for span in spans] == values
    for span in reversed(list(without(spans, gone))):
        raw = raw[: span.start] + raw[span.end :]
    assert json.loads(raw) == [value for value, goes in zip(values, gone, strict=True) if not goes]


@given(st.dictionaries(st.text(), JSON, max_size=6), SPACING, st.booleans())
@settings(max_examples=examples(200), deadline=None)
def test_a_walk_finds_the_members_of_an_object(members, spacing, plain):
    raw = written(members, spacing, plain)
    found = [(one.name, json.loads(raw[one.value.start : one.value.end])) for one in Walk(raw).members(0)]
    assert found == list(members.items())
