"""Recorded answers of a weak and a strong model: who was right, and how long prompt and answers were.

The sample in this folder is drawn from the evaluation data of RouteLLM (https://github.com/lm-sys/RouteLLM,
Apache License 2.0): MMLU and GSM8K answered by Mixtral-8x7B-Instruct-v0.1 and GPT-4-1106-preview. It holds
no text: a group (subject), two verdicts and three lengths a row. `sample` writes it anew from the data.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

SAMPLE = Path(__file__).with_name("sample.csv")
SAMPLE_ROWS = 1600
_WEAK, _STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
_BYTES_PER_TOKEN = 4
_MEDIAN_TOKENS, _SPREAD = 160.0, 0.6
"""Of answers that were recorded by their letter alone (MMLU): assumed, alike for both models."""
_FIELDS = ("group", "weak_correct", "strong_correct", "prompt_bytes", "weak_tokens", "strong_tokens")


@dataclass(frozen=True, slots=True)
class Question:
    """One question and both answers to it."""

    group: str
    correct: tuple[bool, bool]
    """Of the weak and the strong model."""
    prompt_bytes: int
    tokens: tuple[int, int]
    """Length of each answer."""


def read_sample(path: Path = SAMPLE) -> list[Question]:
    """The questions of a sample."""
    with path.open(newline="") as rows:
        return [
            Question(
                row["group"],
                (row["weak_correct"] == "1", row["strong_correct"] == "1"),
                int(row["prompt_bytes"]),
                (int(row["weak_tokens"]), int(row["strong_tokens"])),
            )
            for row in csv.DictReader(rows)
        ]


def write_sample(routellm: Path, seed: int = 13, path: Path = SAMPLE) -> int:
    """Draw the sample from RouteLLM's data; how many rows it has."""
    random = Random(seed)
    every = [*_mmlu(routellm, random), *gsm8k_answers(routellm)]
    chosen = random.sample(every, SAMPLE_ROWS)
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(_FIELDS)
        for one in chosen:
            rows.writerow((one.group, *map(int, one.correct), one.prompt_bytes, *one.tokens))
    return len(chosen)


def _mmlu(routellm: Path, random: Random) -> Iterator[Question]:
    for file in sorted((routellm / "mmlu").glob("mmlu_*.csv")):
        with file.open(newline="") as rows:
            for row in csv.DictReader(rows):
                tokens = int(random.lognormvariate(0, _SPREAD) * _MEDIAN_TOKENS) + 1
                yield Question(
                    file.stem.removeprefix("mmlu_"),
                    (row[_WEAK] == "True", row[_STRONG] == "True"),
                    len(row["prompt"].encode()),
                    (tokens, tokens),
                )


def gsm8k_answers(routellm: Path, count: Callable[[bytes], int] | None = None) -> Iterator[Question]:
    """GSM8K, with the lengths of both answers; `count` says how many tokens a text has."""
    tokens = (lambda text: len(text) // _BYTES_PER_TOKEN) if count is None else count
    with (routellm / "gsm8k_responses.csv").open(newline="") as rows:
        for row in csv.DictReader(rows):
            lengths = [max(1, tokens(row[f"{model}_response"].encode())) for model in (_WEAK, _STRONG)]
            yield Question(
                "gsm8k",
                (row[_WEAK] == "True", row[_STRONG] == "True"),
                len(row["prompt"].encode()),
                (lengths[0], lengths[1]),
            )


@dataclass(frozen=True, slots=True)
class Priors:
    """Share of right answers of each model, by group and at large: from questions that are not replayed."""

    default: tuple[float, float]
    groups: dict[str, tuple[float, float]]


_PRIOR_ROWS = 10.0


def split(questions: list[Question], seed: int) -> tuple[Priors, list[Question]]:
    """What the first half says at large and by group, and the other half."""
    shuffled = Random(seed).sample(questions, len(questions))
    known, replayed = shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]
    default = _share(known, 0), _share(known, 1)
    groups = {}
    for group in sorted({one.group for one in known}):
        of_group = [one for one in known if one.group == group]
        groups[group] = tuple(
            (sum(one.correct[model] for one in of_group) + _PRIOR_ROWS * default[model])
            / (len(of_group) + _PRIOR_ROWS)
            for model in (0, 1)
        )
    return Priors(default, groups), replayed  # type: ignore[arg-type]


def _share(questions: list[Question], model: int) -> float:
    return sum(one.correct[model] for one in questions) / len(questions)
