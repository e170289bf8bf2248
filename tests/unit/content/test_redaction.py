"""Redaction leaves no value, changes nothing else, and gives one value one name."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scanning import chat, redacted, seen
from test_detectors import VALUES

from pilotage_extproc.content.catalogue import BUILT_IN
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.content.scan import MOST_FOUND, TooMuchToCheckError

PLACEHOLDER = re.compile(r"\[[A-Z-]+_[a-z2-7]{10}\]")
words = st.text(st.characters(codec="utf-8", exclude_characters="@[]"), max_size=30)
texts = st.lists(words | st.sampled_from([value for _, value in VALUES]), max_size=8).map(" ".join)


@given(st.lists(texts, min_size=1, max_size=4))
def test_no_value_is_left(parts: list[str]) -> None:
    after = redacted(chat(*parts))
    assert not [one for one in seen(after) if one.kind in BUILT_IN]
    orjson.loads(after)


@given(st.lists(words.filter(lambda text: not any(map(str.isdigit, text))), min_size=1, max_size=4))
def test_a_body_without_values_stays_as_it_is(parts: list[str]) -> None:
    body = chat(*parts)
    if not seen(body):
        assert redacted(body) is body


@given(
    st.sampled_from(VALUES),
    st.text(alphabet='abc é\n"\\/', max_size=40),
    st.text(alphabet='xyz ü\t"', max_size=40),
)
def test_what_stands_around_a_value_stays_byte_for_byte(
    given_value: tuple[str, str], before: str, after: str
) -> None:
    kind, value = given_value
    body = b'{ "model" : "m",\n "messages":[{"role":"user", "content": %b}] ,"n":1.50}' % orjson.dumps(
        f"{before} {value} {after}"
    )
    done = redacted(body, kinds={kind})
    name = PLACEHOLDER.search(done.decode())
    assert name is not None
    start, end = done.split(name[0].encode(), 1)
    assert body.startswith(start.rstrip())
    assert body.endswith(end)
    assert done.startswith(b'{ "model" : "m",\n "messages"')


def test_a_value_has_one_name_in_all_turns_of_a_session_and_another_in_the_next() -> None:
    def name(session: bytes, text: str, tenant: bytes = b"t", key: bytes = b"k") -> str:
        found = PLACEHOLDER.search(redacted(chat(text), names=Placeholders(key, tenant, session)).decode())
        assert found is not None
        return found[0]

    first = name(b"1", "a@b.example")
    assert name(b"1", "then a@b.example again") == first
    others = [name(b"2", "a@b.example"), name(b"1", "a@b.example", b"u"), name(b"1", "a@b.example", key=b"l")]
    assert len({first, name(b"1", "b@b.example"), *others}) == 5


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=50, unique=True))
def test_two_values_never_have_one_name(values: list[bytes]) -> None:
    names = Placeholders(b"k", b"t", b"s")
    assert len({names.name("email", value) for value in values}) == len(values)


def test_a_placeholder_of_this_request_may_stand_in_its_history_and_others_are_escaped() -> None:
    names = Placeholders(b"k", b"t", b"s")
    own = names.name("email", b"a@b.example")
    body = chat(f"a@b.example {own}", "[EMAIL_abcdefghij]", "\u005bPHONE_abcdefghij\u005d")
    texts = [
        part["text"]
        for part in orjson.loads(redacted(body, names=Placeholders(b"k", b"t", b"s")))["messages"][0][
            "content"
        ]
    ]
    assert texts == [f"{own} {own}", "(EMAIL_abcdefghij)", "(PHONE_abcdefghij)"]


def test_only_the_kinds_that_are_asked_for_are_replaced() -> None:
    body = chat("a@b.example 4111111111111111")
    assert b"4111111111111111" in redacted(body, kinds={"email"})
    assert b"a@b.example" not in redacted(body, kinds={"email"})


def test_values_in_json_within_strings_stay_json_however_many_there_are() -> None:
    inner = [{"to": f"user{number}@mail.example", "card": 4111111111111111} for number in range(500)]
    done = redacted(chat(orjson.dumps(inner).decode()))
    [part] = orjson.loads(done)["messages"][0]["content"]
    rows = orjson.loads(part["text"])
    assert len({row["to"] for row in rows}) == 500
    assert len({row["card"] for row in rows}) == 1
    assert all(row["to"].startswith("[EMAIL_") and row["card"].startswith("[PAYMENT-CARD_") for row in rows)


def test_look_alikes_beside_values_are_escaped_and_values_replaced() -> None:
    text = "[EMAIL_aaaaaaaaaa]x@y.example [EMAIL_bbbbbbbbbb] " * 300
    done = redacted(chat(text)).decode()
    assert "x@y.example" not in done
    assert "[EMAIL_bbbbbbbbbb]" not in done
    assert done.count("(EMAIL_bbbbbbbbbb)") == 300


def test_more_values_than_are_checked_are_told() -> None:
    with pytest.raises(TooMuchToCheckError):
        redacted(chat("a@b.example " * (MOST_FOUND + 1)))
    assert "a@b.example" not in redacted(chat("a@b.example " * 2000)).decode()
