"""Weights are fitted as a solver would fit them, and own labels correct what they speak of."""

import numpy as np
import pytest

from pilotage_cli.evaluation.answers import answers_of
from pilotage_cli.evaluation.design import Design, ridge
from pilotage_cli.evaluation.domains import Decided, labelled
from pilotage_cli.evaluation.routellm import bare
from pilotage_cli.evaluation.topics import DOMAINS, phrases, topic_prompts
from pilotage_cli.evaluation.training import own
from pilotage_extproc.features.ngrams import BUCKETS, buckets_of
from pilotage_extproc.features.predictor import Predictor
from pilotage_extproc.features.weights_files import SHIPPED, read_predictor

TEXTS = [b"how do i bake bread", b"solve for x", b"bread and butter", b"x squared", b"", b"contract law"]


def dense(design: Design) -> np.ndarray:
    rows = np.zeros((len(design), BUCKETS))
    for row, (begin, count) in enumerate(zip(design.begins, design.counts, strict=True)):
        rows[row, design.buckets[begin : begin + count]] = design.shares[row]
    return rows


def test_rows_are_picked_in_any_order():
    design = Design.of(TEXTS)
    picked = design.rows(np.array([3, 0]))
    assert np.array_equal(dense(picked), dense(design)[[3, 0]])


def test_ridge_solves_the_normal_equations():
    design, wanted = Design.of(TEXTS), np.array([1.0, 0.0, 1.0, 0.0, 0.5, 0.0])
    counts = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 3.0])
    found = ridge(design, wanted, 0.5, counts)
    rows = dense(design)
    used = np.flatnonzero(rows.any(axis=0))
    rows, weigh = rows[:, used], np.diag(counts)
    left = rows.T @ weigh @ rows + 0.5 * np.eye(len(used))
    expected = np.linalg.solve(left, rows.T @ weigh @ (wanted - np.average(wanted, weights=counts)))
    assert np.allclose(found.buckets[used], expected, atol=2e-3)
    assert not found.buckets[np.setdiff1d(np.arange(BUCKETS), used)].any()


def test_made_prompts_never_share_a_phrase_between_folds():
    of_phrase: dict[str, set[int]] = {}
    listed = phrases()
    for prompt, domain, fold in topic_prompts():
        for phrase in listed[domain]:
            if len(phrase) > 15 and phrase.lower() in prompt.lower():
                of_phrase.setdefault(phrase, set()).add(fold)
    assert max(map(len, of_phrase.values())) == 1
    assert set(listed) == set(DOMAINS)


def test_the_labelled_prompts_are_none_of_those_that_are_made():
    exams = answers_of([("What is a ring?\nA. x\nB. y\nAnswer:", "abstract_algebra", 0, 1)], "w", "s")
    rows = labelled(exams, exams)
    assert rows.texts[0] == b"What is a ring?"
    assert DOMAINS[rows.labels[0]] == "math"
    assert rows.made.sum() == len(rows) - 2


def test_a_question_is_bare_without_options():
    assert bare("Why?\nA. a\nB. b\nAnswer:") == "Why?"
    assert bare("Why?") == "Why?"


def test_a_domain_leads_or_there_is_none():
    scores = np.zeros((3, len(DOMAINS)))
    scores[0, 2], scores[1, 2], scores[1, 3], scores[2, DOMAINS.index("other")] = 0.9, 0.5, 0.45, 1.0
    assert Decided.of(scores).answers(0.1).tolist() == [True, False, False]


@pytest.fixture(scope="module")
def base() -> Predictor:
    return read_predictor(SHIPPED)


def test_own_labels_tell_what_they_speak_of(base):
    rows = [
        (f"Translate the word {word} into Welsh, please.", "welsh", 0, 1) for word in "abcdefghijklmnop" * 4
    ]
    rows += [(f"Say {word} politely to a customer.", "polite", 1, 1) for word in "abcdefghijklmnop" * 4]
    made = own(base, answers_of(rows, "w", "s"), "mine")
    read = Predictor.read(made.packed())
    welsh = read.predict(buckets_of(b"Translate the word river into Welsh, please."))
    polite = read.predict(buckets_of(b"Say no politely to a customer."))
    assert welsh.gain is not None and polite.gain is not None
    assert welsh.gain > polite.gain + 0.3
    assert read.header.gain_prior == 0.5
    assert len(made.packed()) < 2 << 20


def test_weights_of_own_labels_keep_quiet_about_noise(base):
    rows = [(f"Question number {one} about birds", "g", 0, one % 2) for one in range(40)]
    made = own(base, answers_of(rows, "w", "s"), "mine")
    noise = made.predict(buckets_of(np.random.default_rng(1).bytes(500)))
    assert noise.gain_confidence < 0.1
    assert noise.gain == pytest.approx(0.5, abs=0.05)
