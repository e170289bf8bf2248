"""Splicing: what changes is the member asked for, and not a byte else."""

import json
import time

import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.dialects import splice
from pilotage_extproc.dialects.splice import (
    MODEL,
    Edit,
    check_single,
    edited,
    has_each_once,
    splice_model,
    value_start,
)
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

LARGE = splice._LARGE

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["model", '"model"', '\\"model":', '"model":"x"', "mode", "mode\\", "{", "}", "\\", '"', "é😀"]
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.just("model"), inner, max_size=4),
    max_leaves=12,
)


def escaped_somewhere(draw, text: str) -> str:
    """A JSON string with some of its characters written as escapes."""
    parts = []
    for char in text:
        if draw(st.booleans()):
            parts.append(
                "".join(
                    f"\\u{unit:04{'x' if draw(st.booleans()) else 'X'}}"
                    for unit in memoryview(char.encode("utf-16-le")).cast("H")
                )
            )
        else:
            parts.append(json.dumps(char, ensure_ascii=False)[1:-1])
    return f'"{"".join(parts)}"'


@st.composite
def documents(draw):
    """An object with one `model` among other members, spelled and spaced in every way JSON allows.

    Returns the bytes, and where the value of `model` begins and ends in them.
    """
    space = st.text(" \t\r\n", max_size=2)
    names = draw(st.lists(TEXT.filter(lambda name: name != "model"), unique=True, max_size=4))
    at = draw(st.integers(0, len(names)))
    names.insert(at, "model")
    padded = draw(st.booleans())
    text, span = "", (0, 0)
    for index, name in enumerate(names):
        text += "," * bool(index) + draw(space)
        text += escaped_somewhere(draw, name) if draw(st.booleans()) else json.dumps(name, ensure_ascii=False)
        text += draw(space) + ":" + draw(space)
        if index == at:
            start = len(text.encode())
            text += escaped_somewhere(draw, draw(TEXT))
            span = (start, len(text.encode()))
        else:
            text += json.dumps(draw(VALUE), ensure_ascii=draw(st.booleans()))
        text += draw(space)
    before, after = draw(space) + "{", "}" + draw(space)
    filler = f'"filler": {json.dumps("lorem " * (LARGE // 4))}, ' if padded else ""
    shift = len((before + filler).encode())
    return (before + filler + text + after).encode(), span[0] + shift, span[1] + shift


@given(documents(), TEXT)
@settings(max_examples=examples(300), deadline=None)
def test_splicing_a_model_is_assigning_it_and_leaves_every_other_byte(document, model):
    body, start, end = document
    changed = splice_model(body, model)
    assert orjson.loads(changed) == orjson.loads(body) | {"model": model}
    new = orjson.dumps(model)
    assert changed == body[:start] + new + body[end:]


@given(documents(), st.sampled_from([b'"model"', rb'"mod\u0065l"', rb'"\u006D\u006Fdel"']), st.booleans())
@settings(max_examples=examples(150), deadline=None)
def test_a_second_model_is_refused_wherever_and_however_it_is_written(document, key, first):
    body, _, _ = document
    brace = body.index(b"{") + 1
    end = body.rindex(b"}")
    doubled = (
        body[:brace] + key + b':"other",' + body[brace:] if first else body[:end] + b"," + key + b":null}"
    )
    for change in (lambda: splice_model(doubled, "new"), lambda: check_single(doubled, MODEL)):
        with pytest.raises(RequestRefused) as refused:
            change()
        assert refused.value.reason is Refusal.INVALID_FIELD
        assert refused.value.param == "model"


@given(documents())
@settings(max_examples=examples(100), deadline=None)
def test_one_model_is_accepted_however_many_stand_deeper(document):
    check_single(document[0], MODEL)


@pytest.mark.parametrize("padding", [b"", b'"x": "' + b"y" * 2 * LARGE + b'", '], ids=["small", "large"])
@pytest.mark.parametrize(
    "other",
    [
        b'"stream\\u005foptions": {}, "z": {"stream_options": {"a": 1}}',
        b'"z": {"stream_options": {"a": 1}}, "stream_\\u006Fptions": {}',
        b'"z": ["stream_options", "\\"stream_options\\": {"], "stream_options": {}',
    ],
)
def test_an_escaped_key_is_found_behind_a_nested_one_that_is_not(padding, other):
    body = b"{" + padding + other + b"}"
    start = value_start(body, splice.STREAM_OPTIONS)
    changed = edited(body, [Edit(start, start + 2, b'{"spliced": true}')])
    assert orjson.loads(changed)["stream_options"] == {"spliced": True}


@pytest.mark.parametrize("few_quotes", [0, 1, 3, 512])
@pytest.mark.parametrize("block", [16, 64, 100])
def test_keys_are_found_across_the_blocks_a_large_body_is_read_in(monkeypatch, block, few_quotes):
    monkeypatch.setattr(splice, "_LARGE", 0)
    monkeypatch.setattr(splice, "_BLOCK", block)
    monkeypatch.setattr(splice, "_FEW_QUOTES", few_quotes)
    for before in range(3 * block):
        for key in (b'"model"', rb'"\u006d\u006f\u0064\u0065\u006c"'):
            body = b'{"a":"' + b"x" * before + b'",' + key + b':"old","tail":"' + b"y" * 50 + b'"}'
            assert splice_model(body, "new") == body.replace(b'"old"', b'"new"')


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"model"', b'{"model":', b'{"model" 1}', b'{"model":1}', b"{{"]
)
def test_what_holds_no_model_string_is_a_key_error(body):
    with pytest.raises(KeyError):
        splice_model(body, "new")


def test_thousands_of_keys_of_the_name_are_too_complex():
    body = b'{"model":"m","x":[' + b'{"model":1},' * 10_000 + b"1]}"
    with pytest.raises(RequestRefused) as refused:
        check_single(body, MODEL)
    assert refused.value.reason is Refusal.TOO_COMPLEX


@pytest.mark.parametrize(
    "text",
    [b"\\\\" * (2 << 20), b'\\"' * (2 << 20), b"\\u00e9" * (700 << 10), b"lorem ipsum " * (350 << 10)],
    ids=["backslashes", "quotes", "escapes", "words"],
)
def test_long_strings_of_any_kind_are_passed_over_quickly(text):
    body = b'{"y":{"model":1},"model":"m","x":"' + text + b'"}'
    began = time.process_time()
    assert splice_model(body, "new").startswith(b'{"y":{"model":1},"model":"new"')
    assert time.process_time() - began < 0.25  # 4 MiB; tokenising in Python took over a second a part


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["n", "model", "ü", 'q"']),
            st.sampled_from(["1", '"a, b"', "[1, 2]", "{}", "null"]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", ":"), (",\n", ": ")]),
    st.booleans(),
)
def test_members_that_are_told_to_stand_once_do(members, signs, as_ascii):
    between, colon = signs
    written = [json.dumps(name, ensure_ascii=as_ascii) + colon + value for name, value in members]
    body = ("{" + between.join(written) + "}").encode()
    once = len({name for name, _ in members}) == len(members)
    if has_each_once(body):
        assert once
    if (
        once
        and signs in ((",", ":"), (", ", ": "))
        and not any(ord(name[0]) > 127 or '"' in name for name, _ in members)
    ):
        assert has_each_once(body)
