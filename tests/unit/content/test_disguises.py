"""Other spellings of the same characters, and other places than one string, hide nothing."""

import base64
import json
import time
from collections.abc import Iterator
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scanning import SCANNER, chat, kinds_in, redacted, seen

from pilotage_extproc.content.folding import Folding
from pilotage_extproc.content.json_strings import json_texts
from pilotage_extproc.content.scan import Scan, Scanner, TooMuchToCheckError
from pilotage_extproc.content.spans import Span

EMAIL = "alice@mail.example"
CARD = "4111111111111111"
SECRET = "AKIAIOSFODNN7EXAMPLE"


@pytest.mark.parametrize(
    "text",
    [
        "ａｌｉｃｅ＠ｍａｉｌ．ｅｘａｍｐｌｅ",
        "al\u200bice@ma\u00adil.exam\u2060ple",
        "а\u0301lісe@mаil.еxаmple",  # Cyrillic letters
        base64.b64encode(f"write to {EMAIL}, please".encode()).decode(),
        base64.urlsafe_b64encode(f"write to {EMAIL}?>>".encode()).decode(),
    ],
)
def test_disguised_addresses_are_found_and_replaced(text: str) -> None:
    body = chat(f"hello {text} there")
    [content] = orjson.loads(redacted(body))["messages"][0]["content"]
    assert content["text"].startswith("hello [EMAIL_")
    assert content["text"].endswith("] there")


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example/?q=alice%40mail.example",
        "alice&#64;mail.example",
        "alice&#x40;mail.example",
        "alice&commat;mail.example",
        "\u3164".join(EMAIL),
        "\u2800".join(EMAIL),
    ],
)
def test_addresses_of_urls_and_pages_and_between_blanks_that_are_letters_are_found(text: str) -> None:
    assert kinds_in(text) == {"email"}
    assert b"mail.example" not in redacted(chat(text))


CHEROKEE = str.maketrans("ABCDEGHJKLMPRSTVWYZ", "ᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᎩᏃ")
ARMENIAN = str.maketrans("onuhgq", "օոսհցզ")


@pytest.mark.parametrize("text", ["alice@mail.example", SECRET])
def test_letters_of_scripts_that_look_latin_are_latin(text: str) -> None:
    plain = kinds_in(text)
    assert kinds_in(text.translate(CHEROKEE)) == kinds_in(text.translate(ARMENIAN)) == plain
    assert len(plain) == 1


@pytest.mark.parametrize("first", [0x1F150, 0x1F170, 0x1F1E6])
def test_letters_in_circles_squares_and_flags_are_letters(first: int) -> None:
    key = "".join(chr(first + ord(char) - 65) if char.isalpha() else char for char in SECRET)
    assert kinds_in(key) == {"secret"}


@pytest.mark.parametrize("before", ["https://x.example/", "id_", "a-b/c_", "one/two/three/"])
@pytest.mark.parametrize("value", [EMAIL, CARD, SECRET])
def test_base64_is_read_behind_a_path_or_a_name(before: str, value: str) -> None:
    assert kinds_in(before + base64.b64encode(value.encode()).decode())


@pytest.mark.parametrize(
    "text", ["::ffff:10.1.2.3", "[::ffff:a01:203]", "at:10.1.2.3", "10.1.2.3:80", "64:ff9b::10.1.2.3"]
)
def test_addresses_of_hosts_in_mixed_notations_are_found(text: str) -> None:
    assert kinds_in(text) == {"ip-address"}
    assert kinds_in("::ffff:127.0.0.1") == set()


