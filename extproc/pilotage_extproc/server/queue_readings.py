"""Gauges of requests that wait for room, and of how full pools are: what autoscalers scale on."""

from pilotage_extproc.rules.room import PoolRoom
from pilotage_extproc.state.waiting_line import WaitingLine
from pilotage_extproc.telemetry.instruments import Reading


def queue_readings(line: WaitingLine, room: PoolRoom) -> list[Reading]:
    """Read at each scrape; labels are names of policies and pools."""
    return [
        Reading(
            "pilotage_queue_requests",
            "Requests that wait for room, by policy.",
            ("policy",),
            lambda: {(policy,): requests for policy, (requests, _) in line.lengths().items()},
        ),
        Reading(
            "pilotage_queue_bytes",
            "Bytes of the bodies of requests that wait for room, by policy.",
            ("policy",),
            lambda: {(policy,): size for policy, (_, size) in line.lengths().items()},
        ),
        Reading(
            "pilotage_pool_queue_requests",
            "Requests that wait for room at a pool; one that waits for several counts at each.",
            ("pool",),
            lambda: {
                **{(pool,): 0 for pool in room.bounded()},
                **{(pool,): count for pool, count in line.by_pool().items()},
            },
        ),
        Reading(
            "pilotage_pool_saturation",
            "Requests at the servers of a pool with admission over what these take; absent without servers.",
            ("pool",),
            lambda: {(pool,): use for pool, use in room.use()},
        ),
    ]
