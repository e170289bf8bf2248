"""Every figure of docs/routing-quality.md, out of RouteLLM's data: `pilotage eval figures`."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.evaluation.bootstrap import apgr_intervals
from pilotage_cli.evaluation.design import Design
from pilotage_cli.evaluation.domains import Decided, labelled, margin_of, scores_out_of_fold
from pilotage_cli.evaluation.evaluate import ROUTER, apgr_of, evaluate
from pilotage_cli.evaluation.feature_times import feature_times
from pilotage_cli.evaluation.own_labels import by_labels
from pilotage_cli.evaluation.protocol import HARDEST_TO_READ, fold_of, group_of
from pilotage_cli.evaluation.routellm import gsm8k, mmlu
from pilotage_cli.evaluation.routers import out_of_fold
from pilotage_cli.evaluation.topics import DOMAINS
from pilotage_cli.evaluation.training import fit_gain
from pilotage_extproc.domain.token_estimate import estimate_tokens
from pilotage_extproc.features import exact_tokens
from pilotage_extproc.features.ngrams import buckets_of
from pilotage_extproc.features.predictor import OTHER
from pilotage_extproc.features.weights_files import SHIPPED, read_predictor

CHAT_PROMPTS: Final = Path(__file__).parent / "data/chat_prompts.jsonl"
_LONGER_BYTES: Final = 400
"""About a hundred tokens: of fewer, one more or less is a large share."""
_VOCABULARIES: Final = ("o200k_base", "llama3", "qwen3")
Column = NDArray[np.float64]


def all_figures(folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """By name. `tell` hears what is under way: it takes minutes."""
    exams, problems = mmlu(folder), gsm8k(folder)
    tell("gain")
    found = {**_gain(exams), **_transfer(exams, problems)}
    tell("own labels")
    for count, (scores, part) in by_labels(exams).items():
        found[f"own labels {count}"] = _router(scores, part)
    tell("domains")
    found["domain"] = _domains(exams, problems)
    found["domain of chat prompts"] = chat_domains()
    tell("tokens and times")
    found["tokens"] = token_errors([*exams.texts(), *problems.texts()])
    found["features, ms"] = feature_times(exams.texts())
    return found


def _gain(exams: Answers) -> dict[str, Any]:
    folds = np.array([fold_of(prompt) for prompt in exams.prompts])
    groups = np.array([group_of(subject) for subject in exams.groups])
    scores = out_of_fold(exams, folds)
    rest = exams.without(HARDEST_TO_READ)
    rest_folds = np.array([fold_of(prompt) for prompt in rest.prompts])
    rest_groups = np.array([group_of(subject) for subject in rest.groups])
    whole = evaluate(scores, exams, np.array(exams.groups)).as_json()
    del whole["curves"]
    return {
        "in-domain": _router(scores, exams),
        "in-domain, all figures": whole,
        f"in-domain without {HARDEST_TO_READ}": _router(out_of_fold(rest, rest_folds), rest),
        "in-domain, target: the weak model is right": _router(_weak_is_right(exams, folds), exams),
        "subjects left out": _router(out_of_fold(exams, groups), exams),
        f"subjects left out without {HARDEST_TO_READ}": _router(out_of_fold(rest, rest_groups), rest),
    }


def _weak_is_right(answers: Answers, folds: NDArray[np.intp]) -> Column:
    """What to train on instead, for comparison: the gap matters, not the weak model alone."""
    design, scores = Design.of(answers.texts()), np.zeros(len(answers))
    for fold in np.unique(folds):
        held, used = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        scores[held] = -fit_gain(design.rows(used), answers.weak[used]).scores(design.rows(held))
    return scores


def _transfer(exams: Answers, problems: Answers) -> dict[str, Any]:
    of_exams, of_problems = Design.of(exams.texts()), Design.of(problems.texts())
    folds = np.array([fold_of(prompt) for prompt in problems.prompts])
    return {
        "GSM8K": _router(out_of_fold(problems, folds), problems),
        "MMLU to GSM8K": _router(_scores(of_exams, exams.gap, of_problems), problems),
        "GSM8K to MMLU": _router(_scores(of_problems, problems.gap, of_exams), exams),
    }


def _scores(fitted: Design, gap: Column, judged: Design) -> Column:
    return fit_gain(fitted, gap).scores(judged).astype(np.float64)


def _router(scores: Column, answers: Answers) -> dict[str, Any]:
    """Figures, and how far APGR is from chance."""
    against = apgr_intervals({ROUTER: scores}, answers, ROUTER)["random"]
    return {"prompts": len(answers), **asdict(apgr_of(scores, answers)), "less random": asdict(against)}


def _domains(exams: Answers, problems: Answers) -> dict[str, Any]:
    """Of bare exam questions, out of fold."""
    rows = labelled(exams, problems)
    scores = scores_out_of_fold(rows, Design.of(rows.texts))
    margin = margin_of(rows, scores)
    exam = np.arange(len(rows)) < len(exams)
    decided, right = Decided.of(scores), Decided.of(scores).best == rows.labels
    answered = decided.answers(margin)
    own = rows.labels != DOMAINS.index(OTHER)
    return {
        "margin": margin,
        "bare questions": int(exam.sum()),
        "right of all, best of eight": float(right[exam].mean()),
        "right where it answers": float(right[exam & answered].mean()),
        "abstains, of those with a domain": float((~answered)[exam & own].mean()),
        "made prompts, right where it answers": float(right[rows.made & answered].mean()),
        "made prompts, abstains": float((~answered)[rows.made & own].mean()),
    }


def chat_domains() -> dict[str, Any]:
    """The shipped predictor on the 200 prompts that were labelled before any training."""
    shipped = read_predictor(SHIPPED)
    rows = [json.loads(line) for line in CHAT_PROMPTS.read_text(encoding="utf-8").splitlines()]
    said = [shipped.predict(buckets_of(row["prompt"].encode())).domain for row in rows]
    answered = [(one, row["domain"]) for one, row in zip(said, rows, strict=True) if one != OTHER]
    with_domain = [one for one, row in zip(said, rows, strict=True) if row["domain"] != OTHER]
    return {
        "prompts": len(rows),
        "answered": len(answered),
        "right": sum(one == label for one, label in answered),
        "precision": sum(one == label for one, label in answered) / max(1, len(answered)),
        "abstains": 1 - len(answered) / len(rows),
        "abstains, of those with a domain": with_domain.count(OTHER) / len(with_domain),
    }


def token_errors(texts: list[bytes]) -> dict[str, Any]:
    """Of the estimate against the mean of three vocabularies; nothing without the package that counts."""
    if not exact_tokens.available():
        return {"skipped": exact_tokens.NOT_INSTALLED}
    counters = [exact_tokens.counter(name) for name in _VOCABULARIES]
    exact = np.array([np.mean([count(text) for count in counters]) for text in texts])
    errors = np.abs(np.array([estimate_tokens(text) for text in texts]) - exact) / exact
    longer = errors[np.array([len(text) >= _LONGER_BYTES for text in texts])]
    return {
        "texts": len(texts),
        "mean": float(errors.mean()),
        "p95": float(np.quantile(errors, 0.95)),
        "longer texts": len(longer),
        "longer mean": float(longer.mean()),
        "longer p95": float(np.quantile(longer, 0.95)),
    }
