"""One request of a workload: the same bytes in virtual time and over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pilotage_sim.engine.tokens import BYTES_PER_TOKEN, generated
from pilotage_sim.http.requests import render

Message = tuple[str, str]
"""Role and content."""
_SYSTEM = len(b"system: ")
_FIRST_USER = len(b"user: ")
_USER = len(b"\nuser: ")
_ANSWER = len(b"\nassistant: ")
_LEAST_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """When it comes and what it asks; lengths are exact."""

    number: int
    at_seconds: float
    messages: tuple[Message, ...]
    prompt_tokens: int
    max_tokens: int
    adapter: str | None = None
    session: int | None = None

    def prompt(self) -> bytes:
        """The text the engine sees."""
        return render([{"role": role, "content": content} for role, content in self.messages])

    def body(self, model: str) -> dict[str, Any]:
        """As a client sends it."""
        return {
            "model": self.adapter or model,
            "messages": [{"role": role, "content": content} for role, content in self.messages],
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


class Texts:
    """Text without meaning, as long as asked for; other keys share no beginning."""

    _SIZE = 1 << 20

    def __init__(self) -> None:
        # a fixed sequence: what is said must not differ between seeds, lengths and order do
        state, letters = 1, []
        alphabet = "abcdefghijklmnopqrstuvwxyz      "
        for _ in range(self._SIZE):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            letters.append(alphabet[state >> 26])
        self._text = "".join(letters)

    def take(self, key: str, length: int) -> str:
        """So many characters, beginning with the key."""
        head = f"{key} "[:length]
        start = sum(ord(one) * 7919 * (place + 1) for place, one in enumerate(key)) % self._SIZE
        rest = length - len(head)
        body = self._text[start : start + rest]
        while len(body) < rest:
            body += self._text[: rest - len(body)]
        return head + body


def system(texts: Texts, key: str, tokens: int) -> Message:
    """A system prompt that takes exactly so many tokens of the rendered prompt."""
    return ("system", texts.take(key, BYTES_PER_TOKEN * max(tokens, _LEAST_TOKENS) - _SYSTEM))


def user(texts: Texts, key: str, tokens: int, *, first: bool = False) -> Message:
    """A user's message and what introduces the answer, in so many tokens; `first` of the whole prompt."""
    around = (_FIRST_USER if first else _USER) + _ANSWER
    return ("user", texts.take(key, BYTES_PER_TOKEN * max(tokens, _LEAST_TOKENS) - around))


def answer(messages: Sequence[Message], tokens: int, model: str, adapter: str | None) -> Message:
    """What the simulated engine will have answered to these messages."""
    prompt = render([{"role": role, "content": content} for role, content in messages])
    seed = f"{model}\0{adapter or ''}".encode() + prompt[:64]
    return ("assistant", generated(seed, 0, tokens).decode())


def rendered_tokens(tokens: int) -> int:
    """Tokens a part really takes: very short ones are filled up."""
    return max(tokens, _LEAST_TOKENS)
