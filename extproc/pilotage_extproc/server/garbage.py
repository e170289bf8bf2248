"""The garbage collector, set for a process that keeps a large history and must not pause.

Requests make no reference cycles, so nearly all is freed by reference counts. What start-up made never
goes: it is left out of collections. Young collections come less often than Python's default; a full one
walks only the decision history, whose records are flat.
"""

import gc

_YOUNG_OBJECTS = 20_000
_YOUNG_PER_MIDDLE = 20
_MIDDLE_PER_FULL = 50


def tune_garbage_collection() -> None:
    """Call once, when all long-lived parts exist. Affects the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_PER_MIDDLE, _MIDDLE_PER_FULL)
