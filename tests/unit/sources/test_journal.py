"""The journal says after a crash what was held and settled, whatever was cut off."""

import asyncio
import contextlib
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.periods import Period
from pilotage_extproc.accounting.claims import BudgetClaim, Hold
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.used import Used
from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.sources.journal import ESTIMATED, SETTLED, JournalWriter, read_journals

NOW = datetime(2026, 11, 28, 23, 59, 50, tzinfo=UTC).timestamp()
CLAIM = BudgetClaim("budget|p=acme", 10**9, 500, Period(100, 200), hard=True)


def note(identifier: str) -> SettlingNote:
    spender = Spender("acme", "search", "k1", "", "default/auto", "auto")
    return SettlingNote(Hold(identifier, (CLAIM,), (0,)), spender, (("10.0.0.1:80", "m", None),), 7)


def found(nano: int, *, exact: bool = True) -> Used:
    return Used(TokenUsage(10, 5, 2), nano, "m", exact)


async def written(folder: Path, process: str = "p1", days: int = 100, clock=lambda: NOW, *actions) -> None:
    writer = JournalWriter(folder, process, days, clock)
    task = asyncio.create_task(writer.run())
    for action in actions:
        action(writer)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert writer.lost == 0


async def test_a_journal_is_its_process_s_user_s_alone(tmp_path):
    before = os.umask(0)
    try:
        await written(tmp_path, "p1", 100, lambda: NOW, lambda w: w.held(note("p1-1")))
        await written(tmp_path, "p1", 100, lambda: NOW, lambda w: w.settled(note("p1-1"), found(120)))
    finally:
        os.umask(before)
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes().splitlines()) == 2


async def test_settlements_and_open_holds_are_read_back(tmp_path):
    await written(
        tmp_path, "p1", 100, lambda: NOW,
        lambda w: w.held(note("p1-1")), lambda w: w.held(note("p1-2")),
        lambda w: w.settled(note("p1-1"), found(120)),
        lambda w: w.held(note("p1-3")), lambda w: w.unsent(note("p1-3")),
    )  # fmt: skip
    journal = read_journals(tmp_path)
    [line] = journal.usage["p1"]
    assert (line.id, line.state, line.tenant, line.key, line.upstream_model) == (
        "p1-1", SETTLED, "acme", "k1", "m",
    )  # fmt: skip
    assert (line.input_tokens, line.cached_input_tokens, line.output_tokens, line.nano) == (10, 2, 5, 120)
    assert line.budgets == (("budget|p=acme", 100, 200, 120),)
    assert journal.open == {"p1-2": note("p1-2")}
    assert journal.damaged == 0


async def test_an_exact_usage_takes_the_place_of_its_estimate_in_any_process(tmp_path):
    await written(tmp_path, "p1", 100, lambda: NOW, lambda w: w.settled(note("x"), found(9, exact=False)))
    assert read_journals(tmp_path).usage["p1"][0].state == ESTIMATED
    await written(tmp_path, "p2", 100, lambda: NOW, lambda w: w.settled(note("x"), found(12)))
    usage = read_journals(tmp_path).usage
    assert [(line.state, line.nano) for lines in usage.values() for line in lines] == [(SETTLED, 12)]


@given(cut=st.integers(0, 900), flipped=st.integers(0, 900))
async def test_a_file_that_is_cut_or_damaged_loses_the_lines_it_hit_alone(tmp_path_factory, cut, flipped):
    folder = tmp_path_factory.mktemp("journal")
    actions = [lambda w, n=n: w.settled(note(f"x-{n}"), found(n)) for n in range(4)]
    await written(folder, "p1", 100, lambda: NOW, *actions)
    [path] = folder.iterdir()
    data = bytearray(path.read_bytes())
    lines = len(data) // 4
    data[flipped % len(data)] ^= 1
    kept = len(data) - cut % len(data)
    path.write_bytes(bytes(data[:kept]))
    journal = read_journals(folder)
    left = [line.nano for lines in journal.usage.values() for line in lines]
    assert set(left) <= {0, 1, 2, 3}
    assert len(left) >= kept // (lines + 1) - 2


async def test_days_have_files_of_their_own_and_old_ones_go(tmp_path):
    clock = [NOW]
    for day in range(4):
        clock[0] = NOW + day * 86_400
        await written(
            tmp_path, "p1", 2, lambda: clock[0], lambda w, d=day: w.settled(note(f"x-{d}"), found(d))
        )
    assert sorted(path.name[6:14] for path in tmp_path.iterdir()) == ["20261129", "20261130", "20261201"]
    assert [line.id for line in read_journals(tmp_path, NOW + 2 * 86_400).usage["p1"]] == ["x-2", "x-3"]


async def test_a_folder_that_cannot_be_written_costs_lines_and_no_request(tmp_path, caplog):
    writer = JournalWriter(tmp_path / "sub", "p1", 100, lambda: NOW)
    (tmp_path / "sub").rmdir()
    task = asyncio.create_task(writer.run())
    writer.settled(note("x"), found(1))
    async with asyncio.timeout(10):
        while not writer.lost:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "cannot be written" in caplog.text
