"""CPU time of reading all features of a prompt, in this process."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np
from orjson import dumps, loads

from pilotage_extproc.dialects.user_text import user_text
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.features.keywords import KeywordSets
from pilotage_extproc.features.names import OF_TEXT
from pilotage_extproc.features.prompt_reader import PromptReader
from pilotage_extproc.features.weights_files import SHIPPED_NAME, load_weights

Given = TypeVar("Given")
_TURNS: Final = 2_000
_PROMPT_BYTES: Final = 2_048
_LONG_BYTES: Final = 220 * 1024


def feature_times(texts: Sequence[bytes]) -> dict[str, float]:
    """Milliseconds: p50 and p99 for 2 KB, and of 220 KB what the event loop does and what a thread does."""
    reader = PromptReader(lambda: load_weights(shipped_gain=SHIPPED_NAME, gain_file=None))
    keywords = KeywordSets({f"set-{one}": [f"word{one}", f"two words{one}"] for one in range(16)})
    joined = b"\n".join(texts).decode("utf-8", "ignore")
    starts = np.linspace(0, max(0, len(joined) - _LONG_BYTES), 50).astype(int)
    short = [_members(joined[start : start + _PROMPT_BYTES]) for start in starts]
    long = [_members(joined[start : start + _LONG_BYTES]) for start in starts]
    heads = [user_text(CallKind.CHAT, one).text for one in long]

    def all_of(members: dict[str, object]) -> None:
        text = user_text(CallKind.CHAT, members).text
        keywords.found_in(text)
        reader.read(text, OF_TEXT)

    def on_loop(members: dict[str, object]) -> None:
        keywords.found_in(user_text(CallKind.CHAT, members).text)

    reader.prepare(OF_TEXT)
    return {
        **_times("2KB", all_of, short),
        **_times("220KB on the loop", on_loop, long),
        **_times("220KB in the thread", lambda text: reader.read(text, OF_TEXT), heads),
    }


def _members(text: str) -> dict[str, object]:
    found: dict[str, object] = loads(dumps({"messages": [{"role": "user", "content": text}]}))
    return found


def _times(name: str, work: Callable[[Given], object], given: Sequence[Given]) -> dict[str, float]:
    taken = []
    for turn in range(_TURNS):
        one = given[turn % len(given)]
        began = time.thread_time_ns()
        work(one)
        taken.append((time.thread_time_ns() - began) / 1e6)
    return {
        f"{name} p50": float(np.quantile(taken, 0.5)),
        f"{name} p99": float(np.quantile(taken, 0.99)),
    }
