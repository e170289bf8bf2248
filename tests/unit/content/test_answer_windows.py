"""A text through a window: no value gets out, wherever it is cut, and no more is held than the window."""

import pytest
from answering import rules, windowed, work
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scanning import SCANNER
from test_detectors import VALUES

from pilotage_api.guards_snapshot import AnswerRuleSnapshot, OwnDetectorSnapshot
from pilotage_extproc.content.answers.rules import AnswerBlockedError, AnswerRules, FoundInAnswer
from pilotage_extproc.content.answers.text_window import TextWindow
from pilotage_extproc.content.catalogue import BUILT_IN
from pilotage_extproc.content.guard import Toolbox
from pilotage_extproc.content.scan import Scan

ALL = rules()
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEow" * 60 + "\n-----END RSA PRIVATE KEY-----"
words = st.text(st.characters(codec="utf-8", exclude_characters="@[]"), max_size=12)
texts = st.lists(words | st.sampled_from([value for _, value in VALUES]), max_size=8).map(" ".join)


def kinds_in(text: str) -> set[str]:
    list(SCANNER.text_steps(text.encode(), scan := Scan()))
    return {one.kind for one in scan.found} & set(BUILT_IN)


@settings(max_examples=examples(400))
@given(texts, st.data())
def test_no_value_gets_out_wherever_the_text_is_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    got = "".join(windowed(pieces, ALL))
    assert not kinds_in(got)


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_every_detector_finds_its_value_cut_at_every_character(kind: str, value: str) -> None:
    text = f"so it is {value} and no other"
    whole = "".join(windowed([text], ALL))
    assert value not in whole
    for cut in range(len(text)):
        assert "".join(windowed([text[:cut], text[cut:]], ALL)) == whole
    assert "".join(windowed(list(text), ALL)) == whole


@settings(max_examples=examples(400))
@given(
    texts
    | st.text(alphabet="abcdefABCDEF ghs_-.:/+=", max_size=60)
    | st.lists(st.sampled_from(["a", "b.io", "%40", "&#64;", "&#x40;", "&commat;", " "]), max_size=5).map(
        "".join
    )
)
def test_the_quick_look_passes_nothing_that_a_detector_finds(text: str) -> None:
    assert not kinds_in(text) or ALL.may_find(text.encode())


def test_text_without_values_stays_as_it_is_and_waits_for_a_word_at_most() -> None:
    text = "The quick brown fox jumps over 13 lazy dogs; then it sleeps in the sun, all of the day. " * 5
    sent = 0
    for count, piece in enumerate(windowed(list(text), ALL)):
        sent += len(piece)
        assert count - sent < 30
    assert sent == len(text)


def test_a_key_of_many_lines_is_not_let_out_behind_the_window() -> None:
    made = rules(detectors=["secret"], window=64)
    got = "".join(windowed(list(f"Here: {KEY} so."), made))
    assert got.startswith("Here: [SECRET_")
    assert got.endswith("] so.")
    assert "MIIE" not in got


@settings(max_examples=examples())
@given(st.text(st.characters(codec="utf-8"), max_size=600), st.integers(1, 50))
def test_no_more_than_the_window_is_held_back(text: str, size: int) -> None:
    made = rules(detectors=["email", "secret"], window=64)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    came, sent, clean = 0, 0, not kinds_in(text)
    for piece, out in zip([*pieces, ""], windowed(pieces, made), strict=True):
        came += len(piece.encode())
        sent += len(out.encode())
        if clean:
            assert came - sent <= 64 + 3  # no character is cut
    if clean:
        assert "".join(windowed(pieces, made)) == text


def test_phrases_are_held_word_by_word_and_patterns_by_the_window() -> None:
    own = [
        OwnDetectorSnapshot(name="project", words=("blue heron", "kestrel")),
        OwnDetectorSnapshot(name="ticket", pattern="TCK-[0-9]{4,8}"),
    ]
    phrases = rules(detectors=["project"], own=own)
    got = "".join(windowed(list("on Blue  Heron, then a blue car and kestrel"), phrases))
    assert got.count("[PROJECT_") == 2
    assert "blue car" in got
    assert "".join(windowed(list("the blue sky is wide "), phrases)[:-1]) == "the blue sky is wide "
    tickets = rules(detectors=["ticket"], own=own, window=64)
    got = "".join(windowed(list("see TCK-123456 please" + " and more" * 20), tickets))
    assert "TCK" not in got


def test_what_is_flagged_beside_what_is_replaced_is_counted_once() -> None:
    one = AnswerRuleSnapshot(detectors=("payment-card",), action="redact", window=1024)
    two = AnswerRuleSnapshot(detectors=("ip-address",), action="flag", window=1024)
    made = AnswerRules([one, two], (), Toolbox())
    found = FoundInAnswer(made.actions)
    window = TextWindow(made, work(made).names, found)
    for piece in ("It is 4111 1111 1111 1111 on ", "10.1.2.3, as I said."):
        list(window.feed(piece, []))
    list(window.feed("", [], last=True))
    assert set(found.said()) == {("payment-card", "redact", 1), ("ip-address", "flag", 1)}


def test_a_blocked_value_raises_before_any_of_it_goes_on() -> None:
    made = rules("block", ["payment-card"])
    with pytest.raises(AnswerBlockedError):
        windowed(list("pay with 4111 1111 1111 1111 now"), made)
