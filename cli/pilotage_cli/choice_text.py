"""A choice by an objective as a person reads it."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_choice(console: Console, choice: dict[str, Any]) -> None:
    """Features read, candidates with their terms in their units, and what would have flipped it."""

    def say(label: str, text: str) -> None:
        console.print(f"{label:<9}{text}", highlight=False, markup=False)

    weights, references = choice["weights"], choice["references"]
    say(
        "objective",
        f" quality {weights['quality']:.2f}, cost {weights['cost']:.2f} per {references['usd']:g} USD, "
        f"latency {weights['latency']:.2f} per {references['seconds']:g} s",
    )
    say("features", _features(choice["features"]))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "model", "budget", "endpoint", "quality", "USD", "seconds", "worth", "bounds"):
        table.add_column(Text(heading), justify="left" if heading in ("model", "endpoint") else "right")
    for one in choice["candidates"]:
        table.add_row(*(Text(cell) for cell in _cells(one)))
    console.print(table)
    if choice["outputBudget"] is not None:
        say("budget", f"{choice['outputBudget']} tokens, by {choice['enforce']}")
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
    if features["lastModel"]:
        parts.append(f"conversation was with {features['lastModel']}")
    return ", ".join(parts)


def _cells(one: dict[str, Any]) -> list[str]:
    times = "no times known" if one["ttftSeconds"] is None else f"{one['learnedFrom']} answers"
    times = f"{times}, queue alone" if one["byQueueAlone"] else times
    return [
        "→" if one["chosen"] else "",
        one["model"],
        "-" if one["outputBudget"] is None else str(one["outputBudget"]),
        one["address"],
        f"{one['quality']:.3f}" + ("" if one["qualityKnown"] else " (unknown)"),
        f"{one['usd']:.3g}" + ("" if one["priced"] else " (unknown)"),
        f"{one['seconds']:.3g} ({times})",
        f"{one['worth']:.4f}",
        "kept" if one["keepsBounds"] else "broken",
    ]


def _flip(flip: dict[str, Any]) -> str:
    other = flip["chooses"]
    budget = "" if other["outputBudget"] is None else f" with {other['outputBudget']} tokens"
    whose = {"pick": " of the pick", "other": f" of {other['model']}", None: ""}[flip["of"]]
    return (
        f"{flip['change']}{whose} at {flip['to']:g} instead of {flip['from']:g} {flip['unit']} "
        f"would have chosen {other['model']}{budget} at {other['address']}"
    )
