"""One engine: requests in, steps out. After vLLM's V1 scheduler, in its default settings.

Each step spends a token budget: one token for every running request that is past its prompt, then
prompt chunks, then requests from the queue while a sequence slot, a LoRA slot and KV blocks are free.
When no block is left for a running request, the youngest is sent back to the queue and computed again.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from pilotage_sim.engine.blocks import BlockPool, OutOfBlocks
from pilotage_sim.engine.cost import CostModel
from pilotage_sim.engine.tokens import BYTES_PER_TOKEN, extend_hashes, generated, token_count


@dataclass(slots=True, frozen=True)
class EngineConfig:
    """Limits of one engine; the defaults are vLLM's."""

    cost: CostModel
    block_tokens: int = 16
    max_running: int = 256
    max_step_tokens: int = 8192
    max_loras: int = 4
    max_model_tokens: int = 131_072
    prefix_caching: bool = True


@dataclass(slots=True, eq=False)
class Sequence:
    """One request inside the engine."""

    id: str
    text: bytearray
    """The prompt, and what has been generated since."""
    prompt_tokens: int
    max_tokens: int
    salt: str
    adapter: str | None = None
    computed: int = 0
    """Tokens whose KV is there."""
    generated: int = 0
    cached: int = 0
    """Prompt tokens that were found in the cache."""
    counted: bool = False
    """Whether its prompt has been counted in the metrics."""
    blocks: list[int] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    named: int = 0
    """Leading blocks that can be found by their content, or whose content another block has."""
    twins: list[int] = field(default_factory=list)
    """Those of `named` whose content another block had: they take its name when it is evicted."""

    @property
    def total(self) -> int:
        """Tokens known so far."""
        return self.prompt_tokens + self.generated

    def generate(self, text: bytes, tokens: int) -> None:
        """So many tokens have been generated."""
        self.text += text
        self.generated += tokens

    def compute_to(self, tokens: int) -> None:
        """The KV of so many leading tokens is there."""
        self.computed = tokens


@dataclass(slots=True, frozen=True)
class Emitted:
    """Tokens a step produced for one request."""

    id: str
    text: bytes
    tokens: int
    finished: bool


@dataclass(slots=True, frozen=True)
class StepResult:
    """What a step took and gave; its tokens exist at its end."""

    seconds: float
    emitted: tuple[Emitted, ...]


