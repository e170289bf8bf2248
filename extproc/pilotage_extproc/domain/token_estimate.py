"""Tokens of a text, estimated from its bytes alone."""


def estimate_tokens(text: bytes) -> int:
    """About how many tokens a text has."""
    return len(text) // 4
