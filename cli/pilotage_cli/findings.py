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
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
