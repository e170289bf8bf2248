"""How many tokens a prompt probably has, before any engine has counted them."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.looking import MOST_LOOKED_AT, UnknownFactError
from pilotage_extproc.dialects.prompt_parts import MEDIA_TOKENS, PART_END, Parts, as_json, text_bytes
from pilotage_extproc.dialects.prompt_text import PromptText, read_parts
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.token_estimate import estimate_tokens

Count = Callable[[bytes], int]
"""Tokens of a text."""
LARGE_BYTES: Final = 512 * 1024
"""Above it no part of a body is copied whole."""
_AROUND_A_PART: Final = 1
"""Tokens of a chat template for each part, beside the one that the part's end is estimated as. A message is
two parts, its role and its content: four tokens around them, as in ChatML and Llama 3."""
_JOINED_LENGTH: Final = 256 * 1024
_BLOCKS: Final = 128
_BLOCK_LENGTH: Final = 256


def context_tokens(
    kind: CallKind, members: Members, body: bytes = b"", *, count: Count = estimate_tokens
) -> int:
    """Tokens of tools, system prompt and messages, estimated or as `count` says; 0 where there is no prompt.

    Token ids are counted; an image, sound or file is 576 tokens, whatever its size. A body above 512 KiB
    whose JSON holds more values than are looked at is taken for one text. Raises TypeError where a part is
    nested too deeply to be written down as JSON.
    """
    parts = _CountedParts(large=len(body) > LARGE_BYTES)
    try:
        read_parts(kind, members, parts)
    except UnknownFactError:
        return count(body)
    return parts.text_tokens(count) + parts.tokens + len(parts) * _AROUND_A_PART


def text_tokens(prompt: PromptText) -> int | None:
    """The same of a prompt that has been read already; None where it is long, or not text alone."""
    if not prompt.all_text or len(prompt.text) > LARGE_BYTES:
        return None
    return estimate_tokens(prompt.text) + prompt.parts * _AROUND_A_PART


class _CountedParts(Parts):
    """A prompt's parts as they stand in the body; of a small one JSON is written down."""

    def __init__(self, *, large: bool) -> None:
        super().__init__()
        self.tokens = 0
        """Of what need not be read for it: media and token ids."""
        self._pieces: list[str | bytes] = []
        self._large = large
        self._left = MOST_LOOKED_AT

    def add_text(self, text: str) -> None:
        self.append(b"")
        self._pieces.append(text)

    def add_said(self, role: str, text: str) -> None:
        self.add_role(role)
        self.add_text(text)

    def add_json(self, value: Any) -> None:
        self.append(b"")
        if self._large:
            self._add_texts(value)
        else:
            self._pieces.append(as_json(value))

    def add_media(self, part: dict[str, Any]) -> None:  # noqa: ARG002 - whatever it is
        self.add_text("")
        self.tokens += MEDIA_TOKENS

    def add_values(self, values: Any) -> None:
        ids = _count_ids(values)
        if ids:
            self.add_text("")
            self.tokens += ids
        else:
            self.add_json(values)

    def text_tokens(self, count: Count) -> int:
        """About how many tokens what is left to read has."""
        pieces = self._pieces
        if not self._large:
            return count(b"".join([_as_bytes(piece) + PART_END for piece in pieces]))
        ends = list(accumulate(len(piece) + 1 for piece in pieces))
        length = ends[-1] if ends else 0
        if length <= _JOINED_LENGTH:
            return count(b"".join([_as_bytes(piece) + PART_END for piece in pieces]))
        read: list[bytes] = []
        taken, stride = 0, (length - _BLOCK_LENGTH) / (_BLOCKS - 1)
        for block in range(_BLOCKS):
            start = int(stride * block)
            place, left = bisect_right(ends, start), _BLOCK_LENGTH
            begin = start - (ends[place] - len(pieces[place]) - 1)
            while left > 0 and place < len(pieces):
                read.append(_as_bytes(pieces[place][begin : begin + left]))
                left -= len(pieces[place]) - begin + 1
                place, begin = place + 1, 0
            taken += _BLOCK_LENGTH - max(0, left)
        return max(1, round(count(PART_END.join(read)) * length / taken))

    def _add_texts(self, value: Any) -> None:
        """Names, texts and numbers of JSON, in their order: writing down 30 MB takes 20 ms."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                self._look_at(2 * len(one))
                for name, member in reversed(one.items()):
                    waiting += (member, name)
            elif isinstance(one, list):
                self._look_at(len(one))
                waiting += reversed(one)
            else:
                self._pieces.append(one if isinstance(one, str) else str(one))

    def _look_at(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise UnknownFactError


def _as_bytes(piece: str | bytes) -> bytes:
    return text_bytes(piece) if isinstance(piece, str) else piece


def _count_ids(values: Any) -> int:
    """Token ids of one prompt or of several; 0 where the values are something else."""
    if not isinstance(values, list) or not values:
        return 0
    if isinstance(values[0], int):
        return len(values)
    if not isinstance(values[0], list):
        return 0
    return sum(len(ids) for ids in values if isinstance(ids, list))
