"""Members that stand twice in one object: some parsers take the first and some the last of them."""

from collections.abc import Generator
from typing import Any, Final

from pilotage_extproc.content.json_strings import json_texts

_PAUSE_EVERY: Final = 512


def repeated_members(body: bytes, parsed: Any) -> Generator[None, None, bool]:
    """Whether some object of a valid JSON body has a member twice; `parsed` is what it was read as.

    Steps with pauses. There are as many keys in the bytes as in what was parsed, or some were lost.
    """
    written = 0
    for count, one in enumerate(json_texts(body), 1):
        written += one is not None and one.is_key
        if one is None or count % _PAUSE_EVERY == 0:
            yield
    left, read = [parsed], 0
    count = 0
    while left:
        value = left.pop()
        if isinstance(value, dict):
            read += len(value)
            left += [one for one in value.values() if isinstance(one, dict | list)]
        else:
            left += [one for one in value if isinstance(one, dict | list)]
        count += 1
        if count % _PAUSE_EVERY == 0:
            yield
    return written != read