@dataclass(slots=True)
class EngineCounters:
    """Totals, as vLLM's metrics count them."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    preemptions: int = 0
    finished: int = 0
    aborted: int = 0

    def count_generated(self, tokens: int) -> None:
        """So many tokens have been generated."""
        self.generation_tokens += tokens


class Engine:
    """A model server's engine as a state machine."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.blocks = BlockPool(max(1, config.cost.kv_cache_tokens // config.block_tokens))
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.counters = EngineCounters()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.running

    def running_adapters(self) -> list[str]:
        """Adapters in use now."""
        return sorted({one.adapter for one in self.running if one.adapter})

    def waiting_adapters(self) -> list[str]:
        """Adapters requests in the queue need."""
        return sorted({one.adapter for one in self.waiting if one.adapter})

    def add(
        self, request_id: str, prompt: bytes, max_tokens: int, *, model: str, adapter: str | None
    ) -> Sequence:
        """Queue a request. The caller has checked that it fits the model's context."""
        sequence = Sequence(
            request_id,
            bytearray(prompt),
            token_count(prompt),
            max(1, max_tokens),
            f"{model}\0{adapter or ''}",
            adapter,
        )
        self.waiting.append(sequence)
        return sequence

    def abort(self, request_id: str) -> None:
        """Drop a request wherever it is."""
        for queue in (self.running, self.waiting):
            for sequence in queue:
                if sequence.id == request_id:
                    queue.remove(sequence)
                    self._release(sequence)
                    self.counters.aborted += 1
                    return

    def step(self) -> StepResult:
        """Compute one batch. With nothing to do it takes no time."""
        budget = self.config.max_step_tokens
        work: list[tuple[Sequence, int]] = []
        preemptions = self.counters.preemptions
        for sequence in list(self.running):
            if preemptions != self.counters.preemptions and sequence not in self.running:
                continue  # sent back by an earlier one
            tokens = min(budget, sequence.total - sequence.computed)
            if tokens <= 0:
                continue
            room = len(sequence.blocks) * self.config.block_tokens - sequence.computed
            if tokens > room and not self._grow(sequence, tokens):
                continue
            work.append((sequence, tokens))
            budget -= tokens
        budget = self._admit(budget, work)
        if preemptions != self.counters.preemptions:
            work = [(sequence, tokens) for sequence, tokens in work if sequence in self.running]
        if not work:
            return StepResult(0.0, ())
        computed = sum(tokens for _, tokens in work)
        context = sum(sequence.computed for sequence, _ in work)
        seconds = self.config.cost.step_seconds(tokens=computed, context_tokens=context)
        return StepResult(seconds, tuple(self._finish(work)))

    def _admit(self, budget: int, work: list[tuple[Sequence, int]]) -> int:
        held_back: list[Sequence] = []
        used = {one.adapter for one in self.running if one.adapter} if self.waiting else set()
        while self.waiting and budget > 0 and len(self.running) < self.config.max_running:
            sequence = self.waiting.popleft()
            if not self.lora_fits(sequence, used):
                held_back.append(sequence)
                continue
            found = self._cached_blocks(sequence)
            computed = len(found) * self.config.block_tokens
            tokens = min(budget, sequence.total - computed)
            needed = self._blocks_of(computed + tokens) - len(found)
            if needed > self.blocks.free - self.blocks.idle_among(found):
                # as in vLLM nothing is evicted for a request that does not fit
                self.waiting.appendleft(sequence)
                break
            self._take_over(sequence, found)
            self.running.append(sequence)
            if sequence.adapter is not None:
                used.add(sequence.adapter)
            self._grow(sequence, tokens)
            self._count_prompt(sequence)
            work.append((sequence, tokens))
            budget -= tokens
        self.waiting.extendleft(reversed(held_back))
        return budget

    def lora_fits(self, sequence: Sequence, used: Collection[str]) -> bool:
        """Whether its adapter has a slot, or can have one, while `used` are in slots."""
        return sequence.adapter is None or sequence.adapter in used or len(used) < self.config.max_loras

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self.config.block_tokens)

    def _cached_blocks(self, sequence: Sequence) -> list[int]:
        """Blocks it could take over; the last prompt token is always computed, for its output."""
        extend_hashes(sequence.hashes, sequence.text, sequence.salt, self.config.block_tokens)
        usable = (sequence.total - 1) // self.config.block_tokens
        return self.blocks.match(sequence.hashes[:usable])

    def _take_over(self, sequence: Sequence, found: list[int]) -> None:
        self.blocks.hold(found)
        sequence.blocks = found
        sequence.named = len(found)
        sequence.computed = len(found) * self.config.block_tokens
        if not sequence.counted:
            sequence.cached = min(sequence.computed, sequence.prompt_tokens)

    def _count_prompt(self, sequence: Sequence) -> None:
        if not sequence.counted:
            sequence.counted = True
            self.counters.prompt_tokens += sequence.prompt_tokens
            self.counters.prefix_queries += sequence.prompt_tokens
            self.counters.prefix_hits += sequence.cached

    def _grow(self, sequence: Sequence, tokens: int) -> bool:
        """Hold blocks for so many more tokens, sending the youngest request back if it must be."""
        needed = self._blocks_of(sequence.computed + tokens)
        blocks, take = sequence.blocks, self.blocks.take
        while len(blocks) < needed:
            try:
                blocks.append(take())
            except OutOfBlocks:
                victim = self.running[-1]
                if victim is sequence:
                    if len(self.running) > 1:
                        self._preempt(sequence)
                    return False
                self._preempt(victim)
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.appendleft(sequence)
        self.counters.preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.named = 0
        sequence.twins = []
        sequence.computed = 0

    def _finish(self, work: list[tuple[Sequence, int]]) -> list[Emitted]:
        emitted = []
        size = self.config.block_tokens
        for sequence, tokens in work:
            sequence.computed += tokens
            if sequence.twins or sequence.computed // size > sequence.named:
                self.name_blocks(sequence)
            if sequence.computed < sequence.total:
                continue  # more of its prompt to come
            text = generated(sequence.salt.encode() + sequence.text[:64], sequence.generated, 1)
            sequence.text += b" " * (sequence.total * BYTES_PER_TOKEN - len(sequence.text)) + text
            sequence.generated += 1
            self.counters.generation_tokens += 1
            finished = sequence.generated >= sequence.max_tokens
            if finished:
                self.running.remove(sequence)
                self._release(sequence)
                self.counters.finished += 1
            emitted.append(Emitted(sequence.id, text, 1, finished))
        return emitted

    def name_blocks(self, sequence: Sequence) -> None:
        """Let its full blocks be found. A block whose content another has may take its name later."""
        if not self.config.prefix_caching:
            return
        blocks, hashes = sequence.blocks, sequence.hashes
        if sequence.twins:
            sequence.twins = [
                index for index in sequence.twins if not self.blocks.name(blocks[index], hashes[index])
            ]
        full = sequence.computed // self.config.block_tokens
        if full > len(hashes):
            extend_hashes(hashes, sequence.text, sequence.salt, self.config.block_tokens)
        for index in range(sequence.named, min(full, len(hashes))):
            if not self.blocks.name(blocks[index], hashes[index]):
                sequence.twins.append(index)
            sequence.named = index + 1
