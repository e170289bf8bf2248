"""Calls of models that pool, as vLLM 0.32 answers them: embeddings, classify, pooling, score, rerank."""

import time
from typing import Any

import xxhash

from pilotage_sim.engine.tokens import token_count
from pilotage_sim.http import shapes
from pilotage_sim.http.requests import BadRequest, Members, missing, prompt_tokens, text_of

_SIZE = 8
"""Of an embedding."""
_LABELS = ("negative", "positive")


def embeddings(body: Members, model: str) -> Members:
    """One vector an input."""
    texts = _inputs(body)
    rows = [
        {"index": index, "object": "embedding", "embedding": _vector(text)}
        for index, text in enumerate(texts)
    ]
    return _listed("embd-", model, rows, texts)


def pooling(body: Members, model: str) -> Members:
    """One row of a vector an input."""
    texts = _inputs(body)
    rows = [
        {"index": index, "object": "pooling", "data": [_vector(text)]} for index, text in enumerate(texts)
    ]
    return _listed("pool-", model, rows, texts)


def classify(body: Members, model: str) -> Members:
    """A label an input."""
    texts = _inputs(body)
    rows = []
    for index, text in enumerate(texts):
        share = _share(text)
        probabilities = [1.0 - share, share]
        label = _LABELS[share > 0.5]
        rows.append({"index": index, "label": label, "probs": probabilities, "num_classes": len(_LABELS)})
    return _listed("classify-", model, rows, texts)


def score(body: Members, model: str) -> Members:
    """How well each of the second texts fits the first; as many firsts as seconds go in pairs."""
    firsts = _list(_first_of(body, "text_1", "queries", "data_1"))
    seconds = _list(_first_of(body, "text_2", "documents", "items", "data_2"))
    if len(firsts) not in (1, len(seconds)):
        raise BadRequest(400, "Input lengths must be either 1:1, 1:N or N:N", "BadRequestError", None)
    pairs = zip(firsts * len(seconds) if len(firsts) == 1 else firsts, seconds, strict=True)
    texts = [f"{text_of(first)}\n{text_of(second)}" for first, second in pairs]
    rows = [{"index": index, "object": "score", "score": _share(text)} for index, text in enumerate(texts)]
    return _listed("score-", model, rows, texts)


def rerank(body: Members, model: str) -> Members:
    """Documents by how well they fit the query, the best first."""
    query = text_of(_first_of(body, "query"))
    documents = [text_of(one) for one in _list(_first_of(body, "documents"))]
    results = [
        {
            "index": index,
            "document": {"text": document, "multi_modal": None},
            "relevance_score": _share(f"{query}\n{document}"),
        }
        for index, document in enumerate(documents)
    ]
    results.sort(key=lambda result: -result["relevance_score"])  # type: ignore[operator]
    wanted = body.get("top_n") or len(results)
    tokens = sum(token_count(f"{query}\n{document}".encode()) for document in documents)
    return {
        "id": shapes.new_id("rerank-"),
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "results": results[:wanted],
    }


def _listed(prefix: str, model: str, rows: list[Members], texts: list[str]) -> Members:
    tokens = sum(token_count(text.encode()) for text in texts)
    counted = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
    return {
        "id": shapes.new_id(prefix),
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": rows,
        "usage": counted | {"prompt_tokens_details": None},
    }


def _inputs(body: Members) -> list[str]:
    """The inputs as text: strings, lists of token ids, or a chat."""
    given = body.get("input", body.get("data"))
    if given is None:
        return [prompt_tokens(body).decode()]
    if isinstance(given, list) and given and isinstance(given[0], int):
        return [str(given)]
    return [text_of(one) for one in _list(given)]


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _first_of(body: Members, *names: str) -> Any:
    for name in names:
        if body.get(name) is not None:
            return body[name]
    raise missing(names[0])


def _share(text: str) -> float:
    """Between 0 and 1, the same for the same text."""
    return (xxhash.xxh3_64_intdigest(text.encode()) % 10_000) / 10_000


def _vector(text: str) -> list[float]:
    return [_share(f"{number}:{text}") for number in range(_SIZE)]
