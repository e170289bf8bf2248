"""The prefix index: longest contiguous prefix, least recently used first out, bounded, without drift."""

import itertools
import math
import random
import tracemalloc
from collections import OrderedDict

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pilotage_extproc.domain.prompt_blocks import (
    BLOCK_BYTES,
    BLOCK_ENDS,
    PromptBlocks,
    prompt_blocks,
    root_of,
)
from pilotage_extproc.state.prefix_index import PrefixIndex

TEXT = bytes(range(256)) * 400


def cached(index: PrefixIndex, prompt: PromptBlocks, row: int) -> float:
    found = index.cached_bytes(prompt, 64)
    return 0.0 if found is None else float(found[row])


@given(st.binary(max_size=20_000), st.binary(max_size=5_000), st.binary(max_size=5_000))
def test_prompts_share_the_blocks_of_their_common_prefix_and_no_more(common, one, other):
    first, second = prompt_blocks(common + b"\x00" + one), prompt_blocks(common + b"\x01" + other)
    shared = sum(a == b for a, b in zip(first.hashes, second.hashes, strict=False))
    whole = sum(end <= len(common) for end in BLOCK_ENDS)
    assert shared == whole
    assert first.hashes[:shared] == second.hashes[:shared]


def test_a_prefix_is_known_to_a_sixteenth_of_its_length():
    for end, following in itertools.pairwise(BLOCK_ENDS):
        if following < 4 << 20:
            assert following - end <= max(BLOCK_BYTES, following / 16)
    assert sum(end <= 1 << 20 for end in BLOCK_ENDS) < 150


def test_a_block_behind_a_missing_one_is_worth_nothing():
    index = PrefixIndex(max_bytes=1 << 20)
    prompt = prompt_blocks(TEXT[:5000])
    index.learn(3, prompt, 4.0)
    gap = PromptBlocks((prompt.hashes[0], 123, *prompt.hashes[2:]), prompt.ends, prompt.prompt_bytes)
    assert cached(index, gap, 3) == prompt.ends[0]
    headless = PromptBlocks((123, *prompt.hashes[1:]), prompt.ends, prompt.prompt_bytes)
    assert index.cached_bytes(headless, 64) is None


def test_the_endpoint_forgets_what_it_used_longest_ago_when_its_cache_is_full():
    index = PrefixIndex(max_bytes=1 << 22)
    index.size(0, 2000)
    prompts = [prompt_blocks(bytes([number]) * 4000) for number in range(3)]  # 1,000 tokens each
    for prompt in prompts[:2]:
        index.learn(0, prompt, 4.0)
    index.learn(0, prompts[0], 4.0)
    index.learn(0, prompts[2], 4.0)
    held = [cached(index, prompt, 0) for prompt in prompts]
    assert held[0] > 3500
    assert held[2] > 3500
    assert held[1] < 500


def test_an_endpoint_that_did_not_get_the_prompt_keeps_what_it_held_before():
    index = PrefixIndex(max_bytes=1 << 20)
    begun, longer = prompt_blocks(TEXT[:3000]), prompt_blocks(TEXT[:9000])
    index.learn(1, begun, 4.0)
    learned = index.learn(1, longer, 4.0)
    assert cached(index, longer, 1) == longer.ends[-1]
    index.unlearn(1, longer, learned)
    assert cached(index, longer, 1) == begun.ends[-1]


def test_a_restarted_endpoint_is_forgotten_and_no_other():
    index = PrefixIndex(max_bytes=1 << 20)
    prompt = prompt_blocks(TEXT[:3000])
    index.learn(1, prompt, 4.0)
    index.learn(2, prompt, 4.0)
    index.forget(1)
    assert (cached(index, prompt, 1), cached(index, prompt, 2)) == (0, prompt.ends[-1])
    assert index.block_count == len(prompt.hashes)


def test_models_do_not_share_prefixes():
    index = PrefixIndex(max_bytes=1 << 20)
    prompt = prompt_blocks(TEXT[:3000])
    index.learn(1, prompt.of_model(root_of("a")), 4.0)
    assert index.cached_bytes(prompt.of_model(root_of("b")), 64) is None
    assert index.holds(prompt.first_of_model(root_of("a")))
    assert not index.holds(prompt.first_of_model(root_of("b")))
    assert prompt.of_model(root_of("a")) is prompt.of_model(root_of("a"))


@pytest.mark.parametrize(("rows", "first"), [(1, 0), (8, 0), (60, 0), (60, 900), (300, 0), (8, 9990)])
def test_memory_is_bounded_over_all_endpoints_and_is_what_is_stated(rows, first):
    """Endpoints are filled one after another: those filled earlier must give room to the later."""
    bound = 2 << 20  # tracing memory is what takes the time
    index = PrefixIndex(max_bytes=bound, default_capacity_tokens=1e9)
    chance = random.Random(1)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    prompts = 900
    for number in range(prompts):
        row = first + number * rows // prompts
        index.learn(row, prompt_blocks(chance.randbytes(4096)).of_model(7), 4.0)
        assert index.held_bytes <= bound
        if number % 100 == 0:
            assert tracemalloc.get_traced_memory()[0] - before < 1.1 * bound
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.95 * bound < index.held_bytes <= bound
    assert 0.6 * bound < held < 1.1 * bound


