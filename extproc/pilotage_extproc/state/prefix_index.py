"""Which endpoint probably holds which prompt prefix: block hashes by endpoint, oldest dropped first.

Approximate, as it is learned from where requests went and not from the engines themselves. The
longest contiguous prefix counts, as in vLLM's automatic prefix caching
(https://docs.vllm.ai/en/stable/design/prefix_caching/): a block behind a missing one is worth nothing.
"""

import math
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.prompt_blocks import PromptBlocks

HOLDING_BYTES: Final = 210
"""Memory of one block at one endpoint, measured (tests/unit/state)."""
HELD_BYTES: Final = 130
"""And of a block that any endpoint holds, beside the mask of who does."""
ENDPOINT_BYTES: Final = 2000
"""And of an endpoint, whatever it holds: tables keep room for what they have given up."""
_DIGIT_BITS: Final = 30
_DIGIT_BYTES: Final = 4
"""Of Python's integers: a mask costs as much as the highest row in it asks for."""
_SIZE_BITS: Final = 28
_LARGEST: Final = (1 << _SIZE_BITS) - 1
_FEW_HOLDERS: Final = 16
"""Rows that are told one by one."""
_TAKEN_AT_ONCE: Final = 64
"""Blocks that one endpoint gives up before it is the next one's turn."""

DEFAULT_CAPACITY_TOKENS = 131_072
"""Less than engines on current accelerators hold: an index that forgets too early costs less than one
that promises what is gone."""


class Learned(NamedTuple):
    """What learning a prompt changed, so that it can be taken back."""

    known: int
    """Leading blocks the endpoint held before."""
    touch: int
    """Number of this learning: what was touched later has a higher one."""


NOTHING_LEARNED: Final = Learned(0, 0)


@dataclass(slots=True)
class _Held:
    """What one endpoint holds."""

    blocks: "OrderedDict[int, int]"
    """Touch and size in tokens (the lower bits) by block, least recently used first."""
    used_tokens: int
    capacity_tokens: float


