"""How busy the whole machine is: a real-time run is only worth something on one that keeps up."""

from pathlib import Path

MOST_BUSY = 0.6
"""Share of the machine's CPU above which a run is flagged."""
_STAT = Path("/proc/stat")


class MachineCpu:
    """Share of all cores in use since it was made; None where the system does not say (not Linux)."""

    def __init__(self) -> None:
        self._began = _read()

    def share(self) -> float | None:
        """0 to 1."""
        now = _read()
        if self._began is None or now is None:
            return None
        total = now[1] - self._began[1]
        return (now[0] - self._began[0]) / total if total else 0.0


def _read() -> tuple[int, int] | None:
    """Busy and all ticks of all cores."""
    try:
        first = _STAT.read_text().splitlines()[0]
    except OSError:
        return None
    fields = [int(one) for one in first.split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)
