"""Tokenize, detokenize and Anthropic's count, as vLLM 0.32 answers them.

A token here is four bytes of text, and its id is the number they make: detokenize gives the text back.
"""

from pilotage_sim.engine.tokens import BYTES_PER_TOKEN, token_count
from pilotage_sim.http.requests import BadRequest, Members, missing, prompt_tokens


def tokenize(body: Members, max_model_len: int) -> Members:
    """The ids of a prompt or a chat."""
    text = prompt_tokens(body)
    pieces = [text[at : at + BYTES_PER_TOKEN] for at in range(0, len(text), BYTES_PER_TOKEN)]
    ids = [int.from_bytes(piece, "little") for piece in pieces]
    strings = None
    if body.get("return_token_strs"):
        strings = [piece.decode("utf-8", "replace") for piece in pieces]
    return {"count": len(ids), "max_model_len": max_model_len, "tokens": ids, "token_strs": strings}


def detokenize(body: Members) -> Members:
    """The text of ids."""
    ids = body.get("tokens")
    if not isinstance(ids, list):
        raise missing("tokens")
    try:
        pieces = [int(one).to_bytes(BYTES_PER_TOKEN, "little").rstrip(b"\0") for one in ids]
    except (ValueError, TypeError, OverflowError):
        raise BadRequest(400, "Token id out of vocabulary", "BadRequestError", "tokens") from None
    return {"prompt": b"".join(pieces).decode("utf-8", "replace")}


def count(body: Members) -> Members:
    """How many tokens a message would be."""
    return {"input_tokens": token_count(prompt_tokens(body))}
