"""Which endpoint probably holds which prompt prefix: block hashes by endpoint, oldest dropped first.

Approximate, as it is learned from where requests went and not from the engines themselves. The
longest contiguous prefix counts, as in vLLM's automatic prefix caching
(https://docs.vllm.ai/en/stable/design/prefix_caching/): a block behind a missing one is worth nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.prompt import PromptBlocks

BYTES_PER_BLOCK = 300
"""Memory of one block at one endpoint, measured (tests/unit/state); 130 more endpoints that hold it
too cost as much again."""

DEFAULT_CAPACITY_TOKENS = 131_072
"""Less than engines on current accelerators hold: an index that forgets too early costs less than one
that promises what is gone."""


@dataclass(slots=True)
class _Held:
    """What one endpoint holds."""

    blocks: "OrderedDict[int, float]"
    """Size in tokens by block, least recently used first."""
    used_tokens: float
    capacity_tokens: float


class PrefixIndex:
    """Blocks by row of the endpoint table. Memory is bounded by `max_blocks` over all rows together."""

    def __init__(self, *, max_blocks: int, default_capacity_tokens: float = DEFAULT_CAPACITY_TOKENS) -> None:
        """`default_capacity_tokens` is what an engine holds that does not say how much."""
        self._max_blocks = max_blocks
        self._default_capacity_tokens = default_capacity_tokens
        self._holders: dict[int, int] = {}  # bit n is row n: one `and` a block finds who holds all so far
        self._held: dict[int, _Held] = {}
        self.block_count = 0
        """Blocks held, each counted at every endpoint that holds it."""

    def size(self, row: int, capacity_tokens: float) -> None:
        """The engine's cache holds so many tokens."""
        held = self._of(row)
        held.capacity_tokens = capacity_tokens
        self._shrink(held, row)

    def cached_bytes(self, prompt: PromptBlocks, row_count: int) -> NDArray[np.float64] | None:
        """Bytes of the prompt's longest contiguous prefix at each row; None where no row holds any."""
        holders, ends = self._holders, prompt.ends
        before = holders.get(prompt.hashes[0], 0) if prompt.hashes else 0
        if not before:
            return None
        cached = np.zeros(row_count)
        depth = 0
        for block in prompt.hashes[1:]:
            now = holders.get(block, 0) & before
            if now != before:
                cached[_rows(before & ~now)] = ends[depth]
                if not now:
                    return cached
                before = now
            depth += 1
        cached[_rows(before)] = ends[depth]
        return cached

    def learn(self, row: int, prompt: PromptBlocks, bytes_per_token: float) -> int:
        """The endpoint holds the prompt now; returns how many leading blocks it held before.

        Later blocks count as older, since vLLM too frees a sequence from its end.
        """
        held = self._of(row)
        blocks, holders, bit = held.blocks, self._holders, 1 << row
        known = len(prompt.hashes)
        start = prompt.ends[-1] if prompt.ends else 0
        for depth in range(known - 1, -1, -1):
            block = prompt.hashes[depth]
            end, start = start, prompt.ends[depth - 1] if depth else 0
            if block in blocks:
                blocks.move_to_end(block)
            else:
                tokens = (end - start) / bytes_per_token
                blocks[block] = tokens
                held.used_tokens += tokens
                holders[block] = holders.get(block, 0) | bit
                self.block_count += 1
                known = depth
        self._shrink(held, row)
        return known

    def unlearn(self, row: int, prompt: PromptBlocks, known: int) -> None:
        """The endpoint did not get the prompt after all; what it held before (`known`) stays."""
        held = self._held.get(row)
        if held is None:
            return
        for block in prompt.hashes[known:]:
            tokens = held.blocks.pop(block, None)
            if tokens is not None:
                self._drop(row, held, block, tokens)

    def forget(self, row: int) -> None:
        """The endpoint is gone, or restarted with an empty cache."""
        held = self._held.pop(row, None)
        if held is None:
            return
        for block, tokens in held.blocks.items():
            self._drop(row, held, block, tokens)

    def _of(self, row: int) -> _Held:
        held = self._held.get(row)
        if held is None:
            held = self._held[row] = _Held(OrderedDict(), 0.0, self._default_capacity_tokens)
        return held

    def _shrink(self, held: _Held, row: int) -> None:
        share = max(1, self._max_blocks // len(self._held))
        while held.blocks and (held.used_tokens > held.capacity_tokens or len(held.blocks) > share):
            block, tokens = held.blocks.popitem(last=False)
            self._drop(row, held, block, tokens)

    def _drop(self, row: int, held: _Held, block: int, tokens: float) -> None:
        # sums of estimates drift: nothing held is exactly nothing
        held.used_tokens = held.used_tokens - tokens if held.blocks else 0.0
        self.block_count -= 1
        left = self._holders[block] & ~(1 << row)
        if left:
            self._holders[block] = left
        else:
            del self._holders[block]


def _rows(mask: int) -> list[int] | NDArray[np.intp]:
    if mask.bit_count() <= 8:
        rows = []
        while mask:
            low = mask & -mask
            rows.append(low.bit_length() - 1)
            mask ^= low
        return rows
    raw = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8, "little"), np.uint8)
    return np.unpackbits(raw, bitorder="little").nonzero()[0]
