"""Conditions out of findings: what a person can act on, in few words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_operator.desired import Desired

Status = Literal["True", "False", "Unknown"]
_MOST_FINDINGS = 4
_MOST_TEXT = 1024

ACCEPTED: Final = "Accepted"
RESOLVED: Final = "ResolvedRefs"
PROGRAMMED: Final = "Programmed"

UNUSED_REASONS: Final = frozenset({"NotObeyed", "NotUsed"})
"""Of Accepted: nothing of the resource reaches this gateway."""

_NOT_ACCEPTED: Final = {
    "not-obeyed": "NotObeyed",
    "pool-not-used": "NotUsed",
    "name-conflict": "NameConflict",
    "shadowed": "Shadowed",
}
_UNRESOLVED: Final = {
    "no-candidates": "NoCandidates",
    "pool-not-visible": "PoolNotVisible",
    "no-such-model": "NoSuchModel",
    "no-such-pool": "NoSuchPool",
    "no-endpoints": "NoEndpoints",
}
_SAID_OTHERWISE: Final = frozenset({"last-good"})


@dataclass(slots=True, frozen=True)
class Verdict:
    """A condition, before anyone asks when it came to be."""

    type: str
    status: Status
    reason: str
    message: str


def accepted(key: ResourceKey, desired: Desired) -> Verdict:
    """Whether the resource takes effect as written."""
    findings = [one for one in desired.findings.get(key, ()) if one.code not in _SAID_OTHERWISE]
    if key in desired.refused:
        errors = [one for one in findings if one.severity is Severity.ERROR]
        kept = desired.forms.get(key)
        effect = (
            f"generation {kept.generation} stays in force"
            if kept is not None
            else "nothing of it is in force"
        )
        return Verdict(ACCEPTED, "False", "Invalid", f"{_told(errors)} ({effect})")
    for code, reason in _NOT_ACCEPTED.items():
        found = [one for one in findings if one.code == code]
        if found:
            return Verdict(ACCEPTED, "False", reason, _told(found))
    known = _NOT_ACCEPTED.keys() | _UNRESOLVED.keys()
    errors = [one for one in findings if one.severity is Severity.ERROR and one.code not in known]
    if errors:
        return Verdict(ACCEPTED, "False", _camel(errors[0].code), _told(errors))
    remarks = [one for one in findings if one.severity is Severity.WARNING and one.code not in known]
    if remarks:
        return Verdict(ACCEPTED, "True", "AcceptedWithWarnings", _told(remarks))
    return Verdict(ACCEPTED, "True", "Accepted", "takes effect as written")


def resolved(key: ResourceKey, desired: Desired) -> Verdict:
    """Whether everything it names is there."""
    if key not in desired.forms:
        return Verdict(RESOLVED, "Unknown", "Invalid", "not looked at: the resource is not valid")
    findings = desired.findings.get(key, ())
    found = [one for one in findings if one.code in _UNRESOLVED]
    if not found:
        return Verdict(RESOLVED, "True", "ResolvedRefs", "everything it names is there")
    reason = next(_UNRESOLVED[code] for code in _UNRESOLVED if any(one.code == code for one in found))
    return Verdict(RESOLVED, "False", reason, _told(found))


def _told(findings: Iterable[Finding]) -> str:
    texts = list(dict.fromkeys(_text(one) for one in findings))
    told = " | ".join(texts[:_MOST_FINDINGS])
    if len(texts) > _MOST_FINDINGS:
        told += f" | and {len(texts) - _MOST_FINDINGS} more"
    return told if len(told) <= _MOST_TEXT else f"{told[: _MOST_TEXT - 1]}…"


def _text(finding: Finding) -> str:
    place = f"{finding.path}: " if finding.path else ""
    fix = f"; {finding.fix}" if finding.fix else ""
    return f"{place}{finding.message}{fix}"


def _camel(code: str) -> str:
    return "".join(part.capitalize() for part in code.split("-"))
