"""What the gateway has recorded of requests, waited for."""

import asyncio
import json
from typing import Any

from pilotage_cli.gateway.standalone import Gateway


def newest(gateway: Gateway) -> dict[str, Any] | None:
    """The last decision there is."""
    decisions = json.loads(gateway.server.view.recent_decisions(1))["decisions"]
    return decisions[0] if decisions else None


async def decided_after(gateway: Gateway, last: dict[str, Any] | None) -> dict[str, Any]:
    """The decision that follows one."""
    async with asyncio.timeout(10):
        while (found := newest(gateway)) is None or (last and found["decision"] == last["decision"]):
            await asyncio.sleep(0.002)
    return found


async def settled(gateway: Gateway) -> dict[str, Any]:
    """The last decision, once its outcome is known."""
    for _ in range(500):
        decision = newest(gateway)
        if decision is not None and decision["outcome"] is not None:
            return decision
        await asyncio.sleep(0.02)
    raise AssertionError("the request was not settled")


async def ended(gateway: Gateway) -> None:
    """All that was asked is known to have ended."""
    async with asyncio.timeout(10):
        while gateway.requests_under_way:
            await asyncio.sleep(0.02)


async def failures(gateway: Gateway, last: int) -> list[dict[str, Any]]:
    """What is known of attempts and outcome of those of the last decisions that were not answered."""
    await ended(gateway)
    decisions = json.loads(gateway.server.view.recent_decisions(last))["decisions"]
    return [
        {name: one[name] for name in ("decision", "attempts", "failedAttempts", "candidates", "outcome")}
        for one in decisions
        if one["outcome"] is None or one["outcome"]["status"] != 200
    ]


def endpoints(gateway: Gateway) -> list[dict[str, Any]]:
    """What is known of each server."""
    return json.loads(gateway.server.view.endpoints())["endpoints"]


async def measured(gateway: Gateway) -> None:
    """All servers tell their load, and none is left out."""
    for _ in range(600):
        known = endpoints(gateway)
        if all(one["metricsAgeSeconds"] is not None and not one["ejectedForSeconds"] for one in known):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not all servers are measured: {endpoints(gateway)}")
