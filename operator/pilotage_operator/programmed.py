"""Whether pickers follow a resource: pure, from what they report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pilotage_api.findings import ResourceKey
from pilotage_kube.replica_report import ReplicaReport
from pilotage_operator.conditions import PROGRAMMED, UNUSED_REASONS, Verdict
from pilotage_operator.older_pickers import is_older
from pilotage_operator.published_generations import Generations
from pilotage_operator.resource_revision import Form, Stored

_PROGRAMMED: Final = Verdict(PROGRAMMED, "True", "Programmed", "every ready picker follows this generation")


@dataclass(slots=True, frozen=True)
class Pickers:
    """All that is known of the pickers of this gateway."""

    live: tuple[ReplicaReport, ...] = ()
    """Those that report."""
    late: frozenset[str] = frozenset()
    """Names of those that have not followed what is published for a while."""
    missing: bool = False
    """None has been alive and ready for a while."""
    runs: Mapping[str, Generations] = field(default_factory=dict)
    """By snapshot version, what it holds."""
    older_keep: str = ""
    """Why pickers of the version before keep what they ran; empty where they do not."""

    @property
    def ready(self) -> tuple[ReplicaReport, ...]:
        """Those that count: they take requests."""
        return tuple(one for one in self.live if one.ready)


class ProgrammedRule:
    """Finds the Programmed condition of one resource after another; knows the pickers once."""

    def __init__(self, pickers: Pickers, gateway: str) -> None:
        self._pickers = pickers
        self._gateway = gateway
        self._ready = [(one, pickers.runs.get(one.version, {})) for one in pickers.ready]
        self._refusals: dict[str, list[tuple[ReplicaReport, str]]] = {}
        for one in pickers.ready:
            for refusal in one.refusals:
                said = f"{one.replica}: {refusal.reason}: {refusal.message}"
                self._refusals.setdefault(refusal.resource, []).append((one, said))

    def verdict(self, stored: Stored, form: Form | None, accepted: Verdict) -> Verdict:
        """Programmed, for the resource as it stands and the form of it that is in force."""
        if form is None:
            return _false("NotAccepted", "nothing of it is in force; see Accepted")
        if accepted.reason in UNUSED_REASONS:
            return _false("NotUsed", "nothing of it reaches this gateway; see Accepted")
        if form != stored.form:
            return _false("LastGood", f"generation {form.generation} stays in force; see Accepted")
        return self._followed(stored) if self._ready else self._nobody(stored)

    def _followed(self, stored: Stored) -> Verdict:
        key, now = stored.key, stored.form
        refusals = self._refusals.get(str(key))
        if refusals:
            more = f" (and {len(refusals) - 1} more pickers)" if len(refusals) > 1 else ""
            return _false("RefusedByPicker", refusals[0][1] + more)
        behind = [one for one, holds in self._ready if holds.get(key) != now.identity]
        if not behind:
            return _PROGRAMMED
        if self._pickers.older_keep and (older := [one for one in behind if is_older(one)]):
            more = f" (and {len(older) - 1} more)" if len(older) > 1 else ""
            return _false(
                "PickerOlder",
                f"picker {older[0].replica}{more} is of the version before and {self._pickers.older_keep}: "
                "it keeps all that it ran last; finish the upgrade",
            )
        late = [one for one in behind if one.replica in self._pickers.late]
        if late:
            why = late[0].problem or f"it runs snapshot {late[0].version or 'none'}"
            more = f" (and {len(late) - 1} more)" if len(late) > 1 else ""
            return _false("PickerLate", f"picker {late[0].replica}{more} does not follow: {why}")
        return _false("Pending", "published; not every picker follows it yet")

    def _nobody(self, stored: Stored) -> Verdict:
        if self._pickers.missing:
            message = "no picker is alive and ready: look at the pods of extproc"
            return Verdict(PROGRAMMED, "Unknown", "NoPickers", message)
        if self._was_programmed(stored):
            # between two pickers, as in a restart of the only one: nothing has become untrue yet
            return _PROGRAMMED
        return _false("Pending", "published; no picker follows it yet")

    def _was_programmed(self, stored: Stored) -> bool:
        conditions = stored.status.get("conditions")
        return stored.status.get("gateway") == self._gateway and any(
            isinstance(one, dict)
            and one.get("type") == PROGRAMMED
            and one.get("status") == "True"
            and one.get("observedGeneration") == stored.form.generation
            for one in (conditions if isinstance(conditions, list) else ())
        )


def endpoint_counts(key: ResourceKey, live: tuple[ReplicaReport, ...]) -> tuple[int, int] | None:
    """Ready and all endpoints of a pool: what the picker that sees most says; None where none says."""
    said = [one.pools[key.key] for one in live if key.key in one.pools]
    if not said:
        return None
    best = max(said, key=lambda count: (count.ready, count.total))
    return best.ready, best.total


def _false(reason: str, message: str) -> Verdict:
    return Verdict(PROGRAMMED, "False", reason, message)
