"""Results on disk: one file a part, one line a run."""

import json
import platform
from pathlib import Path
from typing import Any

import bench.placement.constants as constants

FOLDER = Path(__file__).parents[1] / "results"
Rows = list[dict[str, Any]]


def path_of(part: str, folder: Path = FOLDER) -> Path:
    """`8`, `64`, `512`, `sweep`, `realtime`."""
    return folder / f"placement-{part}.json"


def write(part: str, rows: Rows, folder: Path = FOLDER, *, keep: bool = False) -> Path:
    """Replace a part's results, or with `keep` those of the same workload, balancer, load and seed."""
    if keep:
        fresh = {_run_of(row): row for row in rows}
        rows = [fresh.pop(_run_of(row), row) for row in read(part, folder)] + list(fresh.values())
    about = {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "ttft_target_seconds": constants.TTFT_TARGET_SECONDS,
        "tpot_target_seconds": constants.TPOT_TARGET_SECONDS,
        "preset": constants.PRESET,
    }
    lines = ",\n".join(json.dumps(_rounded(row)) for row in rows)
    path = path_of(part, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"about": {json.dumps(about)},\n"runs": [\n{lines}\n]}}\n')
    return path


def read(part: str, folder: Path = FOLDER) -> Rows:
    """A part's runs; none where it has not run."""
    path = path_of(part, folder)
    if not path.exists():
        return []
    rows: Rows = json.loads(path.read_text())["runs"]
    return rows


def _run_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("workload", "balancer", "load", "seed"))


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


def pick(rows: Rows, **wanted: Any) -> Rows:
    """Rows with these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def distinct(rows: Rows, name: str) -> list[Any]:
    """Values of a column in order of appearance."""
    return list(dict.fromkeys(row[name] for row in rows))
