"""Money inside: whole nano-dollars; outside it is decimal text of dollars."""

from decimal import Decimal
from typing import Final

NANO: Final = 10**9
"""Nano-dollars in a dollar."""
MOST_NANO: Final = 9_000_000 * NANO
"""Largest amount that is counted exactly: scripts of Valkey count in doubles, whole up to 2^53."""


def nano_dollars(dollars: str | Decimal) -> int:
    """Nano-dollars of an amount of dollars with at most nine decimals. Raises ValueError for more."""
    nano = Decimal(dollars) * NANO
    whole = int(nano)
    if whole != nano:
        raise ValueError(f"{dollars} has more than nine decimals")
    return whole


def dollars_text(nano: int) -> str:
    """Nano-dollars as decimal text of dollars, without zeros at its end."""
    whole, rest = divmod(abs(nano), NANO)
    fraction = f"{rest:09d}".rstrip("0")
    return f"{'-' if nano < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"
