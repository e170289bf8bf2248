"""A stand-in for a tokeniser: four bytes of text are a token. Deterministic, and cheap."""

import xxhash

BYTES_PER_TOKEN = 4
_WORDS = b"the sky is blue and a token here has four bytes so we count them fast "


def token_count(text: bytes) -> int:
    """Tokens of a text; at least one."""
    return max(1, -(-len(text) // BYTES_PER_TOKEN))


def generated(seed: bytes, start: int, count: int) -> bytes:
    """Tokens `start` to `start + count` of the answer to a prompt: the same prompt has the same answer."""
    offset = xxhash.xxh3_64_intdigest(seed) % len(_WORDS)
    begin = (offset + start * BYTES_PER_TOKEN) % len(_WORDS)
    length = count * BYTES_PER_TOKEN
    repeated = _WORDS * (2 + length // len(_WORDS))
    return repeated[begin : begin + length]


def extend_hashes(hashes: list[int], text: bytes | bytearray, salt: str, block_tokens: int) -> None:
    """Append the hash of every full block of `text` past those already there.

    Each hash covers all text before it, so that equal hashes mean equal prefixes. `salt` tells
    models and adapters apart: their KV caches are not interchangeable.
    """
    block_bytes = block_tokens * BYTES_PER_TOKEN
    parent = hashes[-1] if hashes else xxhash.xxh3_64_intdigest(salt.encode())
    for start in range(len(hashes) * block_bytes, len(text) - block_bytes + 1, block_bytes):
        parent = xxhash.xxh3_64_intdigest(text[start : start + block_bytes], parent & (2**63 - 1))
        hashes.append(parent)
