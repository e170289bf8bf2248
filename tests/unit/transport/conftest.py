"""Each test runs on both ways to drive a handler: as a task, and stepped by messages."""

from collections.abc import Iterator

import pytest
import wire

from pilotage_extproc.transport.stepped import by_steps


@pytest.fixture(autouse=True, params=["task", "steps"])
def driver(request: pytest.FixtureRequest) -> Iterator[None]:
    wire.DRIVERS.append(wire.by_task if request.param == "task" else by_steps)
    yield
    wire.DRIVERS.pop()
