"""`pilotage explain` of a choice: every candidate in full, and no reference of a term that does not count."""

import io

from rich.console import Console

from pilotage_cli.choice_text import print_choice

CANDIDATE = {
    "chosen": True,
    "model": "meta-llama/Llama-3.3-70B-Instruct",
    "address": "127.0.0.1:18111",
    "outputBudget": 256,
    "quality": 0.72,
    "qualityKnown": True,
    "usd": 0.000226,
    "priced": True,
    "seconds": 1.5,
    "ttftSeconds": 0.25,
    "learnedFrom": 40,
    "byQueueAlone": True,
    "worth": 0.25,
    "keepsBounds": True,
}


def printed(*candidates, latency=0.25, later=256, answers=1):
    out = io.StringIO()
    choice = {
        "weights": {"quality": 0.5, "cost": 0.25, "latency": latency},
        "references": {"usd": 0.01, "seconds": 2.0},
        "features": {
            "promptTokens": 10,
            "outputLimit": None,
            "answers": answers,
            "domain": None,
            "strongGain": None,
            "lastModel": None,
        },
        "candidates": candidates,
        "outputBudget": 256,
        "enforce": "clamp",
        "attempts": [
            {"model": "big", "address": "127.0.0.1:1", "outputBudget": 256},
            {"model": "small", "address": "127.0.0.1:2", "outputBudget": later},
        ],
        "held": None,
        "withinBounds": True,
        "counterfactual": None,
    }
    print_choice(Console(file=out, width=80, soft_wrap=True), choice)
    return out.getvalue()


def test_a_candidate_is_shown_in_full_however_narrow_the_screen():
    text = " ".join(printed(CANDIDATE).split())
    assert "→ chosen meta-llama/Llama-3.3-70B-Instruct at 127.0.0.1:18111, 256 tokens" in text
    assert "1.5 s (first token 0.25 s, from 40 answers, by the queue alone)" in text


def test_what_is_not_known_is_said_beside_what_it_is_taken_for():
    unknown = {**CANDIDATE, "chosen": False, "ttftSeconds": None, "priced": False, "qualityKnown": False}
    text = " ".join(printed(unknown).split())
    assert "quality 0.720 (unknown), 0.000226 USD (unknown), time unknown, taken as 1.5 s" in text


def test_a_term_without_weight_has_no_reference():
    assert "latency 0.25 per 2 s" in printed(CANDIDATE)
    assert "latency 0.00\n" in printed(CANDIDATE, latency=0.0)


def test_a_later_attempt_with_a_budget_of_its_own_is_named():
    assert "later attempt" not in printed(CANDIDATE)
    assert "a later attempt at small at 127.0.0.1:2: 64 tokens" in printed(CANDIDATE, later=64)
    assert "a later attempt at small at 127.0.0.1:2: none" in printed(CANDIDATE, later=None)


def test_how_many_answers_are_asked_for_is_said_where_they_are_several():
    assert "about 10 prompt tokens, 8 answers, no output limit" in printed(CANDIDATE, answers=8)
    assert "about 10 prompt tokens, no output limit" in printed(CANDIDATE)
