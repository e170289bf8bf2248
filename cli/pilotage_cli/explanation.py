"""An explanation as a person reads it."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_explanation(console: Console, explanation: dict[str, Any]) -> None:
    """Request, route, candidates with their terms, the pick and its margin, the outcome."""
    refused = explanation.get("refused")
    if refused is not None:
        console.print(f"refused: {refused['status']} {refused['code']}: {refused['message']}", markup=False)
        return
    request = explanation["request"]
    console.print(
        f"decision {explanation['decision']} by process {explanation['process']} at "
        f"{explanation['decidedAt']}, snapshot {explanation['snapshot']}",
        highlight=False,
        markup=False,
    )
    stream = "streamed" if request["stream"] else "unstreamed"
    console.print(
        f"request  {request['kind']} for {request['model']!r}, {stream}, {request['bodyBytes']} bytes",
        highlight=False,
        markup=False,
    )
    policy = explanation["policy"]
    tokens = request["promptTokens"]
    if tokens:
        cached = explanation["cachedTokens"]
        console.print(
            f"prompt   about {tokens} tokens, about {cached} of them expected in the pick's prefix cache",
            highlight=False,
        )
    route = (
        f"policy {policy}, rule {explanation['rule']}" if policy else "no policy: pools that serve the name"
    )
    console.print(f"route    {route}", highlight=False, markup=False)
    for step in explanation["skipped"]:
        console.print(f"skipped  {step}", highlight=False, markup=False)
    console.print(_candidates(explanation))
    _print_pick(console, explanation)
    _print_outcome(console, explanation["outcome"])


def _candidates(explanation: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_lines=False)
    for heading in ("try", "endpoint", "pool", "model", "score"):
        table.add_column(heading, justify="right" if heading in ("try", "score") else "left")
    scorers = explanation["scorers"]
    for scorer in scorers:
        table.add_column(f"{scorer['name']}\n{scorer['unit']}, weight {scorer['weight']:g}", justify="right")
    table.add_column("metrics age", justify="right")
    table.add_column("dropped because")
    for one in explanation["candidates"]:
        age = one["metricsAgeSeconds"]
        table.add_row(
            str(one["attempt"] or ""),
            one["address"],
            one["pool"],
            one["model"],
            f"{one['score']:.3f}",
            *(_term(one, scorer["name"]) for scorer in scorers),
            "never" if age is None else f"{age * 1000:.0f} ms",
            ", ".join(one["dropped"]),
        )
    return table


def _print_pick(console: Console, explanation: dict[str, Any]) -> None:
    first = explanation["attempts"][0]
    runner_up = explanation["runnerUp"]
    if runner_up is None:
        margin = "no other candidate of this model"
    elif runner_up["tie"]:
        margin = f"a near-tie with {runner_up['address']}, decided by chance"
    else:
        margin = f"{runner_up['margin']:+.3f} ahead of {runner_up['address']}"
    console.print(f"pick     {first['address']} ({first['model']}): {margin}", highlight=False, markup=False)


def _print_outcome(console: Console, outcome: dict[str, Any] | None) -> None:
    if outcome is None:
        console.print("outcome  not known (yet)", highlight=False)
        return
    usage = outcome["usage"]
    console.print(
        f"outcome  {outcome['status']} from {outcome['servedBy']} on attempt {outcome['attempts']}, "
        f"first token after {_seconds(outcome['ttftSeconds'])}, all after "
        f"{_seconds(outcome['durationSeconds'])}, tokens {_count(usage['inputTokens'])} in "
        f"({_count(usage['cachedInputTokens'])} cached), {_count(usage['outputTokens'])} out",
        highlight=False,
        markup=False,
    )


def _term(candidate: dict[str, Any], name: str) -> str:
    """What was measured, and the points it brought."""
    value, points = candidate["terms"].get(name), candidate["points"].get(name)
    if value is None:
        return "unknown"
    measured = f"{value:.0f}" if value >= 10 else f"{value:.3g}"
    return measured if points is None else f"{measured} → {points:.3f}"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value * 1000:.0f} ms"


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)
