"""A streamed answer: each of its texts through a window, events otherwise as they came."""

from collections.abc import Generator, Iterator
from typing import Any, Final

import orjson

from pilotage_extproc.content.answers.channel import Channel
from pilotage_extproc.content.answers.rules import AnswerRules
from pilotage_extproc.content.answers.shapes import Shapes
from pilotage_extproc.content.answers.skeleton import check_size, checked, is_string, marked, without
from pilotage_extproc.content.answers.whole import restored
from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.content.redaction import StillThereError
from pilotage_extproc.content.scan import TooMuchToCheckError
from pilotage_extproc.dialects.answers.channels import Key, Piece, ends_of, piece_of
from pilotage_extproc.dialects.answers.endings import StreamSeen, everything
from pilotage_extproc.dialects.answers.leaves import Leaf
from pilotage_extproc.dialects.answers.parts import STREAMED, Part
from pilotage_extproc.dialects.event_stream import Event, EventSplitter, EventTooLongError
from pilotage_extproc.dialects.splice import Edit, edited

_DONE: Final = b"[DONE]"
_SAYS_NOTHING: Final = frozenset((b"null", b"[]"))
_MOST_TEXTS: Final = 1024
_UNREADABLE: Final = (
    TooMuchToCheckError,
    StillThereError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
"""What comes of events that are not as their API has them: no JSON, or members of other types."""


class StreamedAnswer:
    """One answer."""

    def __init__(self, work: AnswerWork) -> None:
        self.found = work.found()
        self._work = work
        self._parts = STREAMED[work.kind]
        self._splitter = EventSplitter()
        self._channels: dict[Key, Channel] = {}
        self._shapes = Shapes()
        self._seen = StreamSeen(work.kind)
        self._passes = False

    def feed(self, chunk: bytes, out: list[bytes], *, last: bool) -> Iterator[None]:
        """Give on the events that end here. Raises AnswerBlockedError."""
        if self._passes:
            out.append(chunk)
            return
        try:
            for event in self._splitter.feed(chunk):
                yield from self._event(event, out)
        except EventTooLongError:
            self._cannot()
            self._passes = True
        if last or self._passes:
            yield from self._flush(list(self._channels), out)
            rest = self._splitter.rest()
            if rest.strip():
                self._cannot()
            out.append(rest)

    def filtered(self) -> bytes:
        """The events that end it."""
        rules = self._work.rules
        return self._seen.filtered(everything if rules is None else rules.passes)

    def _cannot(self) -> None:
        rules = self._work.rules
        self.found.unread(refuses=rules is not None and rules.refuses)

    def _event(self, event: Event, out: list[bytes]) -> Iterator[None]:
        if not event.data:
            if b"data:" in event.raw:
                self._cannot()
            out.append(event.raw)
        elif event.data == _DONE:
            yield from self._flush(list(self._channels), out)
            out.append(event.raw)
        elif (shape := self._shapes.find(event.data)) is not None:
            yield from self._known_shape(event, *shape, out)
        else:
            try:
                yield from self._new_shape(event, out)
            except _UNREADABLE:
                self._cannot()
                out.append(event.raw)

    def _known_shape(self, event: Event, key: Key, start: int, end: int, out: list[bytes]) -> Iterator[None]:
        data = event.data
        self._seen.saw_piece()
        said = orjson.loads(data[start:end])
        if said and not self._channels[key].began:
            yield from self._begin(key, out)
        text = yield from self._through(self._channels[key], said)
        if text != said:
            data = b"%b%b%b" % (data[:start], orjson.dumps(text), data[end:])
        out.append(event.with_data(data))

    def _begin(self, key: Key, out: list[bytes]) -> Iterator[None]:
        """A text begins: what is held back of those beside it, such as reasoning, is over and goes first."""
        self._channels[key].begin()
        others = [
            other
            for other, channel in self._channels.items()
            if other[:1] == key[:1] and other != key and channel.is_text
        ]
        yield from self._flush(others, out)

    def _through(self, channel: Channel, said: str, *, last: bool = False) -> Generator[None, None, str]:
        """What of a piece may go on."""
        into: list[str] = []
        try:
            yield from channel.feed(said, into, last=last)
        except (TooMuchToCheckError, StillThereError):
            self._cannot()
            return channel.given_up()
        return into[0]

    def _new_shape(self, event: Event, out: list[bytes]) -> Iterator[None]:
        kind, data, parts = self._work.kind, event.data, self._parts
        check_size(data)
        members = orjson.loads(data)
        if not isinstance(members, dict):
            raise TooMuchToCheckError
        self._seen.comes(members)
        were: list[Leaf] = []
        yield from marked(data, parts, were)
        pieces = [self._piece(members, leaf, data) for leaf in were]
        skeleton, now = data, were
        if self._work.rules is not None:
            emptied = [leaf for leaf, piece in zip(were, pieces, strict=True) if self._is_apart(leaf, piece)]
            skeleton = yield from self._skeleton(without(data, emptied, parts), self._work.rules)
            now = []
            yield from marked(skeleton, parts, now)
        ends = ends_of(kind, members)
        here = {piece.key for piece in pieces if piece is not None}
        ended = [key for key in self._channels if any(key[: len(end)] == end for end in ends.keys)]
        yield from self._flush([key for key in ended if ends.before or key not in here], out)
        ends_here = () if ends.before else ends.keys
        edits: list[Edit] = []
        for was, leaf, piece in zip(were, now, pieces, strict=True):
            if piece is not None:
                channel = self._channel(piece)
                last = any(piece.key[: len(end)] == end for end in ends_here)
                channel.carried_by(event.before + skeleton[: leaf.start], skeleton[leaf.end :] + event.after)
                said = orjson.loads(data[was.start : was.end])
                if said and not channel.began:
                    yield from self._begin(piece.key, out)
                text = yield from self._through(channel, said, last=last)
                edits.append(Edit(leaf.start, leaf.end, orjson.dumps(text)))
            elif parts[leaf.path] is Part.ECHO:
                edits.append(Edit(leaf.start, leaf.end, data[was.start : was.end]))
            elif parts[leaf.path] is Part.TEXT and self._work.originals:
                yield from restored(skeleton, leaf, self._work.originals, edits)
        out.append(event.with_data(edited(skeleton, edits)))
        self._seen.went(members)
        if not ends.keys:
            self._learn(skeleton, now, pieces)

    def _is_apart(self, leaf: Leaf, piece: Piece | None) -> bool:
        return piece is not None or self._parts[leaf.path] in (Part.REPEATED, Part.ECHO)

    def _skeleton(self, skeleton: bytes, rules: AnswerRules) -> Generator[None, None, bytes]:
        """What of an event is no piece of a text, as it may go on."""
        into: list[bytes] = []
        found = self._work.found()
        try:
            yield from checked(skeleton, rules, self._work.names, found, into)
        finally:
            self.found.saw_at_least(found)
        return into[0]

    def _piece(self, members: dict[str, Any], leaf: Leaf, data: bytes) -> Piece | None:
        part = self._parts[leaf.path]
        if part in (Part.REPEATED, Part.ECHO) or not is_string(data, leaf):
            return None
        return piece_of(self._work.kind, members, leaf, part)

    def _channel(self, piece: Piece) -> Channel:
        known = self._channels.get(piece.key)
        if known is None:
            if len(self._channels) >= _MOST_TEXTS:
                raise TooMuchToCheckError
            known = self._channels[piece.key] = Channel(piece.part, self._work, self.found)
        return known

    def _flush(self, keys: list[Key], out: list[bytes]) -> Iterator[None]:
        for key in keys:
            try:
                yield from self._channels[key].flush(out)
            except (TooMuchToCheckError, StillThereError):
                self._cannot()

    def _learn(self, skeleton: bytes, now: list[Leaf], pieces: list[Piece | None]) -> None:
        """An event that is one piece of text, and nothing else that has to be looked at."""
        mine = [(leaf, piece) for leaf, piece in zip(now, pieces, strict=True) if piece is not None]
        others = [leaf for leaf, piece in zip(now, pieces, strict=True) if piece is None]
        if len(mine) == 1 and all(skeleton[one.start : one.end] in _SAYS_NOTHING for one in others):
            [(leaf, piece)] = mine
            assert piece is not None
            self._shapes.learn(skeleton, leaf, piece.key)
