"""What all unit tests share."""

import gc
from datetime import timedelta

from effort import examples
from hypothesis import settings

# An example that takes over 200 ms, the default, says that the machine is busy: each core runs a process.
settings.register_profile("pilotage", max_examples=examples(), deadline=timedelta(seconds=5))
settings.load_profile("pilotage")


def pytest_collection_finish() -> None:
    """What is loaded by now stays: collections of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()
