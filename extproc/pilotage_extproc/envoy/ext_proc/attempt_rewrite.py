"""Later attempts: the request rewritten for the endpoint Envoy chose for this attempt.

An upstream ext_proc filter asks here; the first attempt skips it, unless a policy changes the request for
each model on its own. It is stateless: the pick's numbers travel with the request, and what they stand for is
looked up in the snapshot they name, so any process that
follows it, or followed it lately, can answer. The body starts again from the first attempt's on each
attempt; header changes of one attempt are still there in the next, so every header is set every time.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

import orjson
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.dialects.splice import splice_model
from pilotage_extproc.dialects.stream_usage import UsageEdit
from pilotage_extproc.dialects.tool_lists import LISTS
from pilotage_extproc.dialects.transform.moved import GoneThinking, Moved, moved_text, read_moved
from pilotage_extproc.dialects.transform.transform import Transformed
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.request.attempt import Attempt, Shape
from pilotage_extproc.stages.identify import identify
from pilotage_extproc.stages.prepare import later_attempt, shaped
from pilotage_extproc.transport.contract import Stream

log = logging.getLogger(__name__)


class Rewritten(NamedTuple):
    """What an attempt gets."""

    body: bytes
    moved: str | None = None
    """How its lists were moved, empty where they were not; None leaves what was said of it."""


Rewrite = Callable[[bytes], Rewritten]


class AttemptBook(Protocol):
    """The attempts of the last snapshots, by number."""

    def find(self, version: str, number: int) -> Attempt | None:
        """None where the version is not known here, or has no such number."""


class AttemptRewriter:
    """Serves the streams of later attempts."""

    def __init__(self, attempts: AttemptBook, on_rewritten: Callable[[], None]) -> None:
        self._attempts = attempts
        self._on_rewritten = on_rewritten

    async def process(self, stream: Stream) -> None:
        """One attempt's stream: head, then body."""
        try:
            await self._process(stream)
        except RequestRefused as refused:
            await stream.write(messages.refusal(refused))

    async def _process(self, stream: Stream) -> None:
        rewrite: Rewrite = _unchanged
        while True:
            raw = await stream.read()
            if raw is None:
                return
            message = messages.read_message(raw)
            if message.HasField("request_headers"):
                rewrite = self.rewrite_for(message)
                await stream.write(messages.CONTINUE_ATTEMPT_HEADERS)
                if message.request_headers.end_of_stream:
                    return
            elif message.HasField("request_body"):
                body = message.request_body.body
                made = rewrite(body)
                if made.body is not body:
                    self._on_rewritten()
                await stream.write(_body_answer(made, changed=made.body is not body))
                return

    def rewrite_for(self, message: ext_proc_pb2.ProcessingRequest) -> Rewrite:
        """What this attempt changes in the body. Raises RequestRefused where that cannot be known here."""
        if names.EXT_PROC_ATTRIBUTES not in message.attributes:
            return _unchanged
        address = message.attributes[names.EXT_PROC_ATTRIBUTES].fields[names.UPSTREAM_ADDRESS].string_value
        namespace = message.metadata_context.filter_metadata.get(names.PILOTAGE_NAMESPACE)
        if namespace is None:
            return _unchanged
        pick = namespace.fields
        if names.ATTEMPTS in pick:
            numbers = pick[names.ATTEMPTS].struct_value.fields
            if address not in numbers:
                return _unchanged
            version = pick[names.SNAPSHOT].string_value
            attempt = self._attempts.find(version, int(numbers[address].number_value))
            if attempt is None:
                log.warning("a later attempt belongs to an unknown snapshot", extra={"snapshot": version})
                message_text = "The gateway's configuration changed while this request was tried again."
                raise RequestRefused(Refusal.OVERLOADED, message_text, retry_after_seconds=1)
            how = UsageEdit(int(pick[names.USAGE_EDIT].number_value))
            return _Rewriting(message, how, attempt, transformed=names.TRANSFORM in pick)
        if names.MODELS_BY_ADDRESS in pick:
            models = pick[names.MODELS_BY_ADDRESS].struct_value.fields
            if address in models:
                return _NamingModel(models[address].string_value)
        return _unchanged


class _Rewriting:
    """As this process's snapshot says."""

    def __init__(
        self,
        message: ext_proc_pb2.ProcessingRequest,
        how: UsageEdit,
        attempt: Attempt,
        *,
        transformed: bool,
    ) -> None:
        headers = messages.header_map(message.request_headers.headers.headers)
        self._kind = identify(headers.get(":method", ""), headers.get(":path", "")).kind
        self._content_type: str = headers.get("content-type", "")
        self._how = how
        self._attempt = attempt
        self._shape = attempt.shape if transformed else None
        said = read_moved(headers.get(names.MOVED_HEADER, "")) if transformed else ()
        # taken out for all attempts alike; the rest is of an attempt before this one
        self._moved_with_the_pick = [
            one
            for one in said
            if isinstance(one, GoneThinking) or (isinstance(one, Moved) and one.member in LISTS)
        ]

    def __call__(self, body: bytes) -> Rewritten:
        try:
            changed = later_attempt(body, self._kind, self._content_type, self._how, self._attempt)
        except (RequestRefused, KeyError, TypeError, orjson.JSONDecodeError):
            changed = None  # a body that is not ours goes on as it is
        rewritten = body if changed is None else changed
        if self._shape is None:
            return Rewritten(rewritten)
        made = _shaped(self._shape, self._kind, rewritten)
        return Rewritten(made.body, moved_text([*made.moved, *self._moved_with_the_pick]))


def _shaped(shape: Shape, kind: CallKind, body: bytes) -> Transformed:
    """As the policy wants it for the model of this attempt; never as it does not (RequestRefused)."""
    try:
        return shaped(body, kind, shape)
    except (KeyError, TypeError, ValueError) as error:
        message_text = "The request cannot be changed as its policy asks for."
        raise RequestRefused(Refusal.INVALID_FIELD, message_text) from error


class _NamingModel:
    """As a pick of the version before says: for one version, while its processes drain."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(self, body: bytes) -> Rewritten:
        try:
            changed = splice_model(body, self._model)
        except (RequestRefused, KeyError):
            return Rewritten(body)
        return Rewritten(body if changed == body else changed)


def _unchanged(body: bytes) -> Rewritten:
    return Rewritten(body)


def _body_answer(made: Rewritten, *, changed: bool) -> bytes:
    """The body, where it changes, and in any case its length: an earlier attempt may have left another."""
    response = ext_proc_pb2.ProcessingResponse()
    common = response.request_body.response
    if changed:
        common.body_mutation.body = made.body
    headers = {"content-length": str(len(made.body))}
    if made.moved:
        headers[names.MOVED_HEADER] = made.moved
    elif made.moved is not None:
        common.header_mutation.remove_headers.append(names.MOVED_HEADER)
    for name, value in headers.items():
        option = common.header_mutation.set_headers.add(append_action=messages.OVERWRITE)
        option.header.key = name
        option.header.raw_value = value.encode()
    serialised: bytes = response.SerializeToString()
    return serialised
