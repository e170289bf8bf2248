"""A prompt as a chain of block hashes: what two prompts share from their beginning can be compared.

Block `i`'s hash depends on all blocks before it, so equal hashes mean equal prefixes (vLLM's
automatic prefix caching chains its block hashes the same way). Blocks grow with their distance from
the beginning, sixteen to each doubling of the length: a prompt of 1 MB has 150, not 4,000, and the
length of a shared prefix is known to a sixteenth of itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

BLOCK_BYTES = 256
"""Of the first blocks: about 64 tokens, four blocks of a GPU engine."""
BLOCKS_PER_DOUBLING = 16
_MAX_PROMPT_BYTES = 1 << 28


@dataclass(slots=True, frozen=True)
class PromptBlocks:
    """The full blocks of one prompt. Holds no text."""

    hashes: tuple[int, ...]
    ends: tuple[int, ...]
    """Bytes of the prompt up to the end of each block."""
    prompt_bytes: int
    """Of the whole prompt, what is behind the last full block included."""


def _ends() -> Iterator[int]:
    end = 0
    while end < _MAX_PROMPT_BYTES:
        doubling = max(end, BLOCK_BYTES * BLOCKS_PER_DOUBLING).bit_length() - 1
        end += (1 << doubling) // BLOCKS_PER_DOUBLING
        yield end


BLOCK_ENDS = tuple(_ends())
"""Where blocks end, in bytes; the same for every prompt."""


def prompt_blocks(prompt: bytes, root: int) -> PromptBlocks:
    """Chain the hashes of a prompt's full blocks. `root` stands for the model and adapter."""
    hashes: list[int] = []
    digest, start, length = xxhash.xxh3_64_intdigest, 0, len(prompt)
    block = root
    for end in BLOCK_ENDS:
        if end > length:
            break
        block = digest(prompt[start:end], block)
        hashes.append(block)
        start = end
    return PromptBlocks(tuple(hashes), BLOCK_ENDS[: len(hashes)], length)


def root_of(model: str) -> int:
    """The beginning of every chain of a model or adapter: their caches hold different things."""
    return xxhash.xxh3_64_intdigest(model.encode())
