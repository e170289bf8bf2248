"""The paged KV cache: reference-counted blocks, found again by the hash of all text up to them."""

from collections import OrderedDict


class OutOfBlocks(Exception):
    """No block is free, not even by evicting a cached one."""


class BlockPool:
    """Blocks by content. A block no request uses stays cached until its place is needed, oldest first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._references: dict[int, int] = {}
        self._by_hash: dict[int, int] = {}
        self._hash_of: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._unused = list(range(capacity - 1, -1, -1))
        self.evictions = 0

    @property
    def used(self) -> int:
        """Blocks that requests hold."""
        return len(self._references)

    @property
    def usage(self) -> float:
        """Share of the blocks that requests hold, 0 to 1."""
        return self.used / self.capacity

    @property
    def free(self) -> int:
        """Blocks that can be had, evicting cached ones."""
        return len(self._unused) + len(self._idle)

    def idle_among(self, blocks: list[int]) -> int:
        """How many of them no request holds: they count as free until they are held."""
        return sum(block in self._idle for block in blocks)

    def match(self, hashes: list[int]) -> list[int]:
        """Cached blocks of the longest run of hashes from the first; not yet held."""
        found: list[int] = []
        for one in hashes:
            block = self._by_hash.get(one)
            if block is None:
                break
            found.append(block)
        return found

    def hold(self, blocks: list[int]) -> None:
        """Hold cached blocks."""
        for block in blocks:
            self._references[block] = self._references.get(block, 0) + 1
            self._idle.pop(block, None)

    def take(self) -> int:
        """Hold an empty block. Raises OutOfBlocks."""
        if self._unused:
            block = self._unused.pop()
        elif self._idle:
            block, _ = self._idle.popitem(last=False)
            self._forget(block)
            self.evictions += 1
        else:
            raise OutOfBlocks
        self._references[block] = 1
        return block

    def name(self, block: int, content_hash: int) -> bool:
        """A held block is full: it can be found by its content from now on, unless another has the same."""
        if content_hash in self._by_hash:
            return False
        if block in self._hash_of:
            self._forget(block)
        self._by_hash[content_hash] = block
        self._hash_of[block] = content_hash
        return True

    def release(self, blocks: list[int]) -> None:
        """Stop holding blocks; the last of a run is evicted first, as it is the least likely to be shared."""
        references, hash_of, idle = self._references, self._hash_of, self._idle
        for block in reversed(blocks):
            left = references[block] - 1
            if left:
                references[block] = left
                continue
            del references[block]
            if block in hash_of:
                idle[block] = None
            else:
                self._unused.append(block)

    def _forget(self, block: int) -> None:
        old = self._hash_of.pop(block, None)
        if old is not None:
            del self._by_hash[old]
