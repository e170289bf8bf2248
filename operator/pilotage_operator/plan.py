"""`plan()`: what has to be written so that the cluster says and holds what is desired. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from pilotage_api.findings import ResourceKey
from pilotage_api.resource import OLDEST
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_operator.conditions import ACCEPTED, UNUSED_REASONS, Verdict, accepted, resolved
from pilotage_operator.desired import Desired
from pilotage_operator.programmed import Pickers, ProgrammedRule, endpoint_counts
from pilotage_operator.resource_revision import Form, Stored
from pilotage_operator.summary import summary

_MOST_SHOWN: Final = 100
_QUIET: Final = frozenset({"Pending", "NotAccepted", "LastGood", "NotUsed", "NoPickers"})
"""Reasons that are no news: a step on the way, or told by another condition."""

Status = Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Observed:
    """What the cluster holds and says now."""

    resources: Mapping[ResourceKey, Stored]
    published: str = ""
    """Version of the snapshot that is published; empty while nothing is."""
    kept: Mapping[ResourceKey, Form] = field(default_factory=dict)
    """The forms that are kept beside it."""
    pickers: Pickers = field(default_factory=Pickers)
    now: datetime = OLDEST
    silent: frozenset[ResourceKey] = frozenset()
    """Resources whose status is of a gateway that is gone, or does not look at them any more."""
    spending: Mapping[ResourceKey, Mapping[str, Any]] = field(default_factory=dict)
    """By tenant, fields of its status that say what was spent."""


@dataclass(slots=True, frozen=True)
class Told:
    """An Event to be written: something became wrong, or right again."""

    warning: bool
    reason: str
    note: str


@dataclass(slots=True, frozen=True)
class StatusWrite:
    """A status that differs from what the resource says."""

    stored: Stored
    status: Status
    """Whole, as it shall be."""
    events: tuple[Told, ...] = ()

    @property
    def key(self) -> ResourceKey:
        """The resource."""
        return self.stored.key

    def patch(self) -> dict[str, Any]:
        """A merge patch; it names the uid, so that it never reaches a later resource of that name."""
        gone = {name: None for name in self.stored.status if name not in self.status}
        return {"metadata": {"uid": self.stored.form.uid}, "status": {**self.status, **gone}}


@dataclass(slots=True, frozen=True)
class Plan:
    """What to write, in this order."""

    publish: RoutingSnapshot | None
    """The snapshot to publish; None where it is published already."""
    keep: Mapping[ResourceKey, Form] | None
    """Forms to keep beside the snapshot; None where those are kept already."""
    versions_in_use: frozenset[str]
    """Snapshots that pickers still run."""
    statuses: tuple[StatusWrite, ...]
    """Empty while there is something to publish."""


@dataclass(slots=True, frozen=True)
class Settled:
    """All that a status was made of which needed no write: the same makes the same again."""

    stored: Stored
    said_of: tuple[object, ...]
    says: Verdict
    more: tuple[object, ...]


def plan(
    desired: Desired, observed: Observed, gateway: str, settled: dict[ResourceKey, Settled] | None = None
) -> Plan:
    """The difference between what is desired and what is observed; `gateway` names the writer of statuses.

    Statuses come once everything is published: before that nothing can be said of it that stays true.
    `settled` is kept from plan to plan: it saves the time of those that have not changed, and nothing else.
    """
    snapshot = desired.snapshot
    publish = snapshot if snapshot.version != observed.published else None
    keep = desired.forms if dict(desired.forms) != dict(observed.kept) else None
    writes: list[StatusWrite] = []
    if publish is None and keep is None:
        rule = ProgrammedRule(observed.pickers, gateway)
        before = settled or {}
        now: dict[ResourceKey, Settled] = {}
        for key, stored in observed.resources.items():
            found = _status_write(key, stored, desired, rule, observed, gateway, before.get(key))
            if isinstance(found, Settled):
                now[key] = found
            elif found is not None:
                writes.append(found)
        if settled is not None:
            settled.clear()
            settled.update(now)
    in_use = frozenset(one.version for one in observed.pickers.live if one.version)
    return Plan(publish, keep, in_use, tuple(writes))


def _status_write(
    key: ResourceKey,
    stored: Stored,
    desired: Desired,
    rule: ProgrammedRule,
    observed: Observed,
    gateway: str,
    settled: Settled | None,
) -> StatusWrite | Settled | None:
    form, pickers = desired.forms.get(key), observed.pickers
    said_of = (desired.findings.get(key, ()), key in desired.refused, form)
    same = settled is not None and settled.stored is stored and settled.said_of == said_of
    says = settled.says if settled is not None and same else accepted(key, desired)
    programmed = rule.verdict(stored, form, says)
    counts = endpoint_counts(key, pickers.live) if key.kind == "ModelPool" else None
    spending, is_silent = observed.spending.get(key, {}), key in observed.silent
    more = (programmed, counts, pickers.missing, spending, is_silent)
    if settled is not None and same and settled.more == more:
        return settled
    if not is_silent and not _may_write(stored.status, says, gateway):
        return None
    verdicts = (says, resolved(key, desired), programmed)
    old = _conditions(stored.status)
    generation = stored.form.generation
    ours = stored.status.get("gateway") == gateway and says.reason not in UNUSED_REASONS
    columns = {**_columns(key, stored, counts, keep_counts=ours and not pickers.missing), **spending}
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "gateway": gateway,
        "conditions": [_condition(one, old.get(one.type), generation, observed.now) for one in verdicts],
        **summary(verdicts, columns),
        **columns,
    }
    if status == stored.status:
        return Settled(stored, said_of, says, more)
    events = tuple(told for one in verdicts if (told := _event(one, old.get(one.type))) is not None)
    return StatusWrite(stored, status, events)


def _may_write(status: Status, says: Verdict, gateway: str) -> bool:
    """Two gateways that watch one resource must not overwrite each other for ever.

    Who uses the resource comes before who does not, then the gateway whose name comes first. A writer that
    writes no more has no say: `Observed.silent`.
    """
    writer = status.get("gateway")
    if not isinstance(writer, str) or writer in ("", gateway):
        return True
    theirs = _conditions(status).get(ACCEPTED, {}).get("reason") in UNUSED_REASONS
    return (says.reason in UNUSED_REASONS, gateway) < (theirs, writer)


def _condition(verdict: Verdict, old: Status | None, generation: int, now: datetime) -> dict[str, Any]:
    since = None
    if old is not None and old.get("status") == verdict.status:
        since = old.get("lastTransitionTime")
    return {
        "type": verdict.type,
        "status": verdict.status,
        "observedGeneration": generation,
        "lastTransitionTime": since or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": verdict.reason,
        "message": verdict.message,
    }


def _conditions(status: Status) -> dict[str, Status]:
    found = status.get("conditions")
    if not isinstance(found, list):
        return {}
    return {str(one.get("type")): one for one in found if isinstance(one, dict)}


def _event(verdict: Verdict, old: Status | None) -> Told | None:
    before = old.get("status") if old is not None else None
    reason = old.get("reason") if old is not None else None
    if verdict.status == "False" and verdict.reason not in _QUIET:
        if before == "False" and reason == verdict.reason:
            return None
        return Told(True, verdict.reason, verdict.message)
    if verdict.status == "True" and before == "False" and reason not in _QUIET:
        return Told(False, verdict.reason, f"{verdict.type}: {verdict.message}")
    return None


def _columns(
    key: ResourceKey, stored: Stored, counts: tuple[int, int] | None, *, keep_counts: bool
) -> dict[str, Any]:
    """What `kubectl get` shows; `keep_counts` of a pool while no picker says any."""
    spec = orjson.loads(stored.form.spec)
    spec = spec if isinstance(spec, dict) else {}
    if key.kind == "RoutePolicy":
        rules = spec.get("rules")
        lists = (
            [one.get("candidates") for one in rules if isinstance(one, dict)]
            if isinstance(rules, list)
            else []
        )
        named = [one for found in lists if isinstance(found, list) for one in found]
        shown = _listed(named, "model")
        return {"candidates": shown} if shown else {}
    if key.kind == "Tenant":
        models = spec.get("models")
        blocks = [{"name": one} for one in models] if isinstance(models, list) else []
        return {"models": _listed(blocks, "name") or "*"}
    columns: dict[str, Any] = {}
    if shown := _listed(spec.get("models"), "name"):
        columns["models"] = shown
    if counts is not None:
        columns["endpoints"] = {"ready": counts[0], "total": counts[1]}
        columns["endpointsReady"] = f"{counts[0]}/{counts[1]}"
    elif keep_counts:
        # nobody says anything for a moment: what was said last stays
        columns |= {
            name: stored.status[name] for name in ("endpoints", "endpointsReady") if name in stored.status
        }
    return columns


def _listed(blocks: Any, field_name: str) -> str:
    """Names in a list of blocks, as one short text."""
    items = blocks if isinstance(blocks, list) else []
    found = (str(one[field_name]) for one in items if isinstance(one, dict) and field_name in one)
    names = list(dict.fromkeys(found))
    shown = ""
    for index, name in enumerate(names):
        text = f"{shown},{name}" if shown else name
        if len(text) > _MOST_SHOWN and shown:
            return f"{shown},+{len(names) - index}"
        shown = text
    return shown if len(shown) <= 250 else f"{shown[:249]}…"
