"""Many decode steps at once: the same state as one by one, at a fraction of the cost.

While an engine only adds one token to each of its requests, nothing happens in a step but time, and now
and then a block that is filled or taken. Virtual time computes such a run of steps in one go; a test
holds it against single steps.
"""

from itertools import accumulate

from pilotage_sim.engine.core import Engine
from pilotage_sim.engine.tokens import generated


def steps_ahead(engine: Engine) -> int:
    """So many next steps add one token to each running request and do nothing else: none ends or begins."""
    running, config = engine.running, engine.config
    if not running or len(running) > config.max_step_tokens:
        return 0
    if engine.waiting and len(running) < min(config.max_running, config.max_step_tokens):
        used = {sequence.adapter for sequence in running if sequence.adapter}
        if any(engine.lora_fits(sequence, used) for sequence in engine.waiting):
            return 0
    steps = min(sequence.max_tokens - sequence.generated for sequence in running) - 1
    if steps <= 0:
        return 0
    size, needed = config.block_tokens, 0
    for sequence in running:
        if sequence.generated == 0 or sequence.total - sequence.computed != 1:
            return 0
        needed += -(-(sequence.computed + steps) // size) - len(sequence.blocks)
    return steps if needed <= engine.blocks.free else 0


def step_ends(engine: Engine, steps: int, start: float, slow: float) -> list[float]:
    """When each of so many steps ends, the first beginning at `start`; `slow` multiplies their time."""
    count = len(engine.running)
    context = sum(sequence.computed for sequence in engine.running)
    step_seconds = engine.config.cost.step_seconds
    times = (
        step_seconds(tokens=count, context_tokens=context + count * number) * slow for number in range(steps)
    )
    return list(accumulate(times, initial=start))[1:]


def decode(engine: Engine, steps: int) -> None:
    """Compute so many steps, at most `steps_ahead`."""
    if steps <= 0:
        return
    size, running, blocks = engine.config.block_tokens, engine.running, engine.blocks
    takes: dict[int, list[int]] = {}
    names: dict[int, set[int]] = {}
    """By step: positions of requests that need a block, and of those that fill one."""
    begun = [sequence.computed for sequence in running]
    for position, sequence in enumerate(running):
        computed = begun[position]
        for step in range(len(sequence.blocks) * size - computed + 1, steps + 1, size):
            takes.setdefault(step, []).append(position)
        for step in range(size - computed % size, steps + 1, size):
            names.setdefault(step, set()).add(position)
        if sequence.named < computed // size:
            names.setdefault(1, set()).add(position)
        seed = sequence.salt.encode() + sequence.text[:64]
        sequence.generate(generated(seed, sequence.generated, steps), steps)
    for step in sorted(takes.keys() | names.keys()):
        evictions = blocks.evictions
        for position in takes.get(step, ()):
            running[position].blocks.append(blocks.take())
        filled = names.get(step, set())
        if blocks.evictions != evictions:
            # a name became free: a block with the same content may take it
            filled |= {position for position, sequence in enumerate(running) if sequence.twins}
        for position in sorted(filled):
            running[position].compute_to(begun[position] + step)
            engine.name_blocks(running[position])
    for position, sequence in enumerate(running):
        sequence.compute_to(begun[position] + steps)
    engine.counters.count_generated(steps * len(running))
