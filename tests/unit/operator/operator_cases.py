"""Resources as the API server holds them, and ways to compile and plan them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from pilotage_api.findings import ResourceKey
from pilotage_api.previous_snapshot import READABLE_FORMATS
from pilotage_api.settings import GatewaySettings
from pilotage_kube.replica_report import PoolCount, Refusal, ReplicaReport
from pilotage_operator.desired import Compiler, Desired
from pilotage_operator.plan import Observed, Plan, Settled, plan
from pilotage_operator.programmed import Pickers
from pilotage_operator.published_generations import Ledger
from pilotage_operator.resource_revision import Form, Stored

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GATEWAY = "default/pilotage-snapshot"
SETTINGS = GatewaySettings()


def pool(name: str = "small", *models: str, generation: int = 1, uid: str = "", **spec: Any) -> Form:
    """A pool of one server."""
    whole = {
        "endpoints": [{"address": "10.0.0.1", "port": 8000}],
        "models": [{"name": one} for one in models or (f"model-of-{name}",)],
        **spec,
    }
    return Form(
        "ModelPool", "default", name, uid or f"uid-{name}", generation, "", orjson.dumps(whole).decode()
    )


def policy(
    name: str = "auto", match: str = "auto", *candidates: str, generation: int = 1, uid: str = "", **spec: Any
) -> Form:
    """A policy for one model name."""
    whole = {
        "match": {"models": [match]},
        "rules": [{"candidates": [{"model": one} for one in candidates or ("model-of-small",)]}],
        **spec,
    }
    return Form(
        "RoutePolicy", "default", name, uid or f"uid-{name}", generation, "", orjson.dumps(whole).decode()
    )


def wrong(form: Form, generation: int = 2) -> Form:
    """The same resource, edited to something this version refuses."""
    spec = {**orjson.loads(form.spec), "ofALaterVersion": True}
    return Form(
        form.kind, form.namespace, form.name, form.uid, generation, form.created, orjson.dumps(spec).decode()
    )


def stored(form: Form, status: Mapping[str, Any] | None = None) -> Stored:
    """As the API server holds it."""
    return Stored(form, "1", status or {}, form.key)


def desired(*forms: Form, last_good: Mapping[ResourceKey, Form] | None = None) -> Desired:
    """Compiled for a gateway that obeys `default`."""
    return Compiler(SETTINGS).compile(forms, {}, last_good or {})


def report(
    version: str,
    name: str = "picker-a",
    ready: bool = True,
    refusals: Iterable[Refusal] = (),
    formats: tuple[int, ...] = READABLE_FORMATS,
    **pools: Any,
) -> ReplicaReport:
    """What a picker says."""
    counts = {key: PoolCount(*count) for key, count in pools.items()}
    return ReplicaReport(
        replica=name,
        version=version,
        ready=ready,
        refusals=tuple(refusals),
        pools=counts,
        formats=formats,
    )


def pickers(wanted: Desired, *live: ReplicaReport, **more: Any) -> Pickers:
    """Pickers, where the operator knows what the wanted version holds."""
    ledger = Ledger()
    ledger.note(wanted.snapshot.version, wanted.forms)
    return Pickers(live, runs=ledger.snapshot(), **more)


def planned(
    wanted: Desired,
    resources: Iterable[Stored],
    seen: Pickers | None = None,
    *,
    published: str | None = None,
    kept: Mapping[ResourceKey, Form] | None = None,
    now: datetime = NOW,
    gateway: str = GATEWAY,
    silent: Iterable[ResourceKey] = (),
    spending: Mapping[ResourceKey, Mapping[str, Any]] | None = None,
    settled: dict[ResourceKey, Settled] | None = None,
) -> Plan:
    """What is to be written; everything is published already where nothing else is said."""
    observed = Observed(
        {one.key: one for one in resources},
        wanted.snapshot.version if published is None else published,
        wanted.forms if kept is None else kept,
        seen or Pickers(),
        now,
        frozenset(silent),
        spending or {},
    )
    return plan(wanted, observed, gateway, settled)


def conditions(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
