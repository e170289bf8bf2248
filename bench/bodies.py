"""Request bodies: prompts that share one of twenty prefixes, as system prompts do."""

import json
import random
from pathlib import Path

PREFIXES = 20
MODEL = "llama"
_WORDS = 4000


def write_bodies(folder: Path, size: int, count: int, *, stream: bool = False, seed: int = 1) -> None:
    """Write `count` chat bodies of about `size` bytes, half prefix and half their own."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(_WORDS)]

    def text(length: int) -> str:
        parts: list[str] = []
        have = 0
        while have < length:
            word = chance.choice(words) + chance.choice(["", "", "", ",", ".", ".\n"])
            parts.append(word)
            have += len(word) + 1
        return " ".join(parts)[:length]

    prefixes = [text(size // 2) for _ in range(PREFIXES)]
    for index in range(count):
        messages = [
            {"role": "system", "content": prefixes[index % PREFIXES]},
            {"role": "user", "content": text(size // 2 - 150)},
        ]
        body = {"messages": messages, "model": MODEL, "max_tokens": 16}
        if stream:
            body["stream"] = True
        (folder / f"{index}.json").write_text(json.dumps(body))
