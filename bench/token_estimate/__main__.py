"""Errors of the token estimate by group and vocabulary, and its time: a table and JSON.

python -m bench.token_estimate --routellm FOLDER [--fit] [--out FILE]

`FOLDER` is RouteLLM's evaluation data: `gsm8k_responses.csv` and `mmlu/`. With `--fit` the weights are fitted
first and written to the module that holds them. Packages: requirements.txt beside this file, with --no-deps.
"""

import argparse
import base64
import importlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.token_estimate.corpora import REPOSITORY, SEED, Group, all_groups
from bench.token_estimate.fit import Matrix, Samples, fit
from pilotage_extproc.domain.token_estimate import estimate_tokens

FITTED: Final = ("o200k_base", "llama3", "qwen3")
VOCABULARIES: Final = (*FITTED, "cl100k_base")
WEIGHTS_OF_A_TOKEN: Final = 100
MODULE: Final = REPOSITORY / "extproc/pilotage_extproc/domain/token_weights.py"
MACHINE: Final = frozenset({"identifiers", "hexadecimal", "base64", "numbers", "logs"})


def counts(texts: tuple[str, ...]) -> Matrix:
    """Exact tokens: a row for each text, a column for each vocabulary."""
    quicktok: Any = importlib.import_module("quicktok")  # no requirement of the package
    columns = [quicktok.count_batch(quicktok.get_encoding(name), list(texts)) for name in VOCABULARIES]
    return np.array(columns, dtype=np.float64).T


def write_weights(groups: list[Group]) -> None:
    """Fit on the groups that are not held out, and write the module of weights."""
    fitted = [group for group in groups if not group.held]
    texts = [text for group in fitted for text in group.texts]
    tokens = np.concatenate([counts(group.texts)[:, : len(FITTED)].mean(axis=1) for group in fitted])
    weights = fit(Samples.of(texts, tokens, [group.name for group in fitted for _ in group.texts]))
    weights[:, 0] = 1.0  # a control character: in no text
    packed = base64.b85encode(
        np.clip(np.round(weights * WEIGHTS_OF_A_TOKEN), 0, 255).astype(np.uint8).tobytes()
    )
    lines = [packed[start : start + 100].decode() for start in range(0, len(packed), 100)]
    MODULE.write_text(
        '"""Tokens of pairs of byte classes; written by `python -m bench.token_estimate --fit`."""\n\n'
        "from typing import Final\n\n"
        f"WEIGHTS_OF_A_TOKEN: Final = {WEIGHTS_OF_A_TOKEN}\n"
        "WEIGHTS: Final = (\n" + "".join(f'    "{line}"\n' for line in lines) + ")\n"
        '"""A byte a pair, in base 85, row by row of the first class."""\n'
    )


def kind_of(group: str) -> str:
    """The row of the table a group belongs to."""
    if group.startswith("language"):
        return "other languages"
    return "machine-made" if group in MACHINE else group


def errors(groups: list[Group]) -> dict[str, Any]:
    """By kind, of the texts held out: mean and 95th percentile of relative errors, in percent."""
    kinds: dict[str, list[tuple[Matrix, Matrix, Matrix]]] = {}
    for group in groups:
        if group.held and group.texts:
            estimates = np.array([estimate_tokens(text.encode()) for text in group.texts], dtype=np.float64)
            sizes = np.array([len(text.encode()) for text in group.texts], dtype=np.float64)
            found = (estimates, sizes, counts(group.texts))
            kind = kind_of(group.name)
            for name in (kind, "all") if kind == "other languages" else (kind, "all but languages", "all"):
                kinds.setdefault(name, []).append(found)
    return {kind: _errors(found) for kind, found in kinds.items()}


def _errors(found: list[tuple[Matrix, Matrix, Matrix]]) -> dict[str, Any]:
    estimates, sizes, exact = (np.concatenate(column) for column in zip(*found, strict=True))
    mean = exact[:, : len(FITTED)].mean(axis=1)
    return {
        "texts": len(sizes),
        "bias": round(float((estimates / mean - 1).mean() * 100), 1),
        "mean of three": _summary(estimates, mean),
        **{name: _summary(estimates, exact[:, index]) for index, name in enumerate(VOCABULARIES)},
        "bytes/4": _summary(sizes / 4, mean),
    }


def _summary(estimates: Matrix, exact: Matrix) -> list[float]:
    off: npt.NDArray[np.float64] = np.abs(estimates / exact - 1) * 100
    return [round(float(off.mean()), 1), round(float(np.quantile(off, 0.95)), 1)]


def long_texts(groups: list[Group]) -> dict[str, Any]:
    """Time by size; and how far a long text's estimate is off, which is read in part."""
    dice = random.Random(SEED)
    pieces = [
        text
        for group in groups
        if group.held and not group.name.startswith("language")
        for text in group.texts
    ]
    figures: dict[str, Any] = {}
    for size in (2_000, 32_000, 220_000, 1_000_000):
        taken, off = [], []
        for _ in range(20):
            mixed = "\x1e".join(dice.choices(pieces, k=size // 500 + 5)).encode()[:size]
            text = mixed.decode("utf-8", "ignore")
            for _ in range(10):
                begun = time.perf_counter()
                estimate = estimate_tokens(mixed)
                taken.append((time.perf_counter() - begun) * 1e6)
            exact = counts((text,))[:, : len(FITTED)].mean()
            off.append(abs(estimate / exact - 1) * 100)
        figures[str(size)] = {
            "microseconds": round(float(np.median(taken)), 1),
            "mean error": round(float(np.mean(off)), 1),
            "largest error": round(float(max(off)), 1),
        }
    return figures


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    table = Table("texts held out", "number", "bias", "mean of three", *VOCABULARIES, "bytes/4")
    for kind, row in found["errors"].items():
        pairs = [row[name] for name in ("mean of three", *VOCABULARIES, "bytes/4")]
        table.add_row(
            kind, str(row["texts"]), f"{row['bias']:+}", *(f"{mean} / {most}" for mean, most in pairs)
        )
    Console(width=160).print(table, found["sizes"])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.token_estimate")
    parser.add_argument("--routellm", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    groups = all_groups(given.routellm)
    if given.fit:
        write_weights(groups)
        again = [argument for argument in sys.argv[1:] if argument != "--fit"]
        sys.exit(subprocess.call([sys.executable, "-m", "bench.token_estimate", *again]))
    found = {"seed": SEED, "errors": errors(groups), "sizes": long_texts(groups)}
    show(found)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
