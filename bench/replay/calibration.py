"""What this machine takes for work of the same kinds as the picker's, and none of its code."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson
import xxhash

PIECES: Final = 100
_MESSAGE: Final = b'{"model":"llama","messages":[{"role":"user","content":"%b"}]}' % (b"word " * 300)
_LARGE: Final = b"x" * 200_000


@dataclass(slots=True)
class _Record:
    number: int
    name: str
    values: tuple[int, ...]


class Calibration:
    """A fixed loop: objects, dictionaries, short columns, parsing, hashing, and a copy of a large body."""

    def __init__(self) -> None:
        self._kept: dict[int, _Record] = {}
        self._column = np.arange(10, dtype=np.float64)

    def run(self) -> list[float]:
        """Seconds by piece; a piece takes some 100 µs."""
        taken = []
        for number in range(PIECES):
            began = time.perf_counter()
            self._piece(number)
            taken.append(time.perf_counter() - began)
        return taken

    def _piece(self, number: int) -> None:
        for round_ in range(6):
            for step in range(12):
                record = _Record(number, f"{number}-{step}", (number, step, round_))
                self._kept[step] = record
                if self._kept.get(step) is not record:
                    raise AssertionError
            parsed = orjson.loads(_MESSAGE)
            text = parsed["messages"][0]["content"].encode()
            digest = 0
            for at in range(0, len(text), 256):
                digest = xxhash.xxh3_64_intdigest(text[at : at + 256], digest)
            worth = self._column / (self._column + 1.0 + round_)
            worth.argsort()
        bytes(memoryview(_LARGE))
