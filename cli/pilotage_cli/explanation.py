"""An explanation as a person reads it."""

from collections.abc import Iterable
from textwrap import wrap
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pilotage_cli.choice_text import print_choice
from pilotage_cli.explained_attempts import attempt_lines
from pilotage_extproc.domain.providers import is_provider

_INDENT: Final = " " * 9
_UNBROKEN: Final = "\xa0"
_NARROWEST: Final = 40
_NAMES: Final = ("try", "endpoint", "pool", "model")
_GAP: Final = 2


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
    tokens = request["promptTokens"]
    if tokens:
        cached = explanation["cachedTokens"]
        console.print(
            f"prompt   about {tokens} tokens, about {cached} of them expected in the pick's prefix cache",
            highlight=False,
        )
    console.print(f"route    {_route(explanation)}", highlight=False, markup=False)
    for trial in explanation["rulesTried"]:
        console.print(f"tried    {_trial(trial)}", highlight=False, markup=False)
    read = [f"{name.removeprefix('prompt.')} {_read(value)}" for name, value in _prompt_features(explanation)]
    if read:
        console.print(f"prompt   {', '.join(read)}", highlight=False, markup=False)
    _print_content(console, "content ", explanation.get("content"))
    for step in explanation["skipped"]:
        console.print(f"skipped  {step}", highlight=False, markup=False)
    choice = explanation.get("choice")
    if choice is not None:
        print_choice(console, choice)
    headings, rows = _cells(explanation)
    if _width(headings, rows) <= console.width:
        console.print(_table(headings, rows))
    else:  # a name that is cut is no name
        _print_candidates(console, explanation)
    _print_pick(console, explanation)
    for line in attempt_lines(explanation):
        console.print(line, highlight=False, markup=False)
    _print_outcome(console, explanation["outcome"], given_up=explanation.get("givenUp", False))


def _prompt_features(explanation: dict[str, Any]) -> list[tuple[str, Any]]:
    """What rules read of the prompt; pickers of the version before do not say."""
    return list(explanation.get("promptFeatures", {}).items())


