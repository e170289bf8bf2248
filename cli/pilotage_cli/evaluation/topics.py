"""Prompts as people write them in chats, made from phrases of a topic: exam questions sound otherwise."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pilotage_cli.evaluation.protocol import SEED, fold_of

DOMAINS: Final = ("math", "code", "law", "medicine", "business", "science", "history", "other")
PHRASES: Final = Path(__file__).parent / "data/topics.txt"
_EACH: Final = 6
"""Prompts a phrase."""
_FRAMES: Final = (
    *("{a}", "{a}?", "What is {a}?", "Explain {a}.", "Explain {a} in simple words.", "How does {a} work?"),
    *("Can you help me with {a}?", "I have a question about {a} and {b}.", "Tell me about {a}."),
    *("What is the difference between {a} and {b}?", "Give me five tips about {a}.", "Why does {a} matter?"),
    *("Write a short text about {a} and {b}.", "How do I deal with {a}?", "I need advice on {a}, thanks!"),
    *("My question: {a}. Also {b}.", "Please give me an example of {a}.", "Who can tell me more about {a}?"),
    *("We are talking about {a} at work tomorrow. What should I know about {b}?", "Compare {a} with {b}."),
    *("hi, quick one: {a}", "Describe {a} step by step.", "What happens with {a} after {b}?"),
    *("List the main points of {a}, then of {b} and {c}.", "Could {a} be caused by {b}?", "Summarise {a}."),
)


def phrases(path: Path = PHRASES) -> Mapping[str, tuple[str, ...]]:
    """Phrases of each domain."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        domain, colon, listed = line.partition(": ")
        if colon and not line.startswith("#"):
            found[domain] = tuple(phrase.strip() for phrase in listed.split(";"))
    return found


def topic_prompts(seed: int = SEED) -> list[tuple[str, str, int]]:
    """(prompt, domain, fold), each prompt once; the same for the same seed.

    All phrases of a prompt are of its fold: what is judged out of fold has phrases that were not fitted on.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    found: dict[str, tuple[str, int]] = {}
    for domain, listed in phrases().items():
        for phrase in listed:
            fold = fold_of(phrase)
            near = [one for one in listed if fold_of(one) == fold]
            for _ in range(_EACH):
                others = dice.choices(near, k=2)
                prompt = dice.choice(_FRAMES).format(a=phrase, b=others[0], c=others[1])
                found.setdefault(prompt if dice.random() < 0.7 else prompt.lower(), (domain, fold))
    return [(prompt, *rest) for prompt, rest in found.items()]
