"""Findings for people."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from pilotage_api.findings import Finding, Severity

_COLOUR = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """One finding a paragraph: where, what, the fix."""
    for finding in findings:
        source = f"({finding.source})" if finding.source else ""
        where = " ".join(str(part) for part in (finding.resource, finding.path, source) if part)
        colour = _COLOUR[finding.severity]
        console.print(
            f"[{colour}]{finding.severity.value}[/] {escape(where)}: {escape(finding.message)}",
            highlight=False,
            soft_wrap=True,
        )
        if finding.fix:
            console.print(f"      fix: {escape(finding.fix)}", highlight=False, soft_wrap=True)


def summary(findings: Iterable[Finding]) -> str:
    """Counts by severity."""
    found = list(findings)
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    warnings = sum(finding.severity is Severity.WARNING for finding in found)
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"


def counted(number: int, one: str, many: str = "") -> str:
    """A number and its noun: `1 pool`, `2 policies`; the plural by `s` where it is not given."""
    return f"{number} {one if number == 1 else many or one + 's'}"
