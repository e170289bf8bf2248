"""Forms: what is found in them is what a model server's parser finds, or they are refused."""

import contextlib
import time
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.dialects.document import Document
from pilotage_extproc.dialects.forms import MAX_PARTS, boundary_of, read_form
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages.parse import parse_body
from pilotage_extproc.stages.prepare import model_edits

TYPE = "multipart/form-data; boundary=xYx"
SOUND = b"RIFF\x00\r\n--xY\r\n\r\n\xff"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return b'--xYx\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
        name.encode(),
        more.encode(),
        value,
    )


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xYx--\r\n"


FILE = part("file", SOUND, '; filename="a.wav"\r\nContent-Type: audio/wav')
MODEL = part("model", b"whisper")


def parsed(body: bytes, content_type: str = TYPE) -> Document:
    return parse_body(CallKind.TRANSCRIPTIONS, body, max_structure=100, content_type=content_type)


def refused(body: bytes, content_type: str = TYPE) -> RequestRefused:
    with pytest.raises(RequestRefused) as refusal:
        parsed(body, content_type)
    assert refusal.value.reason.http_status == 400
    return refusal.value


def sent(body: bytes, upstream_model: str) -> bytes | None:
    edits = model_edits(body, parsed(body), upstream_model)
    return edited(body, edits) if edits else None


def test_the_model_is_found_wherever_it_stands():
    for body in (form(FILE, MODEL), form(MODEL, FILE), form(part("language", b"en"), FILE, MODEL)):
        assert parsed(body).model == "whisper"
    assert parsed(form(MODEL, FILE, part("stream", b"True"))).stream is True


def test_only_the_models_bytes_are_replaced():
    body = form(FILE, MODEL, part("prompt", b"whisper"))
    assert sent(body, "openai/whisper-large") == body.replace(
        b"\r\n\r\nwhisper", b"\r\n\r\nopenai/whisper-large", 1
    )
    assert sent(body, "whisper") is None


def test_a_form_without_a_model_gets_the_one_that_was_chosen():
    body = form(FILE)
    assert parsed(body).model == ""
    assert sent(body, "") is None
    changed = sent(body, "whisper-1")
    assert changed == part("model", b"whisper-1") + body
    assert parsed(changed).model == "whisper-1"


def test_two_models_are_refused():
    refusal = refused(form(MODEL, FILE, part("model", b"other")))
    assert (refusal.reason, refusal.param) == (Refusal.INVALID_FIELD, "model")
    assert "other" not in refusal.message


def test_other_fields_may_stand_more_than_once():
    times = [part("timestamp_granularities[]", value) for value in (b"word", b"segment")]
    assert parsed(form(*times, MODEL)).model == "whisper"


def test_a_file_is_no_model():
    assert refused(form(part("model", b"m", '; filename="m"'))).param == "model"
    assert refused(form(part("model", b"\xff"))).param == "model"
    assert refused(form(part("model", b"m" * 5000))).param == "model"
    assert refused(form(part("model", b""))).param == "model"


@pytest.mark.parametrize(
    "head",
    [
        'form-data; name="file"; filename="a\\"; name=\\"model"',
        'form-data; name="file"; filename="a; name=model"',
        'form-data; name="file"; filename="a\\"',
        'form-data; name="file"; name="model"',
        'form-data; name="mo\\del"',
        'form-data; name="model',
        "form-data; name*=UTF-8''model",
        "form-data",
        'attachment; name="model"',
        'form-data; name="file"\r\nContent-Disposition: form-data; name="model"',
        'form-data;\r\n name="model"',
        'form-data; name="file"\n\nContent-Disposition: form-data; name="model"',
        'form-data; name="model"\r\nContent-Transfer-Encoding: base64',
        'form-data; name="model"\r\nno colon',
    ],
)
def test_what_two_parsers_could_read_in_two_ways_is_refused(head):
    refusal = refused(b"--xYx\r\nContent-Disposition: " + head.encode() + b"\r\n\r\nm\r\n--xYx--\r\n")
    assert refusal.reason is Refusal.BAD_FORM


