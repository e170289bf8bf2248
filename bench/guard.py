"""Does a request cost the picker what it did? python -m bench.guard [--renew]

Replays a fixed sequence in process (`bench.replay`) beside a calibration loop, in turns, and holds the ratio
of the two against the committed one, `bench/guard.json`. Exits with 1 where a case takes over 5% more. The
least of many rounds counts, so other work on the machine matters little; one that is over gets more rounds.
`--renew` writes the file, after a change that is meant to cost or to save.
"""

import argparse
import asyncio
import json
import platform
import sys
from pathlib import Path
from typing import Any, Final

from bench.replay.calibration import Calibration
from bench.replay.sequence import CASES, Case, Replay, least_mean

FILE: Final = Path(__file__).with_name("guard.json")
TOLERANCE: Final = 0.05
_ROUNDS: Final = 20
_MOST_ROUNDS: Final = 100


class Measured:
    """One case beside the calibration loop."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._calibration = Calibration()
        self._taken: list[list[float]] = []
        self._calibrated: list[list[float]] = []

    async def more(self, rounds: int) -> None:
        """Further rounds, in turns."""
        for _ in range(rounds):
            self._calibrated.append(self._calibration.run())
            self._taken.append(await self._replay.run())

    @property
    def rounds(self) -> int:
        """So far."""
        return len(self._taken)

    @property
    def ratio(self) -> float:
        """What a request takes, in pieces of the calibration loop."""
        return least_mean(self._taken) / least_mean(self._calibrated)

    @property
    def microseconds(self) -> float:
        """What a request takes here."""
        return 1e6 * least_mean(self._taken)


async def measure(case: Case, committed: float | None) -> Measured:
    """As many rounds as it takes to be sure that a case is not over, or to give up."""
    measured = Measured(await Replay.of(case))
    await measured.more(1 + _ROUNDS)
    while committed is not None and measured.rounds < _MOST_ROUNDS and is_over(measured.ratio, committed):
        await measured.more(_ROUNDS)
    return measured


def is_over(ratio: float, committed: float) -> bool:
    """Whether a case takes more than it may."""
    return ratio > committed * (1 + TOLERANCE)


def verdict(name: str, ratio: float, committed: float | None) -> str:
    """A line for people."""
    if committed is None:
        return f"{name:32} {ratio:6.3f}  not in {FILE.name}: renew it"
    change = ratio / committed - 1
    told = "OVER" if is_over(ratio, committed) else "less: renew" if change < -TOLERANCE else "ok"
    return f"{name:32} {ratio:6.3f}  committed {committed:6.3f}  {change:+6.1%}  {told}"


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renew", action="store_true", help="write the file")
    options = parser.parse_args()
    committed: dict[str, Any] = {} if options.renew else json.loads(FILE.read_text())["cases"]
    found: dict[str, Any] = {}
    failed = False
    for case in CASES:
        before = committed.get(case.name)
        measured = await measure(case, before and before["ratio"])
        ratio = round(measured.ratio, 4)
        found[case.name] = {"ratio": ratio, "microseconds": round(measured.microseconds, 1)}
        failed |= not options.renew and (before is None or is_over(ratio, before["ratio"]))
        print(verdict(case.name, ratio, before and before["ratio"]), flush=True)
    if options.renew:
        made = {"python": platform.python_version(), "machine": platform.machine(), "cases": found}
        FILE.write_text(json.dumps(made, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
