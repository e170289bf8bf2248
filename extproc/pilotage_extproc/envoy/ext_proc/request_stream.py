"""One ext_proc stream: a request in, the pick out, and its response where the gateway sends that too.

The bundled Envoy sends its body buffered, and its response only where a policy looks at answers: else its
stream ends with the pick.
Third-party gateways send full-duplex or buffered bodies and may send the response too.
"""

import logging
import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.dialects.table import error_shape
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.domain.refusals import ErrorShape, Refusal, RequestRefused
from pilotage_extproc.domain.vouched import NOT_VOUCHED
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.answer_filter import AnswerFilter
from pilotage_extproc.envoy.ext_proc.messages import BodyMode
from pilotage_extproc.envoy.ext_proc.pieces import Pieces
from pilotage_extproc.envoy.ext_proc.response import ResponseFollower
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.transport.contract import Stream

if TYPE_CHECKING:
    from pilotage_extproc.envoy.ext_proc.processor import Processor

log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Asker:
    """Who opened a stream."""

    envoy: str | None = None
    """Name that a bundled Envoy gave itself; None is a third-party gateway."""
    contract: str = "1"
    """Version of the names that a bundled Envoy was configured with."""
    pool: str | None = None
    """The pool that the port stands for it asked on; None leaves the pool open."""
    reach: Reach = Reach.SERVERS
    """Which hosted providers it can be sent to."""


