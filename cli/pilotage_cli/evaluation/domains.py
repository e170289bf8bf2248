"""The domain heads: what they are fitted on, and how they are judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.design import Design, Weights, ridge
from pilotage_cli.evaluation.protocol import DOMAIN_OF_SUBJECT, fold_of
from pilotage_cli.evaluation.routellm import bare
from pilotage_cli.evaluation.topics import DOMAINS, topic_prompts

PENALTY: Final = 1.0
_WRONG: Final = 0.10
"""Share of made prompts, out of fold, that may be answered with a wrong domain."""


@dataclass(slots=True, frozen=True)
class Labelled:
    """Prompts with their domains."""

    texts: tuple[bytes, ...]
    labels: NDArray[np.intp]
    """Into `DOMAINS`."""
    folds: NDArray[np.intp]
    made: NDArray[np.bool_]
    """Which of them are made of phrases."""

    def __len__(self) -> int:
        return len(self.texts)


def labelled(exams: Answers, problems: Answers) -> Labelled:
    """Bare exam questions, word problems (math), and prompts made of phrases."""
    rows = [
        (bare(prompt), DOMAIN_OF_SUBJECT.get(subject, "other"), fold_of(prompt))
        for prompt, subject in zip(exams.prompts, exams.groups, strict=True)
    ]
    rows += [(prompt, "math", fold_of(prompt)) for prompt in problems.prompts]
    made = topic_prompts()
    texts, domains, folds = zip(*rows, *made, strict=True)
    return Labelled(
        tuple(text.encode("utf-8", "surrogatepass") for text in texts),
        np.array([DOMAINS.index(domain) for domain in domains], np.intp),
        np.array(folds, np.intp),
        np.arange(len(texts)) >= len(rows),
    )


def fit_heads(design: Design, labels: NDArray[np.intp]) -> list[Weights]:
    """One head a domain, rows weighed so that all domains count alike."""
    counts = np.bincount(labels, minlength=len(DOMAINS))
    weights = np.sqrt(len(labels) / len(DOMAINS) / np.maximum(counts, 1))[labels]
    return [
        ridge(design, (labels == index).astype(np.float64), PENALTY, weights) for index in range(len(DOMAINS))
    ]


def scores_of(heads: Sequence[Weights], design: Design) -> NDArray[np.float64]:
    """A row a text, a column a domain."""
    return np.stack([head.scores(design) for head in heads], axis=1).astype(np.float64)


def scores_out_of_fold(rows: Labelled, design: Design) -> NDArray[np.float64]:
    """Of each row by heads that were fitted without its fold."""
    scores = np.zeros((len(rows), len(DOMAINS)))
    for fold in np.unique(rows.folds):
        held, used = np.flatnonzero(rows.folds == fold), np.flatnonzero(rows.folds != fold)
        heads = fit_heads(design.rows(used), rows.labels[used])
        scores[held] = scores_of(heads, design.rows(held))
    return scores


@dataclass(slots=True, frozen=True)
class Decided:
    """Which domain some scores say, and how sure."""

    best: NDArray[np.intp]
    lead: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> "Decided":
        """The best domain of each row, and its lead over the next."""
        two = np.sort(scores, axis=1)[:, -2:]
        return cls(scores.argmax(axis=1), two[:, 1] - two[:, 0])

    def answers(self, margin: float) -> NDArray[np.bool_]:
        """Rows that get a domain of their own; the others are `other`."""
        answered: NDArray[np.bool_] = (self.best != DOMAINS.index("other")) & (self.lead >= margin)
        return answered


def margin_of(rows: Labelled, scores: NDArray[np.float64]) -> float:
    """The least margin at which at most a tenth of the made prompts that get a domain get a wrong one."""
    made = rows.made
    decided, labels = Decided.of(scores[made]), rows.labels[made]
    for margin in np.arange(0.0, 0.9, 0.01):
        answered = decided.answers(float(margin))
        if answered.any() and (decided.best[answered] != labels[answered]).mean() <= _WRONG:
            return round(float(margin), 2)
    return 0.9
