"""What a process counts about limits and budgets."""

from collections.abc import Callable

from pilotage_extproc.telemetry.instruments import Count, Instrument, Reading


class Spending:
    """Instruments of the books; none has a label whose values clients choose."""

    def __init__(self) -> None:
        self.settlements = Count(
            "pilotage_ledger_settlements",
            "Settlements: exact, estimated, bounded, failed_attempt, unsent, adopted, duplicate.",
            ("kind",),
        )
        self.copies = Count(
            "pilotage_ledger_copies",
            "Second copies of access-log entries: apart from the first, together with it, taken for it.",
            ("kind",),
        )
        self.alerts = Count(
            "pilotage_budget_alerts",
            "Times that a budget passed one of its alertAt shares, once a period and party.",
            ("budget", "share"),
        )
        self.ended = Count(
            "pilotage_budget_ended_streams",
            "Streams that went on past what a hard budget held, and that Envoy ended.",
            (),
        )
        self._readings: tuple[Reading, ...] = ()

    def instruments(self) -> list[Instrument]:
        """All of them."""
        return [self.settlements, self.copies, self.alerts, self.ended, *self._readings]

    def watch(self, away: Callable[[], float], lost: Callable[[], float]) -> None:
        """Read at each scrape whether the store is away, and what was lost."""
        self._readings += (
            Reading(
                "pilotage_ledger_store_away",
                "Whether the store of limits and budgets cannot be asked now.",
                (),
                lambda: {(): away()},
            ),
            Reading(
                "pilotage_ledger_lost",
                "Settlements and journal lines that could be neither booked nor written.",
                (),
                lambda: {(): lost()},
            ),
        )
