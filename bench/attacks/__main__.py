"""Fits the shipped weights that tell attacks on prompts, and judges them on attacks they have not seen.

    python -m bench.attacks --fit s-labs/*.csv --benign ROUTELLM --unseen one.jsonl other.csv [--write]

Files are CSV or JSON lines with `text` and `label` (1 is an attack; without a label all are). Of RouteLLM's
exam questions every second one is fitted as benign, the others are judged. The threshold is where 0.5% of
all benign texts that were not fitted are flagged.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.content.make_corpus import CORPUS
from pilotage_cli.evaluation.design import Design, Weights, ridge
from pilotage_cli.evaluation.routellm import gsm8k, mmlu
from pilotage_cli.evaluation.topics import topic_prompts
from pilotage_cli.evaluation.training import packed
from pilotage_extproc.features.attack_signal import ATTACK, SHIPPED
from pilotage_extproc.features.ngrams import BUCKETS

RESULTS: Final = Path(__file__).parents[1] / "results" / "attacks.json"
_PENALTY: Final = 2.0
_FLAGGED: Final = 0.005
"""Share of benign texts that the threshold flags."""
_Texts = list[bytes]


def read(path: Path) -> tuple[_Texts, _Texts]:
    """Attacks and benign texts of one file."""
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file]
    found: tuple[_Texts, _Texts] = ([], [])
    for row in rows:
        text = str(row.get("text") or next(iter(row.values())))
        found[0 if int(row.get("label", 1)) else 1].append(text.encode("utf-8", "replace"))
    return found


def fitted(attacks: _Texts, benign: _Texts) -> tuple[Weights, Design]:
    """The head; attacks and benign texts count alike."""
    design = Design.of([*attacks, *benign])
    is_attack = np.arange(len(design)) < len(attacks)
    counts = np.where(is_attack, len(attacks), len(benign))
    return ridge(design, is_attack.astype(np.float64), _PENALTY, np.sqrt(len(design) / 2 / counts)), design


def told_apart(attacks: NDArray[np.float32], benign: NDArray[np.float32]) -> float:
    """Chance that an attack has the higher score of the two (AUC)."""
    ranks = np.concatenate([attacks, benign]).argsort().argsort()[: len(attacks)]
    return float((ranks.mean() - (len(attacks) - 1) / 2) / len(benign))


def main(words: Sequence[str] | None = None) -> None:
    """Fit, judge, print, and write where asked to."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--fit", type=Path, nargs="+", required=True)
    options.add_argument("--benign", type=Path, required=True, help="folder of RouteLLM's data")
    options.add_argument("--unseen", type=Path, nargs="+", required=True)
    options.add_argument("--write", action="store_true", help=f"{SHIPPED.name} and {RESULTS.name}")
    given = options.parse_args(words)
    exams = [*mmlu(given.benign).texts(), *gsm8k(given.benign).texts()]
    fit = [read(path) for path in given.fit]
    made = [text.encode() for text, *_ in topic_prompts()]
    known = [text for attacks, _ in fit for text in attacks]
    weights, design = fitted(known, [*(text for _, benign in fit for text in benign), *exams[::2], *made])
    unseen = {path.stem: read(path) for path in given.unseen}
    plain = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    quiet: dict[str, _Texts] = {
        "exam questions": exams[1::2],
        "content corpus": [one["text"].encode() for one in plain if not one.get("value")],
    }
    seen = frozenset(known)
    quiet |= {name: texts for name, (_, texts) in unseen.items() if texts}
    scores = {name: weights.scores(Design.of(texts)) for name, texts in quiet.items()}
    all_benign = np.concatenate(list(scores.values()))
    threshold = float(np.quantile(all_benign, 1 - _FLAGGED))
    table: dict[str, object] = {
        "benign": len(all_benign),
        "threshold": round(threshold, 3),
        "flagged": {name: round(float((one > threshold).mean()), 4) for name, one in scores.items()},
    }
    for name, (texts, _) in unseen.items():
        new = weights.scores(Design.of([text for text in texts if text not in seen]))
        table[name] = {
            "attacks": len(new),
            "auc": round(told_apart(new, all_benign), 3),
            "recall": round(float((new > threshold).mean()), 3),
        }
    print(json.dumps(table, indent=1))
    if given.write:
        RESULTS.write_text(json.dumps(table, indent=1) + "\n")
        common = np.bincount(design.buckets, minlength=BUCKETS).astype(np.float64)
        predictor = packed(
            "prompt-attack", [ATTACK], [weights], [design], seen=common, attack_above=threshold,
            source="s-labs prompt injection data, MMLU and GSM8K questions, phrases of Pilotage",
            licence="MIT; Apache-2.0", trained_on=len(design),
        )  # fmt: skip
        SHIPPED.write_bytes(predictor.packed())


if __name__ == "__main__":
    main()