def test_an_endpoint_that_holds_little_gives_nothing_up_for_one_that_holds_much():
    index = PrefixIndex(max_bytes=1 << 20, default_capacity_tokens=1e9)
    chance = random.Random(2)
    little = prompt_blocks(chance.randbytes(4096))
    index.learn(0, little, 4.0)
    for _ in range(500):
        index.learn(1, prompt_blocks(chance.randbytes(4096)), 4.0)
    assert cached(index, little, 0) == little.ends[-1]


def test_what_another_request_used_since_is_not_unlearned():
    index = PrefixIndex(max_bytes=1 << 20)
    begun, longer = prompt_blocks(TEXT[:3000]), prompt_blocks(TEXT[:9000])
    learned = index.learn(1, longer, 4.0)
    index.learn(1, begun, 4.0)
    index.unlearn(1, longer, learned)
    assert cached(index, longer, 1) == begun.ends[-1]
    assert index.block_count == len(begun.hashes)


def test_nothing_drifts_in_a_million_random_events():
    """Against a plain model that recounts; blocks are drawn from few prompts, so that they meet."""
    chance = random.Random(5)
    bound = 600_000
    index = PrefixIndex(max_bytes=bound)
    texts = [chance.randbytes(chance.randrange(200, 6000)) for _ in range(60)]
    prompts = [
        prompt_blocks(text[: chance.randrange(100, len(text) + 1)]) for text in texts for _ in range(2)
    ]
    events = 0
    while events < 1_000_000:
        row, prompt = chance.randrange(16) * 7, prompts[chance.randrange(len(prompts))]
        action = chance.random()
        if action < 0.80:
            learned = index.learn(row, prompt, 4.0)
            if action < 0.2:
                index.unlearn(row, prompt, learned)
        elif action < 0.9995:
            index.cached_bytes(prompt, 112)
        else:
            index.forget(row)
        events += max(1, len(prompt.hashes))
    masks = index._holders.values()
    counted = sum(len(held.blocks) for held in index._held.values())
    assert index.block_count == counted > 1000
    assert sum(mask.bit_count() for mask in masks) == counted
    assert index._mask_digits == sum(-(-mask.bit_length() // 30) for mask in masks)
    assert index.held_bytes <= bound
    for held in index._held.values():
        assert held.used_tokens == sum(packed & ((1 << 28) - 1) for packed in held.blocks.values())


class AgainstAModel(RuleBasedStateMachine):
    """Random prompts and capacities; the index always equals a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex(max_bytes=1 << 40)
        self.held: dict[int, OrderedDict[int, int]] = {}
        self.capacity: dict[int, float] = {}

    def _shrink(self, row: int) -> None:
        held = self.held[row]
        while held and sum(held.values()) > self.capacity.get(row, 131_072):
            held.popitem(last=False)

    @rule(row=st.integers(0, 3), start=st.integers(0, 5), length=st.integers(0, 5000))
    def a_prompt_is_placed(self, row, start, length):
        prompt = prompt_blocks(bytes([start]) + TEXT[:length])
        known = self.index.learn(row, prompt, 4.0).known
        held = self.held.setdefault(row, OrderedDict())
        expected = next((i for i, block in enumerate(prompt.hashes) if block not in held), len(prompt.hashes))
        assert known == expected
        sizes = [end - begin for begin, end in zip((0, *prompt.ends), prompt.ends, strict=False)]
        for block, size in reversed(list(zip(prompt.hashes, sizes, strict=True))):
            held[block] = math.ceil(size / 4.0)
            held.move_to_end(block)
        self._shrink(row)

    @rule(row=st.integers(0, 3), tokens=st.integers(100, 3000))
    def an_engine_tells_its_size(self, row, tokens):
        self.index.size(row, tokens)
        self.held.setdefault(row, OrderedDict())
        self.capacity[row] = tokens
        self._shrink(row)

    @rule(row=st.integers(0, 3))
    def an_endpoint_restarts(self, row):
        self.index.forget(row)
        self.held.pop(row, None)
        self.capacity.pop(row, None)

    @rule(start=st.integers(0, 5), length=st.integers(0, 5000))
    def the_longest_prefix_is_found(self, start, length):
        prompt = prompt_blocks(bytes([start]) + TEXT[:length])
        for row in range(4):
            held = self.held.get(row, {})
            depth = next(
                (i for i, block in enumerate(prompt.hashes) if block not in held), len(prompt.hashes)
            )
            assert cached(self.index, prompt, row) == (prompt.ends[depth - 1] if depth else 0)

    @invariant()
    def all_is_counted(self):
        assert self.index.block_count == sum(len(held) for held in self.held.values())


AgainstAModel.TestCase.settings = settings(max_examples=examples(30), stateful_step_count=40, deadline=None)
TestAgainstAModel = AgainstAModel.TestCase
