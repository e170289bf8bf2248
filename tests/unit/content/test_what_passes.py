"""What docs/content.md says is not found: each is tried, so that the list stays true."""

import base64
import codecs
import quopri

import orjson
import pytest
from scanning import chat, kinds_in, seen

EMAIL = "alice@mail.example"
CARD = "4111111111111111"


@pytest.mark.parametrize(
    "text",
    [
        "alice at mail dot example",
        "four one one one, and then twelve ones",
        codecs.encode(EMAIL, "rot13").replace("@", " at "),
        EMAIL.encode().hex(),
        "".join(f"%{ord(char):02X}" for char in EMAIL),
        "".join(f"&#{ord(char)};" for char in EMAIL),
        "4111%201111%201111%201111",
        "4lll llll llll llll",
        quopri.encodestring(b"alice=mail").decode().replace("=3D", "=40") + ".example",
        base64.encodebytes(b"x" * 50 + EMAIL.encode()).decode(),
        base64.b64encode(base64.b64encode(f"write to {EMAIL}".encode())).decode(),
        base64.b64encode(b"some text " * 400 + EMAIL.encode()).decode(),
        f"99{CARD}",
        "my password is hunter2",
        "4111.1111.1111.1111",
        "4111 1111\n1111 1111",
        "4111  1111  1111  1111",
        "4111,1111,1111,1111",
        "DE89.3704.0044.0532.0130.00",
        "alice [at] mail [dot] example",
        "alice @ mail.example",
        "alice@<!-- -->mail.example",
        "A K I A I O S F O D N N 7 E X A M P L E",
        '"AKIAIOSF" + "ODNN7EXAMPLE"',
        "AKIAIOSFODNN7EXAMPLE"[::-1],
        base64.b32encode(b"AKIAIOSFODNN7EXAMPLE").decode(),
        base64.b64encode(EMAIL.encode("utf-16")).decode(),
        base64.b64encode(b"a@b.io").decode(),
        "a line of text: alice\\u0040mail.example",
        "3232235796",
        "192[.]168[.]1[.]20",
        "0xC0A80114",
        "536221234",
        "4155552671",
        "0049 30 901820",
        "Alice Smith, 1 High Street, born on 3 May 1980",
    ],
)
def test_these_disguises_pass(text: str) -> None:
    assert kinds_in(text) == set()


def test_a_value_split_over_two_messages_passes() -> None:
    halves = [{"role": "user", "content": half} for half in (EMAIL[:9], EMAIL[9:])]
    assert seen(orjson.dumps({"model": "m", "messages": halves})) == []


def test_a_value_split_by_more_than_the_edge_of_a_part_passes() -> None:
    assert seen(chat("alice@" + "a." * 400, "b" * 900)) == []


def test_a_value_that_is_split_over_elements_of_an_array_passes() -> None:
    for said in (
        {"n": [4111, 1111, 1111, 1111]},
        {"prompt": [EMAIL[:9], EMAIL[9:]]},
        {"n": 4111111111111111.0},
    ):
        assert seen(orjson.dumps({"model": "m", "messages": [], **said})) == []
