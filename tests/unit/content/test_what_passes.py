"""What docs/content.md says is not found: each is tried, so that the list stays true."""

import base64
import codecs
import html
import urllib.parse

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
        urllib.parse.quote(EMAIL),
        html.escape(EMAIL).replace("@", "&#64;"),
        base64.encodebytes(b"x" * 50 + EMAIL.encode()).decode(),
        base64.b64encode(base64.b64encode(f"write to {EMAIL}".encode())).decode(),
        base64.b64encode(b"some text " * 400 + EMAIL.encode()).decode(),
        f"99{CARD}",
        "my password is hunter2",
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
