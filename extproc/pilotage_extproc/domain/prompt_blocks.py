"""A prompt as a chain of block hashes: what two prompts share from their beginning can be compared.

Block `i`'s hash depends on all blocks before it, so equal hashes mean equal prefixes (vLLM's
automatic prefix caching chains its block hashes the same way). Blocks grow with their distance from
the beginning, sixteen to each doubling of the length: a prompt of 1 MB has 150, not 4,000, and the
length of a shared prefix is known to a sixteenth of itself.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import xxhash

BLOCK_BYTES = 256
"""Of the first blocks: about 64 tokens, four blocks of a GPU engine."""
BLOCKS_PER_DOUBLING = 16
_MAX_PROMPT_BYTES = 1 << 28
_MOST_KEPT = 4
"""Models whose blocks are kept of one prompt: those of a list of attempts."""


class PromptBlocks:
    """The full blocks of one prompt. Holds no text."""

    __slots__ = ("_of_root", "all_text", "ends", "hashes", "prompt_bytes")

    def __init__(
        self, hashes: tuple[int, ...], ends: tuple[int, ...], prompt_bytes: int, all_text: bool = True
    ) -> None:
        self.hashes = hashes
        self.ends = ends
        """Bytes of the prompt up to the end of each block."""
        self.prompt_bytes = prompt_bytes
        """Of the whole prompt, what is behind the last full block included."""
        self.all_text = all_text
        """Whether it is text, all of it: the engine's count of its tokens tells the bytes of a token."""
        self._of_root: dict[int, PromptBlocks] = {}

    def of_model(self, root: int) -> "PromptBlocks":
        """The same prompt as a model or adapter holds it: their caches hold different things."""
        made = self._of_root.get(root)
        if made is None:  # deciding and learning ask for the same
            hashes = tuple([block ^ root for block in self.hashes])
            made = PromptBlocks(hashes, self.ends, self.prompt_bytes, self.all_text)
            if len(self._of_root) < _MOST_KEPT:
                self._of_root[root] = made
        return made

    def first_of_model(self, root: int) -> int:
        """The first hash of `of_model`: nobody who lacks it holds any of the prompt. There has to be one."""
        return self.hashes[0] ^ root

    def packed(self) -> "PackedBlocks":
        """The same in an eighth of the memory, to be kept while a request is open."""
        return PackedBlocks(array("Q", self.hashes), self.prompt_bytes, self.all_text)


class PackedBlocks(NamedTuple):
    """A prompt's blocks, packed."""

    hashes: "array[int]"
    prompt_bytes: int
    all_text: bool

    def blocks(self) -> PromptBlocks:
        """Ready to be compared again."""
        ends = BLOCK_ENDS[: len(self.hashes)]
        return PromptBlocks(tuple(self.hashes), ends, self.prompt_bytes, self.all_text)


def _ends() -> Iterator[int]:
    end = 0
    while end < _MAX_PROMPT_BYTES:
        doubling = max(end, BLOCK_BYTES * BLOCKS_PER_DOUBLING).bit_length() - 1
        end += (1 << doubling) // BLOCKS_PER_DOUBLING
        yield end


BLOCK_ENDS = tuple(_ends())
"""Where blocks end, in bytes; the same for every prompt."""
_PARTS: Final = tuple(slice(*span) for span in pairwise((0, *BLOCK_ENDS)))


def prompt_blocks(prompt: bytes, salt: int = 0, *, all_text: bool = True) -> PromptBlocks:
    """Chain the hashes of a prompt's full blocks; prompts of different salts share none."""
    digest, view, length, block = xxhash.xxh3_64_intdigest, memoryview(prompt), len(prompt), salt
    count = bisect_right(BLOCK_ENDS, length)
    hashes = tuple([block := digest(view[part], block) for part in _PARTS[:count]])
    return PromptBlocks(hashes, BLOCK_ENDS[:count], length, all_text)


def root_of(model: str) -> int:
    """What tells the blocks of a model or adapter from those of others."""
    return xxhash.xxh3_64_intdigest(model.encode())
