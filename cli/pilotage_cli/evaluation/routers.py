"""Scores of routers, by which prompts go to the strong model: the predictor, and its rivals."""

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.design import Design
from pilotage_cli.evaluation.protocol import SEED, fold_of
from pilotage_cli.evaluation.training import GAIN_PENALTY, fit_gain
from pilotage_extproc.features.ngrams import buckets_of
from pilotage_extproc.features.predictor import Predictor

Column = NDArray[np.float64]


def of_predictor(predictor: Predictor, answers: Answers) -> Column:
    """Expected gain of each prompt, as a gateway reads it."""
    said = [predictor.predict(buckets_of(text)) for text in answers.texts()]
    return np.array([0.0 if one.gain is None else one.gain for one in said])


def of_domains(domains: NDArray[np.str_], answers: Answers) -> Column:
    """The mean gap of a prompt's domain or group, in the other folds: a table is all that is learned."""
    folds = np.array([fold_of(prompt) for prompt in answers.prompts])
    scores = np.zeros(len(answers))
    for fold in np.unique(folds):
        held, used = folds == fold, folds != fold
        overall = float(answers.gap[used].mean()) if used.any() else 0.0
        for domain in np.unique(domains):
            known = answers.gap[used & (domains == domain)]
            scores[held & (domains == domain)] = known.mean() if len(known) else overall
    return scores


def of_oracle(answers: Answers) -> Column:
    """The gap itself."""
    return answers.gap


def of_chance(answers: Answers) -> Column:
    """A score drawn by the seed."""
    return np.random.default_rng(SEED).random(len(answers))


def out_of_fold(answers: Answers, folds: NDArray[np.intp], penalty: float = GAIN_PENALTY) -> Column:
    """Gain of each prompt, by weights that were fitted without its fold."""
    design = Design.of(answers.texts())
    scores = np.zeros(len(answers))
    for fold in np.unique(folds):
        held, used = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        scores[held] = fit_gain(design.rows(used), answers.gap[used], penalty).scores(design.rows(held))
    return scores
