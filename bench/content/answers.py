"""What a streamed answer costs the picker a chunk.

Messages as Envoy writes them, through what follows a response, without the gRPC server. Without rules on
answers the bundled Envoy sends none of them.
"""

import asyncio
import time
from typing import Any, Final

import orjson
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_api.guards_snapshot import AnswerRuleSnapshot
from pilotage_extproc.content.answers.restoring import Originals
from pilotage_extproc.content.answers.rules import AnswerRules
from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.content.catalogue import BUILT_IN
from pilotage_extproc.content.guard import Toolbox
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.envoy.ext_proc.answer_filter import AnswerFilter
from pilotage_extproc.envoy.ext_proc.response import ResponseFollower

_CHUNKS: Final = 200
_TRIES: Final = 15
_TOKENS: Final = (
    " the",
    " quick",
    " brown",
    " fox",
    " jumps",
    " over",
    " 12",
    " lazy",
    " dogs",
    ";",
    " it",
    " costs",
)
_NAME: Final = "[EMAIL_k3v4x2abq7]"


def event(text: str) -> bytes:
    """A chunk of a chat."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1732845600, "model": "m"}
    return b"data: %b\n\n" % orjson.dumps({**head, "choices": [choice]})


def messages() -> list[bytes]:
    """A response of so many chunks, with a placeholder cut in pieces in it."""
    head = ext_proc_pb2.ProcessingRequest()
    for name, value in ((":status", b"200"), ("content-type", b"text/event-stream")):
        head.response_headers.headers.headers.add(key=name, raw_value=value)
    tokens = [_TOKENS[number % len(_TOKENS)] for number in range(_CHUNKS)]
    tokens[100:106] = [_NAME[at : at + 3] for at in range(0, len(_NAME), 3)]
    made = [head]
    for token in tokens:
        body = ext_proc_pb2.ProcessingRequest()
        body.response_body.body = event(token)
        made.append(body)
    last = ext_proc_pb2.ProcessingRequest()
    last.response_body.body = b"data: [DONE]\n\n"
    last.response_body.end_of_stream = True
    return [one.SerializeToString() for one in (*made, last)]


class _Stream:
    """Gives these messages, and counts what is written."""

    def __init__(self, given: list[bytes]) -> None:
        self._given = iter(given)
        self.written_bytes = 0

    async def read(self) -> bytes | None:
        return next(self._given, None)

    async def write(self, message: bytes) -> None:
        self.written_bytes += len(message)

    async def last(self, message: bytes) -> None:
        await self.write(message)

    @property
    def ends_at_once(self) -> bool:
        return True

    def invocation_metadata(self) -> dict[str, str]:
        return {}

    def peer_names(self) -> frozenset[str]:
        return frozenset()


def work(detectors: tuple[str, ...], values: dict[str, str]) -> AnswerWork:
    """Rules for these detectors, and values that come back."""
    rule = AnswerRuleSnapshot(detectors=detectors, action="redact", window=1024)
    rules = AnswerRules([rule], (), Toolbox()) if detectors else None
    return AnswerWork(CallKind.CHAT, rules, Placeholders(b"k", b"", b""), Originals(values))


def per_chunk(of: AnswerWork | None) -> float:
    """Microseconds of CPU a chunk: the least of some tries."""
    given, times = messages(), []
    for _ in range(_TRIES):
        follower = ResponseFollower(
            _Stream(given),
            "d",
            began_at=0.0,
            full_duplex=True,
            headers={},
            clock=time.monotonic,
            on_response_began=lambda _id, _address, _shown: None,
            answer=None if of is None else AnswerFilter(of, lambda _bytes: True),
            reads=False,
            holder="",
        )
        began = time.thread_time()
        asyncio.run(follower.run())
        times.append(time.thread_time() - began)
    return round(min(times) / len(given) * 1e6, 1)


def measure() -> dict[str, Any]:
    """By what is asked of the answer."""
    values = {_NAME: "alice@mail.example"}
    return {
        "chunks": _CHUNKS,
        "microsecondsPerChunk": {
            "passed on as it is": per_chunk(None),
            "restore": per_chunk(work((), values)),
            "window, secrets": per_chunk(work(("secret",), {})),
            "window, all detectors": per_chunk(work(BUILT_IN, {})),
            "window, all detectors, restore": per_chunk(work(BUILT_IN, values)),
        },
    }
