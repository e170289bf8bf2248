"""What the admin address shows of a runtime."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.server.queue_readings import queue_readings
from pilotage_extproc.server.runtime import Runtime
from pilotage_extproc.server.tenant_figures import FiguresReader
from pilotage_extproc.telemetry.instruments import Reading
from pilotage_kube.turns import Turns


class RuntimeView:
    """Reads a runtime, and changes nothing of it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        following = runtime.following
        self._figures = FiguresReader(runtime.state.accounting, lambda: following.snapshot.tenants)
        self._draining = False
        self._in_cluster: Callable[[], dict[str, Any]] = dict
        for reading in self._readings():
            runtime.telemetry.read(reading)

    @property
    def draining(self) -> bool:
        """Whether the process is about to go."""
        return self._draining

    def drains(self) -> None:
        """From now on the process is shown as draining, and not as ready."""
        self._draining = True

    def show_in_cluster(self, status: Callable[[], dict[str, Any]]) -> None:
        """Show with the status what a replica in a cluster says of itself."""
        self._in_cluster = status

    def metrics(self) -> bytes:
        """Prometheus text."""
        return self._runtime.telemetry.exposition()

    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self._runtime.following.synced and not self.draining

    def status(self) -> bytes:
        """What this process runs, by which settings, and what of it is not as it should be."""
        runtime = self._runtime
        return orjson.dumps(
            {
                "process": runtime.process_id,
                "ready": self.ready(),
                "draining": self.draining,
                "snapshot": runtime.following.snapshot.version,
                "settings": runtime.settings.model_dump(mode="json", by_alias=True),
                **self._in_cluster(),
            }
        )

    def snapshot(self) -> bytes:
        """The snapshot in force."""
        return self._runtime.following.snapshot.model_dump_json(indent=2, by_alias=True).encode()

    def endpoints(self) -> bytes:
        """Every endpoint with its figures and their age."""
        runtime, table = self._runtime, self._runtime.state.table
        now = runtime.clock()
        shown: list[dict[str, Any]] = []
        for address, row in sorted(table.rows().items()):
            facts = table.facts_of(address)
            age = now - float(table.scraped_at[row])
            known = not math.isinf(age)
            shown.append(
                {
                    "address": address,
                    "pools": list(facts.pools) if facts else [],
                    "engine": facts.engine.value if facts else None,
                    "admitted": bool(table.admitted[row]),
                    "waiting": _figure(table.waiting[row]) if known else None,
                    "running": _figure(table.running[row]) if known else None,
                    "kvUsage": _figure(table.kv_usage[row]) if known else None,
                    "inflight": int(table.inflight[row]),
                    "uncachedTokensInflight": round(float(table.tokens[row])),
                    "metricsAgeSeconds": round(age, 3) if known else None,
                    "scrapeFailures": int(table.failures[row]),
                    "ejectedForSeconds": max(0.0, round(float(table.ejected_until[row]) - now, 3)),
                }
            )
        return orjson.dumps(
            {
                "process": runtime.process_id,
                "envoys": runtime.xds.connected,
                "endpoints": shown,
                "providersNotUsed": {
                    pool: {"reason": one.reason, "message": one.message}
                    for pool, one in sorted(runtime.providers.problems().items())
                },
            }
        )

    async def budgets(self) -> bytes | None:
        """What each tenant has of its budgets; None while the store cannot say."""
        try:
            shown = await self._figures.shown()
        except StoreAway:
            return None
        return orjson.dumps({"process": self._runtime.process_id, **shown})

    def recent_decisions(self, limit: int) -> bytes:
        """The last decisions, newest first, at once."""
        return self._listed(list(self._explained(limit)))

    async def list_decisions(self, limit: int, *, failed: bool = False) -> bytes:
        """As `recent_decisions`, in short turns: requests go on meanwhile.

        `failed`: only those of which an attempt is known to have failed.
        """
        turns = Turns()
        shown: list[bytes] = []
        for explained in self._explained(limit, failed=failed):
            shown.append(explained)
            await turns.give()
        return self._listed(shown)

    def _explained(self, limit: int, *, failed: bool = False) -> Iterator[bytes]:
        runtime = self._runtime
        records = runtime.state.decisions.newest()
        wanted = (record for record in records if record.failed) if failed else records
        for record in list(islice(wanted, limit)):
            yield orjson.dumps(explain(record, runtime.process_id))

    def _listed(self, explained: list[bytes]) -> bytes:
        decisions = [orjson.Fragment(one) for one in explained]
        return orjson.dumps({"process": self._runtime.process_id, "decisions": decisions})

    def explain_here(self, decision_id: str) -> bytes | None:
        """A decision this process holds."""
        record = self._runtime.state.decisions.find(decision_id)
        if record is None:
            return None
        return orjson.dumps(explain(record, self._runtime.process_id))

    async def explain(self, decision_id: str) -> bytes | None:
        """A decision, from this process or the peer that holds it."""
        here = self.explain_here(decision_id)
        return here if here is not None else await self._runtime.peers.explain(decision_id)

    async def explain_request(self, request: bytes) -> bytes:
        """What would be decided now for `{path, headers, body}`; nothing is placed. Raises ValueError."""
        head, body = read_request(request)
        runtime = self._runtime
        try:
            record = await runtime.deciding.pipeline.consider(head, body)
        except RequestRefused as refused:
            return orjson.dumps(
                {"refused": {"status": refused.reason.http_status, **orjson.loads(refused.body())["error"]}}
            )
        return orjson.dumps(explain(record, runtime.process_id))

    def _readings(self) -> list[Reading]:
        runtime = self._runtime

        def endpoints() -> Mapping[tuple[str, ...], float]:
            counts = runtime.state.table.counts(runtime.clock())
            return {(state,): count for state, count in counts.items()}

        def ages() -> Mapping[tuple[str, ...], float]:
            now = runtime.clock()
            scraped = [
                float(runtime.state.table.scraped_at[row]) for row in runtime.state.table.rows().values()
            ]
            known = [at for at in scraped if not math.isinf(at)]
            shown: dict[tuple[str, ...], float] = {("snapshot",): now - runtime.following.snapshot_at}
            if runtime.pods is not None:
                shown[("pods",)] = runtime.pods.age_seconds()
            if known:
                shown[("metrics",)] = now - min(known)
            return shown

        return [
            Reading("pilotage_endpoints", "Endpoints by state.", ("state",), endpoints),
            Reading(
                "pilotage_source_age_seconds",
                "Age of what decisions are based on; of engine metrics the oldest in use.",
                ("source",),
                ages,
            ),
            Reading(
                "pilotage_open_breakers",
                "Circuit breakers of providers and their models that are not closed.",
                (),
                lambda: {(): runtime.state.knowledge.breakers.open_count},
            ),
            *queue_readings(runtime.deciding.line, runtime.deciding.room),
            Reading(
                "pilotage_snapshot_info",
                "1 for the version of the routing snapshot in force.",
                ("version",),
                lambda: {(runtime.following.snapshot.version,): 1},
            ),
            Reading(
                "pilotage_inflight_requests",
                "Own requests in flight.",
                (),
                lambda: {(): len(runtime.state.ledger)},
            ),
            Reading(
                "pilotage_expired_requests",
                "Requests given up because their completion was never seen.",
                (),
                lambda: {(): runtime.state.ledger.expired},
            ),
            Reading(
                "pilotage_streams", "Open ext_proc streams.", (), lambda: {(): runtime.processor.open_streams}
            ),
            Reading(
                "pilotage_body_bytes", "Bytes of bodies held.", (), lambda: {(): runtime.bodies.held_bytes}
            ),
            Reading(
                "pilotage_expected_body_bytes",
                "Bytes of large bodies that were admitted and have yet to come.",
                (),
                lambda: {(): runtime.bodies.expected_bytes},
            ),
            Reading(
                "pilotage_scrape_interval_seconds",
                "Scrape interval in force for endpoints with (busy) and without own requests in flight.",
                ("endpoints",),
                lambda: {
                    ("busy",): runtime.scraper.interval_seconds(busy=True),
                    ("idle",): runtime.scraper.interval_seconds(busy=False),
                },
            ),
            Reading(
                "pilotage_prefix_blocks",
                "Prompt blocks in the prefix index, each counted at every endpoint that holds it.",
                (),
                lambda: {(): runtime.state.knowledge.prefixes.block_count},
            ),
        ]


def read_request(request: bytes) -> tuple[RequestHead, bytes]:
    """A request described as JSON: `{path, method?, headers?, body}`. Raises ValueError."""
    try:
        described: Any = orjson.loads(request)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the request is not JSON: {error}") from None
    if not isinstance(described, dict) or "body" not in described:
        raise ValueError('describe the request as {"path": "/v1/chat/completions", "body": {…}}')
    headers = described.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError("headers must be an object of strings")
    head = RequestHead(
        method=str(described.get("method", "POST")),
        path=str(described.get("path", "/v1/chat/completions")),
        headers={str(name).lower(): value for name, value in headers.items()},
    )
    try:
        return head, orjson.dumps(described["body"])
    except orjson.JSONEncodeError as error:
        raise ValueError(f"the body cannot be written as JSON: {error}") from None


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)
