"""Recorded answers as JSON lines: one object for each answer of a model to a prompt.

`prompt` (text), `model`, and `correct` (true or false) or `score` (0 to 1); also `tokens` (of the answer),
`cost` (dollars, a decimal as text or number) and `group` (a subject or data set).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from pilotage_cli.evaluation.answers import Answers
from pilotage_cli.failure import CommandError

_KNOWN: Final = frozenset(
    {"prompt", "model", "correct", "score", "tokens", "cost", "group", "decision", "features"}
)


_FEWEST: Final = 20
"""Prompts: fewer say nothing, in folds least of all."""


@dataclass(slots=True, frozen=True)
class Row:
    """One answer."""

    prompt: str
    model: str
    score: float
    tokens: int | None
    cost: Decimal | None
    group: str


def read_rows(path: Path) -> list[Row]:
    """All answers of a file. Raises CommandError that names line, field and fix."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(orjson.loads(line)))
        except ValueError as error:
            told = (
                "is no JSON: write one object a line" if isinstance(error, orjson.JSONDecodeError) else error
            )
            raise CommandError(f"{path}:{number}: {told}") from None
    if not rows:
        raise CommandError(f"{path}: has no answers")
    return rows


def paired(rows: Iterable[Row], weak: str, strong: str) -> Answers:
    """The prompts that both models answered; the last answer of each counts. Raises CommandError."""
    if weak == strong:
        raise CommandError(f"--weak and --strong are both {weak!r}: name two models")
    of: dict[str, dict[str, Row]] = {weak: {}, strong: {}}
    models = set()
    for row in rows:
        models.add(row.model)
        if row.model in of:
            of[row.model][row.prompt] = row
    for name, found in of.items():
        if not found:
            raise CommandError(f"no answers of {name!r}: the file has those of {', '.join(sorted(models))}")
    prompts = [prompt for prompt in of[weak] if prompt in of[strong]]
    if len(prompts) < _FEWEST:
        raise CommandError(
            f"{weak!r} and {strong!r} answered {len(prompts)} prompts in common:"
            f" at least {_FEWEST} are needed, and a few hundred to learn from"
        )
    pairs = [(of[weak][prompt], of[strong][prompt]) for prompt in prompts]
    unit, costs = _costs(pairs)
    return Answers(
        tuple(prompts),
        tuple(one.group for one, _ in pairs),
        np.array([one.score for one, _ in pairs]),
        np.array([other.score for _, other in pairs]),
        weak,
        strong,
        costs[:, 0],
        costs[:, 1],
        unit,
    )


def _costs(pairs: list[tuple[Row, Row]]) -> tuple[str, Any]:
    """Dollars where every answer has them, else tokens, else calls of the strong model."""
    if all(one.cost is not None for pair in pairs for one in pair):
        return "usd", np.array([[float(one.cost or 0) for one in pair] for pair in pairs])
    if all(one.tokens is not None for pair in pairs for one in pair):
        return "tokens", np.array([[float(one.tokens or 0) for one in pair] for pair in pairs])
    return "calls", np.tile([0.0, 1.0], (len(pairs), 1))


def _row(value: Any) -> Row:
    """Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("is no object")
    unknown = sorted(value.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}: known are {', '.join(sorted(_KNOWN))}")
    prompt, model, group = value.get("prompt"), value.get("model"), value.get("group")
    if not isinstance(prompt, str):
        raise ValueError("`prompt` is no text: exports of decisions have none, join them with your prompts")
    if not isinstance(model, str) or not model:
        raise ValueError("`model` is no text: name the model that answered")
    return Row(
        prompt,
        model,
        _score(value),
        _whole(value.get("tokens")),
        _dollars(value.get("cost")),
        group if isinstance(group, str) else "",
    )


def _score(value: dict[str, Any]) -> float:
    correct, score = value.get("correct"), value.get("score")
    if isinstance(correct, bool) and score is None:
        return float(correct)
    if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1 and correct is None:
        return float(score)
    raise ValueError("has not one of `correct` (true or false) and `score` (0 to 1)")


def _whole(tokens: Any) -> int | None:
    if tokens is None or (isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0):
        return tokens
    raise ValueError("`tokens` is no integer from 0")


def _dollars(cost: Any) -> Decimal | None:
    if cost is None:
        return None
    try:
        dollars = Decimal(str(cost)) if isinstance(cost, str | int | float) else Decimal("NaN")
    except InvalidOperation:
        dollars = Decimal("NaN")
    if not dollars.is_finite() or dollars < 0:
        raise ValueError('`cost` is no amount of dollars: write a decimal such as "0.0012"')
    return dollars
