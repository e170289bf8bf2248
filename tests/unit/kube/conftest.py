"""Shares the snapshots of the tests against a real API server."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "kube"))
