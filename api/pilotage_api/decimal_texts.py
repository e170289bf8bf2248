"""Numbers as text: what each kind of them looks like, for the schema and in words."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MONEY: Final = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$"
SECONDS: Final = r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$"
SHARE: Final = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"
QUANTILE: Final = r"^0\.[0-9]{1,6}$"
DURATION: Final = r"^[1-9][0-9]{0,5}(ms|s|m|h)$"

IN_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        MONEY: ("an amount of dollars from 0 on, as decimal text", 'write it like "0.05"'),
        SECONDS: ("a number of seconds, as decimal text", 'write it like "2" or "0.5"'),
        SHARE: ("a number from 0 to 1, as decimal text", 'write it like "0.75"'),
        QUANTILE: ("a number between 0 and 1, as decimal text", 'write it like "0.9"'),
        DURATION: ("a length of time", "write it like 500ms, 5s, 10m or 1h"),
    }
)
"""By pattern: what is expected, and the fix."""
