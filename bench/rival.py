"""Another project's endpoint picker beside ours: `RIVAL=PROGRAM`.

The program is started as `PROGRAM PORT FILE`: it serves ext_proc in plaintext on that port of 127.0.0.1, for
the endpoints in the file, one `ip:port` a line, each with vLLM's `/metrics`. A picker with other arguments is
wrapped in a script that ends with `exec`, so that the CPU counted is its own. Envoy asks it full-duplex, as
other gateways do, and gets its clusters from a process beside it.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "RIVAL"
_CLUSTER: Final = "bench-clusters"


def is_given() -> bool:
    """Whether there is one."""
    return bool(os.environ.get(VARIABLE))


def command(port: int, endpoints: list[str], folder: Path) -> list[str]:
    """What starts it."""
    listed = folder / "endpoints"
    listed.write_text("".join([f"{one}\n" for one in endpoints]))
    return [os.environ[VARIABLE], str(port), str(listed)]


def with_clusters_from(bootstrap: str, port: int) -> str:
    """A bootstrap whose clusters come from another port than its picks."""
    raw = json.loads(bootstrap)
    clusters = raw["staticResources"]["clusters"]
    ads = raw["dynamicResources"]["adsConfig"]["grpcServices"][0]["envoyGrpc"]
    picker = next(one for one in clusters if one["name"] == ads["clusterName"])
    beside = json.loads(json.dumps(picker))
    beside["name"] = ads["clusterName"] = _CLUSTER
    beside["loadAssignment"]["clusterName"] = _CLUSTER
    for address in _addresses(beside["loadAssignment"]):
        address["portValue"] = port
    # a picker of another project need not answer the health checks that ours does
    picker.pop("healthChecks", None)
    clusters.append(beside)
    return json.dumps(raw)


def _addresses(assignment: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        one["endpoint"]["address"]["socketAddress"]
        for locality in assignment["endpoints"]
        for one in locality["lbEndpoints"]
    ]
