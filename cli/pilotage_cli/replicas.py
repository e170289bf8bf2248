"""Pickers of a cluster, as a person reads what they say of themselves."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape


def print_replicas(console: Console, replicas: Iterable[dict[str, Any]]) -> None:
    """A line for each picker, and what is wrong there below it."""
    for one in replicas:
        if one.get("reached") is False:
            told = f"{one['replica']}: {one['problem']}"
            console.print(f"[red]{escape(told)}[/]", highlight=False)
            continue
        ready = "ready" if one.get("ready") else "[red]not ready[/]"
        version, published = one.get("snapshot") or "none", one.get("published")
        behind = f", while {published} is published" if published and published != version else ""
        pools = one.get("pools", {}).values()
        servers = f"{sum(pool['ready'] for pool in pools)}/{sum(pool['total'] for pool in pools)}"
        console.print(
            f"{escape(str(one.get('replica', one['process'])))}: {ready}, snapshot {version}{behind}, "
            f"{servers} servers ready",
            highlight=False,
        )
        if one.get("problem"):
            console.print(f"      [red]{escape(str(one['problem']))}[/]", highlight=False)
        for refusal in one.get("refusals", ()):
            text = f"{refusal['resource']}: {refusal['message']}"
            console.print(f"      [red]{escape(text)}[/]", highlight=False)


def pools_without_servers(replicas: Iterable[dict[str, Any]]) -> list[str]:
    """A line for each pool of which no picker may pick a server."""
    most: dict[str, tuple[int, int]] = {}
    for one in replicas:
        for key, pool in one.get("pools", {}).items():
            most[key] = max(most.get(key, (0, 0)), (int(pool["ready"]), int(pool["total"])))
    return [
        f"pool {key}: " + (f"none of its {total} servers takes requests" if total else "it has no servers")
        for key, (ready, total) in sorted(most.items())
        if not ready
    ]
