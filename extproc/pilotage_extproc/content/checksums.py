"""Check digits of card, account and identity numbers."""

from collections.abc import Sequence
from typing import Final

import numpy as np

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_VERHOEFF_MULTIPLY: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_VERHOEFF_PERMUTE: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


class LuhnSums:
    """Luhn's sums up to each digit, so that any stretch of digits is checked by a subtraction."""

    def __init__(self, digits: str) -> None:
        values = np.frombuffer(digits.encode(), np.uint8).astype(np.int64) - 48
        doubled = np.array(_DOUBLED)[values]
        even = np.arange(len(values)) % 2 == 0
        zero = np.zeros(1, np.int64)
        # the digit before the last is doubled: which ones are depends on whether the end is even or odd
        self._to_odd_end = np.concatenate((zero, np.where(even, values, doubled).cumsum())).tolist()
        self._to_even_end = np.concatenate((zero, np.where(even, doubled, values).cumsum())).tolist()

    def holds(self, start: int, end: int) -> bool:
        """Whether digits `start` to `end` end with their check digit (ISO/IEC 7812-1, annex B)."""
        sums = self._to_odd_end if end % 2 else self._to_even_end
        return bool((sums[end] - sums[start]) % 10 == 0)


def mod_97(alphanumeric: str) -> bool:
    """ISO 13616: the first four characters behind the rest, letters as 10 to 35, leaves 1."""
    turned = alphanumeric[4:] + alphanumeric[:4]
    return int("".join([str(int(char, 36)) for char in turned])) % 97 == 1


def verhoeff(digits: Sequence[int]) -> bool:
    """J. Verhoeff, Error Detecting Decimal Codes, 1969."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_MULTIPLY[check][_VERHOEFF_PERMUTE[place % 8][digit]]
    return check == 0


def mod_11_10(digits: Sequence[int]) -> bool:
    """ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == digits[-1]


def cpf(digits: Sequence[int]) -> bool:
    """Brazil's CPF: two check digits, modulo 11; not all alike."""
    if len(set(digits)) == 1:
        return False
    for known in (9, 10):
        weighed = sum(digit * weight for digit, weight in zip(digits, range(known + 1, 1, -1), strict=False))
        if weighed * 10 % 11 % 10 != digits[known]:
            return False
    return True
