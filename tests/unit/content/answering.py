"""What tests of answers share: rules, one text in pieces, and streams cut anywhere."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from pilotage_api.guards_snapshot import Action, AnswerRuleSnapshot, OwnDetectorSnapshot
from pilotage_extproc.content.answers.restoring import Originals
from pilotage_extproc.content.answers.rules import AnswerBlockedError, AnswerRules
from pilotage_extproc.content.answers.stream import StreamedAnswer
from pilotage_extproc.content.answers.text_window import TextWindow
from pilotage_extproc.content.answers.whole import WholeAnswer
from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.content.catalogue import BUILT_IN
from pilotage_extproc.content.guard import Toolbox
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.domain.head import CallKind

_TOOLBOX: Final = Toolbox()
NOTHING: Mapping[str, str] = MappingProxyType({})
FILTERED: Final = "<filtered>"


def rules(
    action: Action = "redact",
    detectors: Iterable[str] = BUILT_IN,
    *,
    window: int = 1024,
    own: Collection[OwnDetectorSnapshot] = (),
    refuses: bool = True,
) -> AnswerRules:
    rule = AnswerRuleSnapshot(detectors=tuple(detectors), action=action, window=window, refuses=refuses)
    return AnswerRules([rule], tuple(own), _TOOLBOX)


def work(
    made: AnswerRules | None, kind: CallKind = CallKind.CHAT, originals: Mapping[str, str] = NOTHING
) -> AnswerWork:
    return AnswerWork(kind, made, Placeholders(b"key", b"tenant", b"session"), Originals(originals))


def windowed(pieces: Iterable[str], made: AnswerRules) -> list[str]:
    """What goes on behind each piece of a text, and behind its end."""
    of = work(made)
    window = TextWindow(made, of.names, of.found())
    released: list[str] = []
    for piece in pieces:
        out: list[str] = []
        list(window.feed(piece, out))
        released.append("".join(out))
    out = []
    list(window.feed("", out, last=True))
    return [*released, "".join(out)]


def through(chunks: Iterable[bytes], of: AnswerWork, *, stream: bool = True, status: int = 200) -> bytes:
    """What a client gets of an answer that comes in these chunks."""
    check = StreamedAnswer(of) if stream else WholeAnswer(of, status)
    out: list[bytes] = []
    try:
        for chunk in chunks:
            list(check.feed(chunk, out, last=False))
        list(check.feed(b"", out, last=True))
    except AnswerBlockedError:
        out.append(check.filtered())
    return b"".join(out)


def chat_chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1732845600, "model": "m"}
    return b"data: %b\n\n" % orjson.dumps({**head, "choices": [choice]})


def chat_stream(pieces: Iterable[str], finish: str = "stop") -> bytes:
    events = [chat_chunk({"content": piece}) for piece in pieces]
    return b"".join((*events, chat_chunk({}, finish), b"data: [DONE]\n\n"))


def events_of(stream: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]


def chat_text(stream: bytes, member: str = "content") -> str:
    choices = [choice for event in events_of(stream) for choice in event["choices"]]
    return "".join(choice["delta"].get(member) or "" for choice in choices)
