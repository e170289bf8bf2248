"""From labels to a file of weights."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.design import Design, Weights, ridge
from pilotage_cli.evaluation.domains import fit_heads, labelled, margin_of, scores_out_of_fold
from pilotage_cli.evaluation.topics import DOMAINS
from pilotage_extproc.features.ngrams import BUCKETS
from pilotage_extproc.features.predictor import DOMAIN_PREFIX, FAMILIAR, STRONG_GAIN, Header, Predictor

GAIN_PENALTY: Final = 2.0
SHIPPED_NAME: Final = "mixtral-8x7b-vs-gpt-4-1106"
_SOURCE: Final = (
    "RouteLLM's evaluation data (https://github.com/lm-sys/RouteLLM), MMLU and GSM8K questions, phrases of"
    " Pilotage"
)
_LICENCE: Final = "Apache-2.0; questions MIT"
_CLIPPED: Final = 0.0005
"""Share of the largest weights of a column that are cut to the next one: one outlier would coarsen all."""


def fit_gain(design: Design, gap: NDArray[np.float64], penalty: float = GAIN_PENALTY) -> Weights:
    """The head for E[strong - weak]."""
    return ridge(design, gap, penalty)


def shipped(exams: Answers, problems: Answers) -> Predictor:
    """The weights that ship: domains, and the gain of one old pair of models."""
    rows = labelled(exams, problems)
    of_domains = Design.of(rows.texts)
    margin = margin_of(rows, scores_out_of_fold(rows, of_domains))
    of_gain = Design.of([*exams.texts(), *problems.texts()])
    gap = np.concatenate([exams.gap, problems.gap])
    heads = fit_heads(of_domains, rows.labels)
    return packed(
        SHIPPED_NAME,
        [*(f"{DOMAIN_PREFIX}{domain}" for domain in DOMAINS), STRONG_GAIN],
        [*heads, fit_gain(of_gain, gap)],
        [of_domains, of_gain],
        seen=_seen(of_domains) + _seen(of_gain),
        gain_prior=float(gap.mean()),
        domain_margin=margin,
        source=_SOURCE,
        licence=_LICENCE,
        trained_on=len(gap),
    )


def own(base: Predictor, answers: Answers, name: str) -> Predictor:
    """Weights for the gain between two models of an operator's: the base's, and what own labels add to them.

    Ridge on what is left of the gap behind the base: a few hundred labels correct what they speak of.
    """
    design = Design.of(answers.texts())
    known, seen = base_weights(base)
    fitted = fit_own(known, design, answers.gap)
    return packed(
        name,
        [STRONG_GAIN],
        [fitted],
        [design],
        seen=seen + _seen(design),
        gain_prior=float(answers.gap.mean()),
        source=f"{len(answers)} labels of {answers.weak_model} and {answers.strong_model}",
        licence="that of the labels",
        trained_on=len(answers),
    )


def fit_own(base: Weights, design: Design, gap: NDArray[np.float64]) -> Weights:
    """A base's head with what labels add to it."""
    added = ridge(design, gap - base.scores(design), GAIN_PENALTY)
    return Weights(base.buckets + added.buckets, base.bias + added.bias)


def base_weights(base: Predictor) -> tuple[Weights, NDArray[np.float64]]:
    """The head for the gain of a predictor, and how often it has seen each bucket."""
    buckets, bias = base.column(STRONG_GAIN)
    common, _ = base.column(FAMILIAR)
    return Weights(buckets, bias), np.expm1(common.astype(np.float64))


def packed(
    name: str,
    columns: Sequence[str],
    heads: Sequence[Weights],
    designs: Sequence[Design],
    *,
    seen: NDArray[np.float64],
    gain_prior: float = 0.0,
    domain_margin: float = 0.0,
    attack_above: float = 1.0,
    source: str = "",
    licence: str = "",
    trained_on: int = 0,
) -> Predictor:
    """Heads, and how often each bucket was `seen`, as one table of bytes."""
    common = np.log1p(seen).astype(np.float32)
    table = np.zeros((BUCKETS, len(columns) + 1), np.int8)
    scales = []
    for index, weights in enumerate([*(head.buckets for head in heads), common]):
        scale = float(np.quantile(np.abs(weights), 1 - _CLIPPED)) / 127 or 1.0
        scales.append(scale)
        table[:, index] = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    chance = float(common.mean())
    usual = np.concatenate([design.times(common) * design.shares for design in designs])
    return Predictor(
        Header(
            name=name,
            columns=[*columns, FAMILIAR],
            scales=scales,
            biases=[*(head.bias for head in heads), 0.0],
            gain_prior=gain_prior,
            domain_margin=domain_margin,
            attack_above=attack_above,
            unfamiliar=chance,
            familiar=float(np.quantile(usual, 0.10)),
            source=source,
            licence=licence,
            trained_on=trained_on,
        ),
        table,
    )


def _seen(design: Design) -> NDArray[np.float64]:
    return np.bincount(design.buckets, minlength=BUCKETS).astype(np.float64)
