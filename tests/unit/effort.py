"""How many examples property tests try: a quarter while working, all of them in CI."""

import os

THOROUGH_VARIABLE = "PILOTAGE_TEST_THOROUGH"
"""Set to 1 by `make test-thorough` and by CI."""
THOROUGH = os.environ.get(THOROUGH_VARIABLE) == "1"


def examples(thorough: int = 100) -> int:
    """Examples to try, of so many in a thorough run; never fewer than ten."""
    return thorough if THOROUGH else max(10, thorough // 4)
