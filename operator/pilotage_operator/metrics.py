"""The operator's own metrics; labels are few and fixed."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pilotage_operator.conditions import accepted
from pilotage_operator.desired import Desired
from pilotage_operator.programmed import Pickers
from pilotage_operator.resource_revision import OUR_TYPES

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counted: Desired | None = None
        prefix = "pilotage_operator_"
        self.leading = Gauge(
            prefix + "leading", "1 while this process is the active one.", registry=self.registry
        )
        self.wakes = Counter(
            prefix + "wakes", "What triggered a reconciliation.", ["source"], registry=self.registry
        )
        self.writes = Counter(
            prefix + "api_writes", "Requests that change something.", ["method"], registry=self.registry
        )
        self.kopf_restarts = Counter(
            prefix + "kopf_restarts", "Times kopf ended by itself and was restarted.", registry=self.registry
        )
        self.statuses_pending = Gauge(
            prefix + "statuses_pending", "Statuses yet to be written.", registry=self.registry
        )
        self.events_dropped = Gauge(
            prefix + "events_dropped", "Events dropped to spare the API server.", registry=self.registry
        )
        self.watch_age = Gauge(
            prefix + "watch_age_seconds",
            "How old the view of a resource type may be.",
            ["resource"],
            registry=self.registry,
        )
        self.watches = Gauge(
            prefix + "watches_begun",
            "Watches started since this process leads; many in a short time mean that they break.",
            ["resource"],
            registry=self.registry,
        )
        self._passes = Counter(
            prefix + "passes", "Reconciliations, by how they ended.", ["result"], registry=self.registry
        )
        self._publishes = Counter(prefix + "publishes", "Snapshots published.", registry=self.registry)
        self._seconds = Histogram(
            prefix + "seconds",
            "Time of a part of a reconciliation.",
            ["part"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._resources = Gauge(
            prefix + "resources", "Resources by Accepted.", ["kind", "accepted"], registry=self.registry
        )
        self._pickers = Gauge(
            prefix + "pickers", "Pickers that report, by state.", ["state"], registry=self.registry
        )

    def compiled(self, seconds: float) -> None:
        """A compilation took this long."""
        self._seconds.labels("compile").observe(seconds)

    def planned(self, seconds: float) -> None:
        """Compiling and planning took this long."""
        self._seconds.labels("plan").observe(seconds)

    def published(self) -> None:
        """A snapshot was published."""
        self._publishes.inc()

    def failed(self) -> None:
        """A pass ended with an error and is repeated."""
        self._passes.labels("failed").inc()

    def passed(self, desired: Desired, pickers: Pickers, seconds: float) -> None:
        """A pass ended well."""
        self._passes.labels("done").inc()
        self._seconds.labels("pass").observe(seconds)
        self._pickers.labels("ready").set(len(pickers.ready))
        self._pickers.labels("not_ready").set(len(pickers.live) - len(pickers.ready))
        self._pickers.labels("late").set(len(pickers.late))
        if desired is self._counted:
            return
        self._counted = desired
        kinds = [resource.kind for resource in OUR_TYPES]
        counts = {(kind, says): 0 for kind in kinds for says in ("True", "False")}
        for key in desired.forms.keys() | desired.refused:
            counts[key.kind, accepted(key, desired).status] += 1
        for (kind, says), count in counts.items():
            self._resources.labels(kind, says).set(count)

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self.registry)
