"""A choice by an objective as a person reads it."""

from typing import Any

from rich.console import Console


def print_choice(console: Console, choice: dict[str, Any]) -> None:
    """Features read, candidates with their terms in their units, and what would have flipped it."""

    def say(label: str, text: str) -> None:
        console.print(f"{label:<9}{text}", highlight=False, markup=False)

    say("objective", f" {_weights(choice['weights'], choice['references'])}")
    say("features", _features(choice["features"]))
    for one in choice["candidates"]:
        where = f"{one['model']} at {one['address']}"
        budget = "" if one["outputBudget"] is None else f", {one['outputBudget']} tokens"
        say("→ chosen" if one["chosen"] else "  or", f"{where}{budget}")
        say("", _terms(one))
    if choice["outputBudget"] is not None:
        say("budget", f"{choice['outputBudget']} tokens, by {choice['enforce']}")
    for one in choice["attempts"][1:]:
        if one["outputBudget"] != choice["outputBudget"]:
            own = "none" if one["outputBudget"] is None else f"{one['outputBudget']} tokens"
            say("", f"a later attempt at {one['model']} at {one['address']}: {own}")
    if choice["held"]:
        say("held", f"the conversation stays with its model: {choice['held']}")
    if not choice["withinBounds"]:
        say("bounds", "no candidate keeps floor and ceilings: the best of all was taken")
    flip = choice["counterfactual"]
    say("flips", "nothing alone would have chosen another" if flip is None else _flip(flip))


def _features(features: dict[str, Any]) -> str:
    gain = features["strongGain"]
    parts = [
        f"about {features['promptTokens']} prompt tokens",
        "no output limit" if features["outputLimit"] is None else f"output limit {features['outputLimit']}",
        f"domain {features['domain'] or 'unknown'}",
        "strongGain unknown: priors are used"
        if gain is None
        else f"strongGain {gain['value']:+.2f} (confidence {gain['confidence']:.2f})",
    ]
    if features["answers"] > 1:
        parts.insert(1, f"{features['answers']} answers")
    if features["lastModel"]:
        parts.append(f"conversation was with {features['lastModel']}")
    return ", ".join(parts)


def _weights(weights: dict[str, float], references: dict[str, float]) -> str:
    parts = [f"quality {weights['quality']:.2f}"]
    for term, reference, unit in (("cost", "usd", "USD"), ("latency", "seconds", "s")):
        against = f" per {references[reference]:g} {unit}" if weights[term] else ""
        parts.append(f"{term} {weights[term]:.2f}{against}")
    return ", ".join(parts)


def _terms(one: dict[str, Any]) -> str:
    if one["ttftSeconds"] is None:
        time = f"time unknown, taken as {one['seconds']:.3g} s"
    else:
        learned = f"from {one['learnedFrom']} answers{', by the queue alone' if one['byQueueAlone'] else ''}"
        time = f"{one['seconds']:.3g} s (first token {one['ttftSeconds']:.3g} s, {learned})"
    return ", ".join(
        [
            f"quality {one['quality']:.3f}" + ("" if one["qualityKnown"] else " (unknown)"),
            f"{one['usd']:.3g} USD" + ("" if one["priced"] else " (unknown)"),
            time,
            f"worth {one['worth']:.4f}",
            f"bounds {'kept' if one['keepsBounds'] else 'broken'}",
        ]
    )


def _flip(flip: dict[str, Any]) -> str:
    other = flip["chooses"]
    budget = "" if other["outputBudget"] is None else f" with {other['outputBudget']} tokens"
    whose = {"pick": " of the pick", "other": f" of {other['model']}", None: ""}[flip["of"]]
    return (
        f"{flip['change']}{whose} at {flip['to']:g} instead of {flip['from']:g} {flip['unit']} "
        f"would have chosen {other['model']}{budget} at {other['address']}"
    )
