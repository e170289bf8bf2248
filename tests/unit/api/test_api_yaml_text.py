"""Text to plain data: what is refused, how fast, and where it says the fault is."""

import json
import time

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.document import MAX_TEXT_BYTES, TextError
from pilotage_api.yaml_text import read_documents


def refused(text: str, name: str = "") -> TextError:
    with pytest.raises(TextError) as caught:
        read_documents(text, name)
    return caught.value


def test_documents_have_their_values_and_lines():
    documents = read_documents("# first\na: 1\n---\n---\nb: [x, 2.5, null]\n")
    assert [(one.value, one.line) for one in documents] == [({"a": 1}, 2), ({"b": ["x", 2.5, None]}, 5)]


def test_a_key_that_stands_twice_is_refused_with_its_line():
    error = refused("a: 1\nb:\n  c: 1\n  c: 2\n")
    assert (str(error), error.line) == ("the key 'c' stands twice", 4)


def test_broken_syntax_names_the_line():
    assert refused("a: 1\nb: [1, 2\nc: 3\n").line == 3


def test_aliases_are_expanded_up_to_a_bound():
    assert read_documents("a: &x [1, 2]\nb: *x\n")[0].value == {"a": [1, 2], "b": [1, 2]}
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12))
    started = time.monotonic()
    assert "aliases expanded" in str(refused(f"l0: &l0 [x]\n{levels}\n"))
    assert time.monotonic() - started < 20


def test_an_alias_to_itself_is_refused():
    assert "nested deeper" in str(refused("a: &a [*a]\n"))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 100_000, "{a: " * 50_000, "a: " * 10_000, "[" * 900 + "]" * 900]
)
def test_deep_nesting_is_refused_fast(text):
    started = time.monotonic()
    refused(text)
    assert time.monotonic() - started < 5


def test_deeply_nested_json_is_refused():
    assert "nested deeper" in str(refused("[" * 100_000 + "]" * 100_000, "x.json"))
    assert "nested deeper" in str(refused("[" * 500 + "]" * 500, "x.json"))


def test_text_past_the_bound_is_refused_unread():
    assert "larger than" in str(refused("#" * (MAX_TEXT_BYTES + 1)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: " + "1:" * 100_000 + "1", "too long"),
        ("a: " + "9" * 5_000, "too long"),
        ("a: 2024-13-45\n", "not usable"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        ("a: !Sub x\n", "could not determine a constructor"),
        ("on: 1\n", "not a string"),
        ("1: x\n", "not a string"),
        ("[a]: x\n", "not a string"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "merge keys"),
        ('a: "\\ud800"\n', ""),
        ("a: \x00\n", ""),
        ("a:\n\tb: 1\n", ""),
        ("%YAML 3.0\n---\na: 1\n", ""),
        ("a: *nobody\n", ""),
    ],
)
def test_odd_yaml_is_refused_with_a_reason(text, says):
    error = refused(text)
    assert str(error)
    assert says in str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\ud800": 1}', "surrogate"),
        ('{"a": ', "not JSON"),
        ("a: 1", "not JSON"),
        ('{"a": ' + "9" * 5_000 + "}", ""),
    ],
)
def test_odd_json_is_refused_with_a_reason(text, says):
    error = refused(text, "x.json")
    assert str(error)
    assert says in str(error)


def test_json_may_be_indented_by_tabs_and_escape_what_it_likes():
    text = '{\n\t"a": "\\/ \\ud83d\\ude00"\n}'
    assert read_documents(text, "x.json")[0].value == {"a": "/ 😀"}


def test_a_field_is_found_on_its_line():
    [document] = read_documents("spec:\n  models:\n  - name: a\n    tags:\n      x.y/z: 1\n  - name: b\n")
    assert document.line_of("") == 1
    assert document.line_of("spec.models") == 2
    assert document.line_of("spec.models[1].name") == 6
    assert document.line_of("spec.models[0].tags.x.y/z") == 5
    assert document.line_of("spec.models[7].name") == 2
    assert document.line_of("spec.rules[0]") == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=examples(80), deadline=None)
@given(json_values.filter(lambda value: value is not None))
def test_json_reads_back_as_written(value):
    assert read_documents(json.dumps(value), "x.json")[0].value == value


@settings(max_examples=examples(200), deadline=None)
@given(
    st.text(alphabet="ab:-[]{}&*!|>?#%@,'\"\\ \n\t0<~=.\ud800é", max_size=60),
    st.sampled_from(["x.yaml", "x.json"]),
)
def test_any_text_is_read_or_refused_with_a_reason(text, name):
    try:
        read_documents(text, name)
    except TextError as error:
        assert str(error)
