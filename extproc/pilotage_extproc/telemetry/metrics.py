"""What one extproc process counts about itself."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector

from pilotage_extproc.telemetry.instruments import (
    Count,
    Distribution,
    Instrument,
    InstrumentCollector,
    Reading,
)

_DECISION_BUCKETS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 1.0)
_TTFT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Telemetry:
    """All instruments of a process; no instrument has a label whose values clients choose."""

    def __init__(self) -> None:
        self.requests = Count(
            "pilotage_requests",
            "Requests by what the picker did: placed, answered, or refused with a reason.",
            ("outcome", "reason"),
        )
        self.settled = Count(
            "pilotage_settled_requests",
            "Finished requests by result: ok, client_error, server_error, truncated, client_gone.",
            ("result",),
        )
        self.settlements = Count(
            "pilotage_settlements",
            "Access-log entries by what settling did: settled, delivered, duplicate, unowned, undecided.",
            ("result",),
        )
        self.served = Count(
            "pilotage_pick_served",
            "Which endpoint answered, against the pick: first, fallback, other, none.",
            ("against",),
        )
        self.tokens = Count(
            "pilotage_tokens", "Tokens as engines counted them: input, cached_input, output.", ("kind",)
        )
        self.usage_unknown = Count(
            "pilotage_usage_unknown", "Finished 2xx requests whose answer carried no token usage."
        )
        self.peer_drops = Count(
            "pilotage_peer_dropped", "Outcomes dropped because a peer did not take them in time."
        )
        self.rewritten_attempts = Count(
            "pilotage_rewritten_attempts", "Later attempts whose request was rewritten."
        )
        self.failed_attempts = Count(
            "pilotage_failed_attempts",
            "Attempts that failed, whatever became of their requests, by why; other is a cut answer.",
            ("pool", "reason"),
        )
        self.xds = Count(
            "pilotage_xds_responses", "xDS responses by Envoy's reply: acked, nacked.", ("reply",)
        )
        self.ejections = Count("pilotage_ejections", "Times an endpoint was ejected (outlier detection).")
        self.plugin_trouble = Count(
            "pilotage_plugin_trouble", "Plug-ins that were skipped: raised, or slow.", ("plugin", "trouble")
        )
        self.decision_seconds = Distribution(
            "pilotage_decision_seconds", "Time in the picker, by stage.", _DECISION_BUCKETS, "stage"
        )
        self.ttft_seconds = Distribution(
            "pilotage_ttft_seconds",
            "Request's first byte to the response body's first byte, seen by Envoy.",
            _TTFT_BUCKETS,
        )
        self._collector = InstrumentCollector(
            [
                self.requests,
                self.settled,
                self.settlements,
                self.served,
                self.tokens,
                self.usage_unknown,
                self.peer_drops,
                self.rewritten_attempts,
                self.failed_attempts,
                self.xds,
                self.ejections,
                self.plugin_trouble,
                self.decision_seconds,
                self.ttft_seconds,
            ]
        )
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)

    def expose(self, instruments: Iterable[Instrument]) -> None:
        """Expose instruments that others keep."""
        for instrument in instruments:
            self._collector.add(instrument)

    def read(self, reading: Reading) -> None:
        """Expose a gauge that is read at each scrape."""
        self._collector.add(reading)

    def exposition(self) -> bytes:
        """The page of `/metrics` in Prometheus text format."""
        return generate_latest(self._registry)
