"""Queries of docs/queues.md and of its manifests for autoscalers."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
AUTOSCALING = ROOT / "examples/queues/autoscaling"


def queries() -> dict[str, str]:
    """All there are, by where they stand."""
    [block] = re.findall(r"```promql\n(.*?)```", (ROOT / "docs/queues.md").read_text(), re.DOTALL)
    found = {f"docs/queues.md {number}": one for number, one in enumerate(block.strip().splitlines())}
    scaled = yaml.safe_load((AUTOSCALING / "keda.yaml").read_text())
    for number, trigger in enumerate(scaled["spec"]["triggers"]):
        found[f"keda.yaml {number}"] = trigger["metadata"]["query"]
    for rule in yaml.safe_load((AUTOSCALING / "prometheus-adapter.yaml").read_text())["rules"]["external"]:
        found[f"prometheus-adapter.yaml {rule['name']['as']}"] = rule["metricsQuery"]
    return found
