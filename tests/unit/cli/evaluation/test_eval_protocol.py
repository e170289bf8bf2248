"""What was fixed before training is whole and cannot drift."""

import json
from collections import Counter
from pathlib import Path

from pilotage_cli.evaluation.protocol import DOMAIN_OF_SUBJECT, FOLDS, SUBJECT_GROUPS, fold_of, group_of

PROMPTS = Path(__file__).parents[4] / "cli/pilotage_cli/evaluation/data/chat_prompts.jsonl"


def test_each_subject_is_left_out_once():
    subjects = [subject for group in SUBJECT_GROUPS for subject in group]
    assert len(subjects) == len(set(subjects)) == 40
    assert set(DOMAIN_OF_SUBJECT) <= set(subjects)
    assert group_of("moral_scenarios") == 0


def test_a_prompt_keeps_its_fold():
    assert fold_of("How many eggs are in two dozen?") == fold_of("How many eggs are in two dozen?")
    assert Counter(fold_of(str(number)) for number in range(5000)).keys() == set(range(FOLDS))


def test_the_labelled_prompts_are_two_hundred_of_every_domain():
    rows = [json.loads(line) for line in PROMPTS.read_text().splitlines()]
    assert len({row["prompt"] for row in rows}) == 200
    of_domain = Counter(row["domain"] for row in rows)
    assert of_domain.pop("other") == 88
    assert of_domain == dict.fromkeys(
        ("math", "code", "law", "medicine", "business", "science", "history"), 16
    )