def _read(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(name.rpartition("/")[2] for name in value) or "none"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _route(explanation: dict[str, Any]) -> str:
    """By what the request got its candidates."""
    request = explanation["request"]
    if explanation["policy"]:
        return f"policy {explanation['policy']}, rule {explanation['rule']}"
    if request["kind"] == "response_object":
        return "the server that holds the response"
    if request["model"]:
        return "no policy: pools that serve the name"
    setting = "otherPaths" if request["kind"] == "other" else "otherBodies"
    return f"setting {setting}: forwarded unread to {explanation['attempts'][0]['pool']}"


def _trial(trial: dict[str, Any]) -> str:
    """One rule that was tried: whether it holds, and why not where its value does not say."""
    verdict = "holds" if trial["holds"] else "does not hold"
    reason = f" ({trial['reason']})" if trial["reason"] else ""
    return f"policy {trial['policy']}, rule {trial['rule']}: {verdict}{reason}"


def _cells(explanation: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    scorers = explanation["scorers"]
    terms = [f"{scorer['name']}\n{_meaning(scorer)}" for scorer in scorers]
    headings = [*_NAMES, "score", *terms, "metrics age", "dropped because"]
    rows = [
        [
            str(one["attempt"] or ""),
            one["address"],
            one["pool"],
            one["model"],
            f"{one['score']:.3f}",
            *(_term(one, scorer["name"]) for scorer in scorers),
            _age(one),
            ", ".join(one["dropped"]),
        ]
        for one in explanation["candidates"]
    ]
    return headings, rows


def _width(headings: list[str], rows: list[list[str]]) -> int:
    widths = [max(len(line) for line in heading.split("\n")) for heading in headings]
    for row in rows:
        widths = [max(width, len(cell)) for width, cell in zip(widths, row, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1)


def _table(headings: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for heading in headings:
        left = heading in (*_NAMES[1:], headings[-1])
        table.add_column(Text(heading), justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _print_candidates(console: Console, explanation: dict[str, Any]) -> None:
    """The same one below the other, for a narrow console; lines break between figures only."""

    def say(first: str, parts: Iterable[str], separator: str = ", ") -> None:
        lines = wrap(
            separator.join(part.replace(" ", _UNBROKEN) for part in parts),
            max(console.width, _NARROWEST),
            initial_indent=first,
            subsequent_indent=_INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines:
            console.print(line.replace(_UNBROKEN, " "), highlight=False, markup=False, soft_wrap=True)

    scorers = explanation["scorers"]
    say("scorers  ", (f"{one['name']}: {_meaning(one)}" for one in scorers), "; ")
    for one in explanation["candidates"]:
        attempt = f"try {one['attempt']}" if one["attempt"] else "-"
        told = (one["address"], one["pool"], one["model"], f"score {one['score']:.3f}", _metrics(one))
        say(f"{attempt:<9}", told)
        say(_INDENT, (f"{scorer['name']} {_term(one, scorer['name'])}" for scorer in scorers))
        if one["dropped"]:
            say(_INDENT, (f"dropped because {', '.join(one['dropped'])}",))


def _meaning(scorer: dict[str, Any]) -> str:
    return f"{scorer['unit']}, weight {scorer['weight']:g}"


def _metrics(candidate: dict[str, Any]) -> str:
    if is_provider(candidate["address"]):
        return "has no metrics"
    return (
        "metrics never read" if candidate["metricsAgeSeconds"] is None else f"metrics {_age(candidate)} old"
    )


def _age(candidate: dict[str, Any]) -> str:
    if is_provider(candidate["address"]):
        return "none"
    age = candidate["metricsAgeSeconds"]
    return "never" if age is None else f"{age * 1000:.0f} ms"


def _print_pick(console: Console, explanation: dict[str, Any]) -> None:
    first = explanation["attempts"][0]
    runner_up = explanation["runnerUp"]
    if explanation.get("choice") is not None:
        margin = "the best by the rule's objective"
    elif runner_up is None:
        margin = "no other candidate of this model"
    elif runner_up["tie"]:
        margin = f"a near-tie with {runner_up['address']}, decided by chance"
    elif runner_up["margin"] < 0:
        margin = f"picked though {runner_up['address']} scores {-runner_up['margin']:.3f} more"
    else:
        margin = f"{runner_up['margin']:.3f} ahead of {runner_up['address']}"
    console.print(f"pick     {first['address']} ({first['model']}): {margin}", highlight=False, markup=False)


def _print_outcome(console: Console, outcome: dict[str, Any] | None, *, given_up: bool) -> None:
    if outcome is None:
        given = "not reported; no longer counted as in flight: its engine has fewer requests, or it expired"
        console.print(f"outcome  {given if given_up else 'not known (yet)'}", highlight=False)
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
    ended_at = outcome.get("endedAtAllowance")
    if ended_at is not None:
        why = "the server went past what its hard budget held"
        console.print(f"ended    by Envoy after {ended_at} pieces of output: {why}", highlight=False)
    notes = outcome.get("translation")  # a picker of the version before tells none
    if notes:
        console.print(f"translated, without  {'; '.join(notes)}", highlight=False, markup=False)
    _print_content(console, "answer  ", outcome.get("content"))


def _print_content(console: Console, where: str, found: list[dict[str, Any]] | None) -> None:
    """What rules on content found and did; never values."""
    if found:
        said = ", ".join(f"{one['detector']}: {one['action']} ({one['count']})" for one in found)
        console.print(f"{where} {said}", highlight=False, markup=False)


def _term(candidate: dict[str, Any], name: str) -> str:
    """What was measured, and the points it brought."""
    value, points = candidate["terms"].get(name), candidate["points"].get(name)
    measured = "unknown" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.3g}"
    return measured if points is None else f"{measured} → {points:.3f}"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value * 1000:.0f} ms"


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)
