"""Language, code and keywords of texts."""

import inspect
import json
import time
import unicodedata
from pathlib import Path

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.features import keywords
from pilotage_extproc.features.code_share import _is_code, code_share
from pilotage_extproc.features.keywords import KeywordSets, words_of
from pilotage_extproc.features.language import available, language_of

needs_cld2 = pytest.mark.skipif(not available(), reason="pycld2 has no build here")

PROSE = """Dear all,
please find the notes of our meeting below. If you have questions, ask me; I am here until noon.
We decided three things: the date, the place, and who brings the cake.
The price is 20 euros (a room for ten), and parking is free.
"""


def test_source_is_code_and_prose_is_not():
    assert code_share(inspect.getsource(json.decoder).encode()[:4096]) > 0.5
    assert code_share(PROSE.encode()) < 0.1
    assert code_share(b"") == 0.0


def test_fenced_lines_are_code():
    text = b"What does this do?\n```\nsome words\nmore words\n```\n"
    assert 0.4 < code_share(text) < 0.8


@pytest.mark.parametrize("hostile", [b"(" * 4000, b";//" * 1300, b'"' * 4000, b"a.b" * 1300, b"if " * 1300])
def test_no_line_takes_long(hostile):
    for text in (hostile, b"\n".join(hostile[at : at + 299] for at in range(0, len(hostile), 299))):
        began = time.process_time()
        code_share(text)
        assert time.process_time() - began < 0.05


@needs_cld2
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("How do I cancel a contract before the end of its term?", "en"),
        ("Wie kann ich einen Vertrag vor Ablauf der Laufzeit kündigen?", "de"),
        ("¿Cómo puedo cancelar un contrato antes de que termine el plazo?", "es"),
        ("如何在合同期满之前解除合同?请告诉我具体的步骤。", "zh"),
        ("x", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_told(text, code):
    assert language_of(text.encode()) == code


@needs_cld2
def test_a_text_whose_beginning_is_no_language_is_told_by_what_follows():
    assert language_of(b"12345 67890 " * 50 + b"where the words begin late " * 20) == "en"
    assert language_of(b"12345 67890 " * 50) == "und"


GERMAN = b"Bitte sage mir, wie ich einen Brief an die Stadt schreiben soll, um einen Parkplatz zu bekommen. "
ENGLISH = b"Here are the notes of the meeting, which took place last week and said what comes next. "
CODE = (
    b"for item in items:\n    if item.key in known:\n        known[item.key].append(item)\n    return known\n"
)


@needs_cld2
@pytest.mark.parametrize("pasted", [ENGLISH * 4, CODE * 4, b"12345 67890 " * 30])
def test_a_text_that_begins_with_something_pasted_is_in_the_language_of_most_of_it(pasted):
    assert language_of(pasted + b"\n\n" + GERMAN * 8) == "de"
    assert language_of(GERMAN * 8 + b"\n\n" + pasted) == "de"


@needs_cld2
@given(st.binary(max_size=300))
def test_any_bytes_have_a_language_or_none(text):
    assert isinstance(language_of(text), str)


SETS = KeywordSets(
    {
        "legal": ("contract", "Power of Attorney", "§ 5"),
        "money": ("invoice", "power"),
        "chinese": ("合同",),
    }
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("My CONTRACT ends.", {"legal"}),
        ("contracts", set()),
        ("a power-of-attorney, signed", {"legal", "money"}),
        ("power of an attorney", {"money"}),
        ("签订合同之前", {"chinese"}),
        ("the invoice and the contract", {"legal", "money"}),
        ("", set()),
        ("power of", {"money"}),
        ("caf\u00e9 \u00b7 power \u2014 power of attorney", {"legal", "money"}),
        ("Vertr\u00e4ge\u00b7contract", {"legal"}),
    ],
)
def test_whole_words_and_phrases_are_found(text, found):
    assert SETS.found_in(text.encode()) == found


