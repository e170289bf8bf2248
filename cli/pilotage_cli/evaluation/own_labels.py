"""What own labels are worth on subjects that the base has never seen."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.design import Design
from pilotage_cli.evaluation.protocol import OWN_LABELS, OWN_LABELS_KEPT, SEED, SUBJECT_GROUPS, group_of
from pilotage_cli.evaluation.training import fit_gain, fit_own


def by_labels(answers: Answers) -> dict[int, tuple[NDArray[np.float64], Answers]]:
    """By number of labels (0 is the base alone): scores of the prompts that are judged, pooled.

    Of each group of subjects the base is fitted on the other groups, labels are drawn from its first 1,200
    prompts, and the rest is judged on.
    """
    design = Design.of(answers.texts())
    groups = np.array([group_of(subject) for subject in answers.groups])
    scores: dict[int, list[NDArray[np.float64]]] = {count: [] for count in (0, *OWN_LABELS)}
    judged = []
    for group in range(len(SUBJECT_GROUPS)):
        rows = np.array(
            sorted(np.flatnonzero(groups == group), key=lambda row: _drawn(answers.prompts[row])), np.intp
        )
        kept, held = rows[:OWN_LABELS_KEPT], rows[OWN_LABELS_KEPT:]
        others = np.flatnonzero(groups != group)
        base = fit_gain(design.rows(others), answers.gap[others])
        judged.append(held)
        for count, found in scores.items():
            used = kept[:count]
            head = base if not count else fit_own(base, design.rows(used), answers.gap[used])
            found.append(head.scores(design.rows(held)).astype(np.float64))
    part = answers.rows(np.concatenate(judged))
    return {count: (np.concatenate(found), part) for count, found in scores.items()}


def _drawn(prompt: str) -> bytes:
    """Where a prompt stands in the order that labels are drawn in."""
    return hashlib.blake2b(f"{SEED}\0own\0{prompt}".encode(errors="replace"), digest_size=8).digest()
