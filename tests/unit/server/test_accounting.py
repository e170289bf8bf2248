"""Books that outlive their process: by the journal where it counts alone, by the store where all count."""

import asyncio
import contextlib

import pytest
from plain_rates import plain_rates

from pilotage_api.periods import Calendar, PeriodLength
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.claims import BudgetClaim, Granted, Hold
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.server.accounting import Accounting, AccountingFault, open_accounting
from pilotage_extproc.settlement.settler import Settler
from pilotage_extproc.telemetry.metrics import Telemetry

MONTH = Calendar(PeriodLength.MONTH, "UTC")
PRICE = Price(plain_rates(10**9, 10**9, 10**9, 10**9))


def note(accounting: Accounting, identifier: str) -> SettlingNote:
    period = MONTH.at(accounting.books.utc_now())
    claim = BudgetClaim("budget|p=acme", 10**9, 1_000_000, period, hard=True)
    place = ("10.0.0.1:80", "m", PRICE)
    return SettlingNote(Hold(identifier, (claim,), (0,)), Spender("acme"), (place,), 100)


def ended(identifier: str, *usage: int) -> Outcome:
    return Outcome(identifier, 200, "10.0.0.1:80", 1, 1.0, 0.1, usage=TokenUsage(*usage))


async def process(settings: GatewaySettings, name: str, action) -> Accounting:
    """What a process does, from its start to its end."""
    accounting = open_accounting(settings, ManualClock(), name)
    tasks = [asyncio.create_task(running) for running, _ in accounting.runs()]
    action(accounting)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    return accounting


def admit(identifier: str):
    def action(accounting: Accounting) -> None:
        asked = note(accounting, identifier)
        assert isinstance(accounting.books.admit(asked), Granted)
        accounting.books.admitted(asked)

    return action


async def test_a_restart_goes_on_from_what_was_spent_and_is_still_held(tmp_path):
    settings = GatewaySettings(governance={"store": {"journal_dir": str(tmp_path)}})

    def first(accounting):
        for number in range(3):
            admit(f"a-{number}")(accounting)
        accounting.books.settle(note(accounting, "a-0"), ended("a-0", 100, 50))
        accounting.books.settle(note(accounting, "a-1"), ended("a-1"))

    await process(settings, "a", first)
    restarted = await process(settings, "b", lambda _: None)
    assert restarted.memory.figures() == (150_000, 100_000, 1_000_000)
    assert restarted.books.adopt(ended("a-2", 10, 10)) is None
    assert restarted.memory.figures() == (170_000, 100_000, 0)
    restarted.books.adopt(ended("a-2", 10, 10))
    assert restarted.memory.figures() == (170_000, 100_000, 0)


async def test_an_entry_of_a_request_that_nobody_has_open_is_adopted_by_its_hold(tmp_path):
    settings = GatewaySettings(governance={"store": {"journal_dir": str(tmp_path)}})
    await process(settings, "a", admit("a-1"))
    accounting = await process(settings, "b", lambda _: None)

    class NoPeers:
        def deliver(self, owner, outcome):
            return False

        def propagate(self, outcome):
            raise AssertionError

    settler = Settler(
        "b",
        settle=lambda _: None,
        learn=lambda _: None,
        peers=NoPeers(),
        telemetry=Telemetry(),
        adopt=accounting.books.adopt,
    )
    for _ in range(2):
        settler.log_entry(ended("a-1", 100, 100), "a")
    assert accounting.memory.figures() == (200_000, 0, 0)


def test_a_journal_that_cannot_be_written_names_its_setting(tmp_path):
    (tmp_path / "file").write_text("")
    settings = GatewaySettings(governance={"store": {"journal_dir": str(tmp_path / "file")}})
    with pytest.raises(AccountingFault, match=r"governance\.store\.journalDir: .*file"):
        open_accounting(settings, ManualClock(), "a")