@given(st.text(max_size=60), st.sampled_from(["contract", "invoice"]), st.text(max_size=60))
def test_a_word_is_found_between_any_others(before, word, after):
    text = f"{before} {word} {after}"
    # a mark behind the blank would join the word
    if not unicodedata.combining((after or " ")[0]):
        assert ("legal" if word == "contract" else "money") in SETS.found_in(text.encode(errors="replace"))


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_words_of_plain_text_are_those_of_any_text(text):
    with_more = words_of(f"{text} \u00e9".encode())
    assert words_of(text.encode()) == with_more[:-1]


@given(
    st.lists(st.text() | st.sampled_from(["İ", "ß", "ﬃ", "\x85", "\u2028", "\x1c", "ab", "_", " "])).map(
        "".join
    )
)
def test_words_are_runs_of_letters_without_case_and_single_letters_of_unspaced_scripts(text):
    decoded = text.encode("utf-8", "replace").decode()
    assert words_of(decoded.encode()) == keywords._WORD.findall(decoded.casefold())


@given(st.binary())
def test_bytes_that_are_no_text_stand_between_words(text):
    assert words_of(text) == keywords._WORD.findall(text.decode("utf-8", "replace").casefold())


def test_time_grows_with_the_text_and_not_with_the_sets():
    many = KeywordSets({f"set-{one}": [f"the the {one}-{two}" for two in range(200)] for one in range(32)})
    text = b"the " * 1024
    began = time.process_time()
    assert many.found_in(text) == frozenset()
    assert time.process_time() - began < 0.05


def test_the_labelled_prompts_are_seldom_taken_for_code():
    path = Path(__file__).parents[3] / "cli/pilotage_cli/evaluation/data/chat_prompts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    wrong = [
        row["prompt"] for row in rows if row["domain"] != "code" and code_share(row["prompt"].encode()) > 0.5
    ]
    assert len(wrong) <= 4, wrong


@pytest.mark.parametrize(
    "line",
    [
        *("def f(x):", "class A:", "import os", "from a import b", "return x", "const a = 1", "#!/bin/sh"),
        *(
            "if (a) {",
            "for x in y:",
            "x = 1",
            "foo(bar)",
            "}",
            "];",
            '"a": 1,',
            "SELECT a FROM b",
            "@app.get",
        ),
        *("ValueError: no", "Traceback (most recent call last):", "at a.b(C.java:1)", "$ ls", ">>> x"),
        *("public static", "fn main() {", "func f(a", "<div>", "print(x)", "#include <a>", "let x = 2"),
    ],
)
def test_each_kind_of_line_is_code(line):
    assert code_share(line.encode()) == 1.0


SIGNS = (*"(){}[]:;,.=/<#@$-*'x", "+=", "//", "<a", ">>>", "...", "#!/", "#include", "a.b")
WORDS = (
    *("at", "the", "def", "class", "async", "from", "import", "Public", "private", "static", "final"),
    *("fn", "func", "function", "if", "IF", "elif", "for", "while", "switch", "catch", "with", "try"),
    *("let", "const", "var", "return", "raise", "print", "yield", "throw", "except", "console.log"),
    *("values", "set", "ValueError:", "Traceback", "statement", "else", "export", "protected"),
)
LINES = st.lists(
    st.sampled_from([*SIGNS, '"', " ", "\t"])
    | st.sampled_from([*WORDS, "select", "insert into", "delete from", "create table"]),
    min_size=1,
    max_size=7,
)


@given(LINES, st.sampled_from(["", " "]))
@settings(max_examples=examples(500))
def test_no_line_that_the_pattern_takes_for_code_is_passed_over(parts, between):
    line = between.join(parts).encode().strip()
    if line:
        assert code_share(line) == float(_is_code(line.lower()))


@pytest.mark.parametrize(
    "line", ["What is a class?", "Return the book, please.", "I import cars.", "Hello: you"]
)
def test_sentences_are_not(line):
    assert code_share(line.encode()) == 0.0