@pytest.mark.parametrize("number", ["-4111111111111111", "4111111111111111", "-49415555267101"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_number_is_replaced_with_its_sign_and_json_stays_json(number: str, depth: int) -> None:
    text = f'{{"n": {number}, "m": [{number}]}}'
    for _ in range(depth):
        text = json.dumps({"a": text})
    found = json.loads(redacted(text.encode()))
    for _ in range(depth):
        found = json.loads(found["a"])
    if number.endswith(CARD):
        assert found["n"].startswith("[PAYMENT-CARD_")
        assert found["m"] == [found["n"]]


BETWEEN = [
    {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}},
    {"type": "x", "nested": [{"text": [1, [2]], "content": "y", "role": "user"}]},
]


@given(st.integers(1, len(SECRET) - 1), st.lists(st.sampled_from(BETWEEN), max_size=3), st.booleans())
def test_a_value_split_over_parts_is_found_whatever_else_stands_in_them(
    at: int, between: list[dict[str, object]], with_more: bool
) -> None:
    more: dict[str, object] = {"annotations": [], "name": "n", "role": "user"} if with_more else {}
    texts = ({"type": "text", "text": half, **more} for half in (SECRET[:at], SECRET[at:]))
    content = [next(texts), *between, next(texts)]
    body = orjson.dumps({"messages": [{"role": "user", "content": content}]})
    assert [one.kind for one in seen(body)] == ["secret"]
    after = orjson.loads(redacted(body))["messages"][0]["content"]
    assert SECRET not in after[0]["text"] + after[-1]["text"]


@pytest.mark.parametrize("before", [0, 400, 500, 510, 520, 1000])
def test_a_value_in_parts_of_one_character_is_found_wherever_it_begins(before: int) -> None:
    said = ["x"] * before + [" ", *SECRET, " "] + ["y"] * 600
    content = [{"type": "text", "text": one} for one in said]
    assert {one.kind for one in seen(orjson.dumps({"messages": [{"content": content}]}))} == {"secret"}


HOSTILE = {
    "empty strings": {"a": [""] * 80_000},
    "short strings": {"a": ["x"] * 80_000},
    "short parts": {"a": [{"type": "text", "text": "4"}] * 20_000},
    "empty parts": {"a": [{"text": ""}] * 40_000},
    "a wide gap": {"a": [{"text": "x", "y": [[]] * 60_000}, {"text": "x"}]},
    "keys": {f"k{number}": 1 for number in range(40_000)},
    "json in a string": {"a": json.dumps([{'t"': "x\n"}] * 10_000)},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bodies_of_many_small_things_are_looked_at_in_small_steps(name: str) -> None:
    body = orjson.dumps(HOSTILE[name])
    longest = []
    for _ in range(2):
        times = [time.thread_time()]
        times += [time.thread_time() for _ in SCANNER.steps(body, Scan())]
        times.append(time.thread_time())
        longest.append(max(after - before for before, after in pairwise(times)))
    assert min(longest) < 0.05


def test_texts_of_two_messages_are_not_read_as_one() -> None:
    halves = [
        {"role": "user", "content": [{"type": "text", "text": half}]} for half in (SECRET[:9], SECRET[9:])
    ]
    assert seen(orjson.dumps({"messages": halves})) == []


@pytest.mark.parametrize(
    "digits", ["４１１１１１１１１１１１１１１１", "٤١١١١١١١١١١١١١١١", "4111‑1111‑1111‑1111"]
)
def test_digits_of_all_scripts_are_digits(digits: str) -> None:
    assert "payment-card" in kinds_in(digits)


@given(st.integers(1, len(EMAIL) - 1), st.booleans())
def test_a_value_split_over_two_parts_is_found_at_every_character(at: int, dumped_plainly: bool) -> None:
    body = chat(f"mail {EMAIL[:at]}", f"{EMAIL[at:]} now")
    if dumped_plainly:
        body = json.dumps(json.loads(body)).encode()
    texts = [part["text"] for part in orjson.loads(redacted(body))["messages"][0]["content"]]
    assert EMAIL not in "".join(texts)
    assert "".join(texts).startswith("mail [EMAIL_")


def test_a_part_that_follows_does_not_hide_a_value() -> None:
    assert {one.kind for one in seen(chat(CARD, "1"))} == {"payment-card"}


@given(st.integers(0, 40_000))
def test_a_value_is_found_anywhere_in_a_long_text(before: int) -> None:
    filler = "word " * (before // 5)
    assert "email" in kinds_in(f"{filler}{EMAIL} {'é' * 9000}")


@given(st.integers(0, 3), st.booleans())
def test_json_within_strings_is_read_and_stays_json(depth: int, as_number: bool) -> None:
    value: object = {"to": EMAIL.replace("@", "\\u0040"), "card": int(CARD) if as_number else CARD}
    text = json.dumps(value).replace("\\\\u0040", "\\u0040")
    for _ in range(depth):
        text = json.dumps({"arguments": text})
    found = redacted(b'{"messages":' + text.encode() + b"}").decode()
    assert CARD not in found
    for _ in range(depth):
        found = json.loads(found)["messages" if found.startswith('{"m') else "arguments"]
        found = found["arguments"] if isinstance(found, dict) else found
    inner = json.loads(found) if isinstance(found, str) else found
    inner = inner.get("messages", inner)
    assert inner["to"].startswith("[EMAIL_")
    assert inner["card"].startswith("[PAYMENT-CARD_")


@given(
    st.recursive(
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_all_strings_of_a_json_text_are_found(value: object) -> None:
    body = orjson.dumps({"x": value}, option=orjson.OPT_INDENT_2)

    def strings(one: object) -> list[str]:
        if isinstance(one, str):
            return [one]
        if isinstance(one, list):
            return [text for item in one for text in strings(item)]
        if isinstance(one, dict):
            return [text for name, item in one.items() for text in (name, *strings(item))]
        return []

    found = [
        orjson.loads(b'"%b"' % body[one.start : one.end])
        for one in json_texts(body)
        if one is not None and not one.is_number
    ]
    assert found == strings({"x": value})


class Everywhere:
    name = "everywhere"

    def find(self, text: bytes) -> Iterator[Span | None]:
        while True:
            yield Span(0, 1)
            yield None


def test_a_body_with_too_many_candidates_is_given_up() -> None:
    with pytest.raises(TooMuchToCheckError):
        for _ in Scanner([Everywhere()], Folding()).steps(chat("x"), Scan()):
            pass


def test_characters_that_nobody_sees_and_models_read_are_read() -> None:
    hidden = "".join(chr(0xE0000 + ord(char)) for char in "alice@mail.example")
    body = chat(f"a picture {hidden} of a cat")
    assert [one.kind for one in seen(body)] == ["email"]
    after = redacted(body).decode()
    assert "\U000e0061" not in after
    assert "a picture [EMAIL_" in after


def test_a_value_over_parts_that_say_what_is_cached_is_found() -> None:
    first = {"type": "text", "text": "AKIAIOSFOD", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    parts = [first, {"type": "text", "text": "NN7EXAMPLE"}]
    for said in ({"messages": [{"role": "user", "content": parts}]}, {"system": parts, "messages": []}):
        body = orjson.dumps({"model": "m", **said})
        assert [one.kind for one in seen(body)] == ["secret"]
        assert b"NN7EXAMPLE" not in redacted(body)
