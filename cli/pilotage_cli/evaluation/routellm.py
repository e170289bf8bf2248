"""RouteLLM's evaluation data: per prompt whether a weak and a strong model answered correctly.

https://github.com/lm-sys/RouteLLM, Apache-2.0: `mmlu/mmlu_SUBJECT.csv`, `gsm8k_responses.csv` and
`mmlu_contaminated_prompts.jsonl`, prompts to leave out. The questions are MMLU's and GSM8K's (both MIT).
"""

import csv
import json
from pathlib import Path
from typing import Final

from pilotage_cli.evaluation.answers import Answers, answers_of
from pilotage_cli.failure import CommandError

WEAK: Final = "mistralai/Mixtral-8x7B-Instruct-v0.1"
STRONG: Final = "gpt-4-1106-preview"
_INSTRUCTION: Final = "\nAnswer:"


def mmlu(folder: Path) -> Answers:
    """All subjects, without repeated and contaminated prompts; groups are subjects. Raises CommandError."""
    left_out = set()
    with _opened(folder / "mmlu_contaminated_prompts.jsonl") as lines:
        for line in lines:
            if line.strip():
                left_out.add(json.loads(line)["eval_prompt"])
    found: dict[str, tuple[str, float, float]] = {}
    paths = sorted((folder / "mmlu").glob("mmlu_*.csv"))
    if not paths:
        raise CommandError(f"{folder / 'mmlu'}: has no mmlu_SUBJECT.csv; name the folder of RouteLLM's data")
    for path in paths:
        subject = path.stem.removeprefix("mmlu_")
        with _opened(path) as file:
            for row in csv.DictReader(file):
                if row["prompt"] not in left_out:
                    found.setdefault(row["prompt"], (subject, _right(row[WEAK]), _right(row[STRONG])))
    return answers_of([(prompt, *rest) for prompt, rest in found.items()], WEAK, STRONG)


def gsm8k(folder: Path) -> Answers:
    """Word problems; one group. Raises CommandError."""
    found: dict[str, tuple[str, float, float]] = {}
    with _opened(folder / "gsm8k_responses.csv") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["prompt"], ("gsm8k", _right(row[WEAK]), _right(row[STRONG])))
    return answers_of([(prompt, *rest) for prompt, rest in found.items()], WEAK, STRONG)


def bare(prompt: str) -> str:
    """A question without its options and instruction."""
    return prompt.partition("\nA. ")[0].removesuffix(_INSTRUCTION)


def _right(text: str) -> float:
    return 1.0 if text.strip().lower() == "true" else 0.0


def _opened(path: Path):  # type: ignore[no-untyped-def]
    try:
        return path.open(newline="", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}; name the folder of RouteLLM's data") from None
