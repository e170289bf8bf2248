"""Recorded decisions as rows to be labelled: what was answered by which model, without any prompt text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def exported(
    explanations: Iterable[Mapping[str, Any]], labels: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A row for each settled decision: decision, model, features, tokens, and its label where one is given.

    Text is not recorded, so rows have no `prompt`: join them with your own by `decision` before you train.
    """
    for one in explanations:
        outcome = one.get("outcome")
        if not outcome or outcome.get("status") != 200:
            continue
        served = outcome.get("servedBy")
        attempts = one.get("attempts") or []
        model = next((at["model"] for at in attempts if at.get("address") == served), None)
        if model is None:
            continue
        decision = str(one.get("decision", ""))
        label = labels.get(decision, {})
        yield {
            "decision": decision,
            "model": model,
            "features": one.get("promptFeatures") or {},
            "tokens": (outcome.get("usage") or {}).get("outputTokens"),
            **{
                name: label[name] for name in ("correct", "score", "prompt", "group", "cost") if name in label
            },
        }