@pytest.mark.parametrize(
    "head",
    [
        "form-data; name=model",
        "form-data; filename*=UTF-8''a.wav; name=\"file\"",
        'form-data; name="file"; filename="C:\\audio\\a.wav"',
        'form-data; name="file"; filename="take 1; best.wav"',
        'FORM-DATA ;  NAME="file" ; filename="caf\u00e9.wav"  ',
    ],
)
def test_what_clients_write_is_read(head):
    body = b"--xYx\r\ncontent-disposition:" + head.encode() + b"\r\n\r\nm\r\n--xYx--"
    assert set(read_form(body, TYPE).fields) <= {"model", "file"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"preamble\r\n" + form(MODEL),
        b"\r\n" + form(MODEL),
        form(MODEL) + b"--xYx\r\n",
        form(MODEL) + part("model", b"other"),
        b"--xYx \r\n\r\n\r\n--xYx--",
        b"--xYx\r\n\r\nm\r\n--xYx--",
        b"--xYxz\r\n\r\nm\r\n--xYx--",
        MODEL.replace(b"\r\n", b"\n") + b"--xYx--\n",
        MODEL + b"--xYxtra\r\n--xYx--",
        b'{"model":"m"}',
    ],
)
def test_a_form_that_is_not_whole_and_nothing_else_is_refused(body):
    assert refused(body).reason is Refusal.BAD_FORM


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=xYx; boundary=other",
        'multipart/form-data; boundary="xYx',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="x\\Yx"',
        "multipart/form-data; boundary=xYx trailing",
        "multipart/form-data; boundary=x\u00e9x",
    ],
)
def test_a_content_type_without_one_boundary_is_refused(content_type):
    assert refused(form(MODEL), content_type).param == "content-type"


def test_boundaries_are_read_as_clients_write_them():
    for written in ("xYx", '"xYx"', "xYx; charset=utf-8"):
        assert boundary_of(f"multipart/form-data; boundary={written}") == b"xYx"
    assert boundary_of('multipart/form-data; charset="utf-8"; BOUNDARY="a b:c"') == b"a b:c"


def test_parts_and_headers_are_bounded():
    assert refused(form(*[part(f"f{number}", b"") for number in range(MAX_PARTS + 1)])).reason is (
        Refusal.TOO_COMPLEX
    )
    assert refused(form(part("model", b"m", "\r\nX-Long: " + "x" * 5000))).reason is Refusal.BAD_FORM


@given(cut=st.integers(0, len(form(FILE, MODEL)) - 3))
def test_a_form_cut_anywhere_is_refused(cut):
    assert refused(form(FILE, MODEL)[:cut]).reason is Refusal.BAD_FORM


NAMES = st.text(
    st.characters(min_codepoint=0x20, exclude_characters='"\\', codec="utf-8"), min_size=1, max_size=9
)


@given(
    fields=st.dictionaries(NAMES, st.binary(max_size=60), max_size=6),
    model=st.text(min_size=1, max_size=30),
    chosen=st.text(min_size=1, max_size=30),
)
def test_every_whole_form_is_read_and_only_its_model_changes(fields, model, chosen):
    fields = {name: value for name, value in fields.items() if b"--xYx" not in value}
    fields.pop("model", None)
    fields.pop("stream", None)
    body = form(*[part(name, value) for name, value in fields.items()], part("model", model.encode()))
    known = read_form(body, TYPE)
    assert {name: body[one.start : one.end] for name, one in known.fields.items()} == {
        **fields,
        "model": model.encode(),
    }
    changed = sent(body, chosen) or body
    after = read_form(changed, TYPE)
    assert {name: changed[one.start : one.end] for name, one in after.fields.items()} == {
        **fields,
        "model": chosen.encode(),
    }


PIECES = [
    *(b"--xYx", b"--xYx--", b"\r\n", b"\r", b"\n", b"--", b'"', b"\\", b"; ", b'name="model"', b" ", b":"),
    *(b"Content-Disposition: form-data", b'filename="', b"m", b"\xff", MODEL, FILE),
]


@settings(max_examples=examples(300))
@given(
    pieces=st.lists(
        st.sampled_from(PIECES),
        max_size=14,
    )
)
def test_no_form_raises_anything_but_a_refusal_and_what_is_accepted_python_reads_alike(pieces):
    body = b"".join(pieces)
    try:
        read = parsed(body)
    except RequestRefused:
        return
    assert read.form is not None
    assert read.model == (models_by_the_standard_library(body) or [""])[0]


def models_by_the_standard_library(body: bytes) -> list[str]:
    """Another parser's word for what the form's model is."""
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(
        b"Content-Type: " + TYPE.encode() + b"\r\n\r\n" + body
    )
    return [
        one.get_payload(decode=True).decode()
        for one in message.iter_parts()
        if one.get_param("name", header="content-disposition") == "model"
    ]


@pytest.mark.parametrize("filling", [b"\0", b"\r\n--xYx", b"\r\n--xY", b"-", b"\r\n\r\n"])
def test_a_form_of_30_mb_takes_a_moment_whatever_is_in_it(filling):
    body = form(MODEL, part("file", filling * (30_000_000 // len(filling)), '; filename="a"'))
    started = time.process_time()
    with contextlib.suppress(RequestRefused):
        parsed(body)
    assert time.process_time() - started < 0.5
