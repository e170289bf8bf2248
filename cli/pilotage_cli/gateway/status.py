"""One line on how a gateway is doing."""

from pilotage_extproc.server.runtime import Runtime


def status_line(runtime: Runtime) -> str:
    """Requests, endpoints, what is in flight."""
    telemetry = runtime.telemetry
    counts = runtime.state.table.counts(runtime.clock())
    placed = int(telemetry.requests.value("placed", ""))
    failed = int(telemetry.settled.value("server_error") + telemetry.settled.value("truncated"))
    return (
        f"{placed} placed, {len(runtime.state.ledger)} in flight, {failed} failed · "
        f"endpoints {counts['ready']} ready, {counts['pending']} pending, "
        f"{counts['ejected']} ejected, {counts['unmeasured']} unmeasured · "
        f"snapshot {runtime.following.snapshot.version}"
    )