class PrefixIndex:
    """Blocks by row of the endpoint table. Memory is bounded by `max_bytes` over all rows together."""

    def __init__(self, *, max_bytes: int, default_capacity_tokens: float = DEFAULT_CAPACITY_TOKENS) -> None:
        """`default_capacity_tokens` is what an engine holds that does not say how much."""
        self._max_bytes = max_bytes
        self._default_capacity_tokens = default_capacity_tokens
        self._holders: dict[int, int] = {}  # bit n is row n: one `and` a block finds who holds all so far
        self._held: OrderedDict[int, _Held] = OrderedDict()  # the first is the next to give blocks up
        self._touch = 0
        self.block_count = 0
        """Blocks held, each counted at every endpoint that holds it."""
        self._mask_digits = 0

    @property
    def held_bytes(self) -> int:
        """Memory in use, as measured by block; the bound's measure."""
        return (
            HOLDING_BYTES * self.block_count
            + HELD_BYTES * len(self._holders)
            + ENDPOINT_BYTES * len(self._held)
            + _DIGIT_BYTES * self._mask_digits
        )

    def size(self, row: int, capacity_tokens: float) -> None:
        """The engine's cache holds so many tokens; 0 where it caches no prefixes."""
        held = self._of(row)
        held.capacity_tokens = capacity_tokens
        self._shrink(held, row)
        self._keep_bound()

    def holds(self, first: int) -> bool:
        """Whether any endpoint holds a prompt that begins with this block."""
        return first in self._holders

    def cached_bytes(self, prompt: PromptBlocks, row_count: int) -> NDArray[np.float64] | None:
        """Bytes of the prompt's longest contiguous prefix at each row; None where no row holds any."""
        holders = self._holders_of(prompt)
        if not holders:
            return None
        cached = np.zeros(row_count)
        for mask, end in holders:
            cached[_rows(mask)] = end
        return cached

    def few_holders(self, prompt: PromptBlocks) -> dict[int, float] | None:
        """The same by row, of those that hold any; None where these are more than a few.

        The prompt must have a block.
        """
        if self._holders.get(prompt.hashes[0], 0).bit_count() > _FEW_HOLDERS:
            return None
        held: dict[int, float] = {}
        for mask, end in self._holders_of(prompt):
            for row in _rows(mask):
                held[row] = end
        return held

    def _holders_of(self, prompt: PromptBlocks) -> list[tuple[int, int]]:
        """Masks of rows, and how many bytes of the prompt each of these holds; each row is in one at most."""
        holders, ends, found = self._holders, prompt.ends, []
        before = holders.get(prompt.hashes[0], 0) if prompt.hashes else 0
        if not before:
            return []
        depth = 0
        for block in prompt.hashes[1:]:
            now = holders.get(block, 0) & before
            if now != before:
                found.append((before & ~now, ends[depth]))
                if not now:
                    return found
                before = now
            depth += 1
        found.append((before, ends[depth]))
        return found

    def learn(self, row: int, prompt: PromptBlocks, bytes_per_token: float) -> Learned:
        """The endpoint holds the prompt now.

        Later blocks count as older, since vLLM too frees a sequence from its end.
        """
        held = self._held.get(row) or self._of(row)
        if held.capacity_tokens <= 0:
            return NOTHING_LEARNED
        hashes, ends, blocks, holders = prompt.hashes, prompt.ends, held.blocks, self._holders
        block_of, to_end, bit, digits = blocks.get, blocks.move_to_end, 1 << row, row // _DIGIT_BITS + 1
        self._touch += 1
        touched = self._touch << _SIZE_BITS
        used = added = mask_digits = 0
        depth = known = len(hashes)
        for block in reversed(hashes):
            depth -= 1
            before = block_of(block)
            if before is not None:
                blocks[block] = touched | (before & _LARGEST)
                to_end(block)
                continue
            length = ends[depth] - ends[depth - 1] if depth else ends[0]
            tokens = min(_LARGEST, math.ceil(length / bytes_per_token))
            blocks[block] = touched | tokens
            used += tokens
            added += 1
            mask = holders.get(block, 0)
            holders[block] = mask | bit
            if mask < bit:
                mask_digits += digits - (_digits(mask) if mask else 0)
            known = depth
        if added:
            held.used_tokens += used
            self.block_count += added
            self._mask_digits += mask_digits
            self._shrink(held, row)
            self._keep_bound()
        return Learned(known, self._touch)

    def unlearn(self, row: int, prompt: PromptBlocks, learned: Learned) -> None:
        """The endpoint did not get the prompt after all.

        What it held before stays, and what another request has brought or used since.
        """
        held = self._held.get(row)
        if held is None:
            return
        gone: list[tuple[int, int]] = []
        for block in prompt.hashes[learned.known :]:
            packed = held.blocks.get(block)
            if packed is not None and packed >> _SIZE_BITS == learned.touch:
                del held.blocks[block]
                gone.append((block, packed))
        self._drop(row, held, gone)

    def forget(self, row: int) -> None:
        """The endpoint is gone, or restarted with an empty cache."""
        held = self._held.pop(row, None)
        if held is not None:
            self._drop(row, held, held.blocks.items())

    def _of(self, row: int) -> _Held:
        held = self._held.get(row)
        if held is None:
            held = self._held[row] = _Held(OrderedDict(), 0, self._default_capacity_tokens)
        return held

    def _shrink(self, held: _Held, row: int) -> None:
        excess, gone = held.used_tokens - held.capacity_tokens, []
        while excess > 0:
            oldest = held.blocks.popitem(last=False)
            gone.append(oldest)
            excess -= oldest[1] & _LARGEST
        self._drop(row, held, gone)

    def _keep_bound(self) -> None:
        """Endpoints that hold no less than the mean give up what they used longest ago, in turn."""
        while self.held_bytes > self._max_bytes and self.block_count:
            row = next(iter(self._held))
            held = self._held[row]
            mean = self.block_count // len(self._held)
            if held.blocks and len(held.blocks) >= mean:
                for _ in range(min(_TAKEN_AT_ONCE, max(1, len(held.blocks) - mean))):
                    self._drop_oldest(row, held)
                    if self.held_bytes <= self._max_bytes:
                        return
            self._held.move_to_end(row)

    def _drop_oldest(self, row: int, held: _Held) -> None:
        self._drop(row, held, (held.blocks.popitem(last=False),))

    def _drop(self, row: int, held: _Held, gone: Collection[tuple[int, int]]) -> None:
        """The endpoint holds these no longer: blocks, with their touch and size."""
        holders, bit, digits = self._holders, 1 << row, row // _DIGIT_BITS + 1
        freed = mask_digits = 0
        for block, packed in gone:
            freed += packed & _LARGEST
            left = holders[block] & ~bit
            if left:
                holders[block] = left
                if left < bit:  # the highest row in it is another one now
                    mask_digits += digits - _digits(left)
            else:
                del holders[block]
                mask_digits += digits
        held.used_tokens -= freed
        self.block_count -= len(gone)
        self._mask_digits -= mask_digits


def _digits(mask: int) -> int:
    """Of Python's, that a mask has; none where no row is in it."""
    return (mask.bit_length() + _DIGIT_BITS - 1) // _DIGIT_BITS


def _rows(mask: int) -> list[int] | NDArray[np.intp]:
    if mask.bit_count() <= _FEW_HOLDERS:
        rows = []
        while mask:
            low = mask & -mask
            rows.append(low.bit_length() - 1)
            mask ^= low
        return rows
    raw = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8, "little"), np.uint8)
    return np.unpackbits(raw, bitorder="little").nonzero()[0]