class RequestStream:
    """A stream from its request's head to, at most, its response's end."""

    def __init__(self, processor: "Processor", stream: Stream, asker: Asker) -> None:
        self._processor = processor
        self._stream = stream
        self._asker = asker
        self._passes = False
        self._response_comes = False
        """Whether Envoy sends the response here, asked for before it was known that anybody looks at it."""
        self._mode = BodyMode.FULL_DUPLEX_STREAMED if asker.envoy is None else BodyMode.BUFFERED
        self._held_bytes = 0
        self._expected_bytes = 0
        self._exchange: Exchange | None = None
        self._head: RequestHead | None = None
        self._error_shape = ErrorShape.OPENAI
        self._request_id: str | None = None
        self._outcome: Outcome | None = None
        self._work: AnswerWork | None = None
        """What is done about the answer."""

    def refusal(self, refused: RequestRefused) -> bytes:
        """The answer to a refused request, as its client's API has errors."""
        self._drop_head()
        return messages.refusal(refused, self._error_shape, self._request_id)

    def _drop_head(self) -> None:
        """Keep of it what a refusal takes: a response may go on for hours."""
        head, self._head = self._head, None
        if head is not None:
            self._error_shape = error_shape(head.path, head.headers)
            self._request_id = head.headers.get("x-request-id")

    async def run(self) -> Outcome | None:
        """Serve the stream; how its request ended, where that was by an answer. Raises RequestRefused."""
        raw = await self._stream.read()
        if raw is None:
            return None
        first = messages.read_message(raw)
        if not first.HasField("request_headers"):
            log.warning("an ext_proc stream did not begin with request headers")
            return None
        response_mode = BodyMode.NONE
        if first.HasField("protocol_config"):
            modes = first.protocol_config
            self._mode = messages.BODY_MODES[modes.request_body_mode]
            response_mode = messages.BODY_MODES[modes.response_body_mode]
        processor, asker = self._processor, self._asker
        began_at = processor.clock()
        sent = first.request_headers
        has_body = not sent.end_of_stream
        headers = messages.header_map(sent.headers.headers)
        self._passes = self._answer_passes(headers, response_mode, has_body=has_body)
        vouching = processor.vouching
        head = RequestHead(
            headers.get(":method", ""),
            headers.get(":path", ""),
            headers,
            messages.subset_hint(first) if first.HasField("metadata_context") else None,
            envoy=asker.envoy,
            pool=asker.pool,
            reach=asker.reach,
            answer_passes=self._passes,
            received_at=began_at,
            vouched=NOT_VOUCHED if vouching is None or asker.envoy is None else vouching.read(first),
        )
        self._head = head
        exchange = self._exchange = Exchange(head)
        exchange.may_wait(self._ask_patience)
        answer = await processor.decider.begin(exchange)
        if answer is not None:
            await self._answer(answer)
            return self._outcome
        processor.head_seconds.observe(processor.clock() - began_at)
        shown = await self._pick(exchange, has_body=has_body)
        if shown is None:
            return self._outcome
        self._exchange = None  # from here on its outcome settles it
        if self._is_followed:
            self._drop_head()
            del first, sent, head, headers
            holder = exchange.identity.holder()
            await self._follow_response(exchange.decision.id, began_at, shown, response_mode, holder)
        return self._outcome

    @property
    def _is_followed(self) -> bool:
        """Whether the stream goes on with the response.

        One that comes passes also where nobody looks at it, if the call cannot end at once: what Envoy sent
        here before it has seen the end would be lost.
        """
        if self._asker.envoy is None or self._work is not None:
            return True
        return self._response_comes and not self._stream.ends_at_once

    def _answer_passes(self, headers: Mapping[str, str], mode: BodyMode, *, has_body: bool) -> bool:
        """Whether the response comes here, should a policy look at it."""
        if self._asker.envoy is None:
            return mode is BodyMode.FULL_DUPLEX_STREAMED
        if self._asker.contract != contract.CONTRACT:
            return False
        return not has_body or self._processor.may_read_answer(headers)  # without one the pick itself asks

    def close(self, outcome: Outcome | None) -> None:
        """Give back what the stream held; without a pick its request ends with this outcome, or was left."""
        if self._held_bytes or self._expected_bytes:
            self._give_back()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._processor.decider.abandon(exchange, outcome or Outcome.abandoned())

    def _pick(self, exchange: Exchange, *, has_body: bool) -> Awaitable[dict[str, str] | None]:
        """Take the body, decide and answer; None where there was no pick, else headers for the response."""
        if not has_body:
            return self._decide(exchange, on_body=False)
        if self._mode is BodyMode.BUFFERED:
            return self._pick_buffered(exchange)
        if self._mode is BodyMode.FULL_DUPLEX_STREAMED:
            return self._pick_full_duplex(exchange)
        raise RequestRefused(
            Refusal.INTERNAL,
            f"The gateway's ext_proc request body mode {self._mode.name} cannot be used: "
            "set BUFFERED or FULL_DUPLEX_STREAMED.",
        )

    async def _pick_buffered(self, exchange: Exchange) -> dict[str, str] | None:
        """A large body stands in memory several times on its way: each copy goes as soon as it has served."""
        headers, bodies = exchange.head.headers, self._processor.bodies
        if bodies.by_headers:
            self._expected_bytes = await bodies.expect(headers)
        further = messages.further_inputs(headers) if self._asker.envoy is None else None
        answer = (
            messages.request_headers_continue((*self._processor.stripped, *further))
            if further
            else self._processor.continues
        )
        self._response_comes = self._passes and self._asker.envoy is not None
        await self._stream.write(answer + messages.WITH_ANSWER if self._response_comes else answer)
        raw = await self._stream.read()
        if raw is None:
            return None  # the client left while it sent its body
        if self._expected_bytes:
            self._arrived()
        body, _, _ = messages.read_chunk(raw)
        del raw
        if body is not None:
            self._hold(len(body))
            exchange.received(body)
            del body
        return await self._decide(exchange, on_body=True)

    async def _pick_full_duplex(self, exchange: Exchange) -> dict[str, str] | None:
        pieces = Pieces()
        while True:
            raw = await self._stream.read()
            if raw is None:
                return None
            chunk, last, trailers = messages.read_chunk(raw)
            del raw
            if trailers:
                break
            if chunk is None:
                continue
            self._hold(len(chunk))
            pieces.add(chunk)
            if last:
                break
        del chunk
        exchange.received(pieces.take())
        return await self._decide(exchange, on_body=False, follows=True, trailers=trailers)

    async def _decide(
        self, exchange: Exchange, *, on_body: bool, follows: bool = False, trailers: bool = False
    ) -> dict[str, str] | None:
        """Decide and answer. With `follows` the body is sent on in messages of its own."""
        processor = self._processor
        began_at = processor.clock()
        answer = await processor.decider.decide(exchange)
        processor.place_seconds.observe(processor.clock() - began_at)
        if answer is not None:
            await self._answer(answer)
            return None
        processor.telemetry.requests.add("placed", "")
        shown = processor.decider.decision_headers(exchange)
        picks = processor.picks
        if self._asker.envoy is None:
            request_id = None if "x-request-id" in exchange.head.headers else str(uuid.uuid4())
            message = picks.foreign(exchange, on_body=on_body, sends_body=not follows, request_id=request_id)
        else:
            message = picks.bundled(exchange, shown, on_body=on_body, contract=self._asker.contract)
        sent = exchange.body if exchange.new_body is None else exchange.new_body
        self._work = exchange.answer
        if self._work is not None and self._asker.envoy is not None and not on_body:
            message += messages.WITH_ANSWER
        exchange.release()
        if follows or self._is_followed:
            await self._stream.write(message)
        else:
            await self._stream.last(message)
        del message
        if follows:
            for chunk in messages.streamed_chunks(sent, end_of_stream=not trailers, response=False):
                await self._stream.write(chunk)
            if trailers:
                await self._stream.write(messages.CONTINUE_REQUEST_TRAILERS)
        self._give_back()  # an answer may take minutes, and needs nothing of the body
        return shown

    async def _answer(self, answer: DirectAnswer) -> None:
        self._processor.telemetry.requests.add("answered", "")
        self._outcome = Outcome.answered(answer.http_status)
        await self._stream.write(
            messages.immediate(
                answer.body,
                http_status=answer.http_status,
                headers={"content-type": answer.content_type, **answer.headers},
            )
        )

    async def _follow_response(
        self, decision_id: str, began_at: float, shown: dict[str, str], mode: BodyMode, holder: str
    ) -> None:
        processor, foreign = self._processor, self._asker.envoy is None
        response = ResponseFollower(
            self._stream,
            decision_id,
            began_at=began_at,
            full_duplex=not foreign or mode is BodyMode.FULL_DUPLEX_STREAMED,
            headers=shown if foreign else {},
            clock=processor.clock,
            holder=holder,
            on_response_began=processor.response_began,
            answer=None if self._work is None else AnswerFilter(self._work, self._has_room),
            reads=foreign,
        )
        self._work = None
        try:
            await response.run()
        finally:
            if foreign:
                processor.response_ended(response.outcome(), seen=response.seen)

    def _has_room(self, more_bytes: int) -> bool:
        try:
            self._hold(more_bytes)
        except RequestRefused:
            return False
        return True

    async def _ask_patience(self, seconds: float) -> None:
        """The gateway's timeout begins anew, and is as long as the wait and the usual one together."""
        await self._stream.write(messages.wait_for(seconds + self._processor.message_timeout_seconds))

    def _arrived(self) -> None:
        self._processor.bodies.came(self._expected_bytes)
        self._expected_bytes = 0

    def _hold(self, chunk_bytes: int) -> None:
        self._processor.bodies.take(chunk_bytes, body_bytes=self._held_bytes + chunk_bytes)
        self._held_bytes += chunk_bytes

    def _give_back(self) -> None:
        if self._expected_bytes:
            self._arrived()
        if self._held_bytes:
            self._processor.bodies.release(self._held_bytes)
            self._held_bytes = 0
