"""Ports for servers that must be told theirs before they start."""

import os
import random
import socket

FIRST, BEYOND = 12_000, 32_000
"""Below those that outgoing connections take for themselves."""


def ports_of_this_worker() -> range:
    """A share of the ports: what one worker of pytest found free, no other takes before it is used."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = max(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), worker + 1)
    share = (BEYOND - FIRST) // workers
    return range(FIRST + worker * share, FIRST + (worker + 1) * share)


def free_ports(count: int) -> list[int]:
    """Different ports on which nothing listens on loopback."""
    among = ports_of_this_worker()
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().choice(among)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        if port not in ports:
            ports.append(port)
    return ports
