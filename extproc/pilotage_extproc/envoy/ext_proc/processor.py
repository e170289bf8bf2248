"""One ext_proc stream: a request in, the pick out, and its response where the gateway sends that too.

The bundled Envoy sends its body buffered and never its response; its stream ends with the pick.
Third-party gateways send full-duplex or buffered bodies and may send the response too.
"""

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.domain.decision import Decision, DirectAnswer, Placement
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.messages import BodyMode, PickHeaders
from pilotage_extproc.envoy.ext_proc.pick_writer import PickWriter
from pilotage_extproc.envoy.ext_proc.response import ResponseExchange
from pilotage_extproc.envoy.ext_proc.stream import Placer, Stream
from pilotage_extproc.request.call import Call
from pilotage_extproc.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)


class Processor:
    """What all streams of a process share."""

    def __init__(
        self,
        placer: Placer,
        *,
        process_id: str,
        bodies: BodyBudget,
        telemetry: Telemetry,
        settle: Callable[[Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.placer = placer
        self.process_id = process_id
        self.bodies = bodies
        self.telemetry = telemetry
        self.settle = settle
        self.clock = clock
        self.writer = PickWriter(process_id)
        self.open_streams = 0
        self.responses_seen = False
        """Whether third-party gateways here send responses: then a stream's end is a request's end."""

    async def process(self, stream: Stream, envoy: str | None, pool: str | None = None) -> None:
        """Serve one stream to its end. No error of one request leaves its stream.

        `envoy` is the name a bundled Envoy gave itself; None is a third-party gateway. `pool` is the pool
        that its port stands for.
        """
        self.open_streams += 1
        exchange = Exchange(self, stream, envoy, pool)
        try:
            await exchange.run()
        except RequestRefused as refused:
            self.telemetry.requests.add("refused", refused.reason.code)
            await stream.write(messages.refusal(refused))
        except Exception:
            log.exception("a request failed in the picker")
            self.telemetry.requests.add("refused", Refusal.INTERNAL.code)
            failed = RequestRefused(Refusal.INTERNAL, "The gateway could not process this request.")
            await stream.write(messages.refusal(failed))
        finally:
            exchange.close()
            self.open_streams -= 1


class Exchange:
    """One stream's state: from the request's head to, at most, its response's end."""

    def __init__(self, processor: Processor, stream: Stream, envoy: str | None, pool: str | None) -> None:
        self._processor = processor
        self._stream = stream
        self._envoy = envoy
        self._pool = pool
        self._mode = BodyMode.BUFFERED if self._envoy else BodyMode.FULL_DUPLEX_STREAMED
        self._held_bytes = 0
        self._expected_bytes = 0

    async def run(self) -> None:
        """Serve the stream."""
        first = await self._read()
        if first is None:
            return
        if not first.HasField("request_headers"):
            log.warning("an ext_proc stream did not begin with request headers")
            return
        if first.HasField("protocol_config"):
            self._mode = BodyMode(first.protocol_config.request_body_mode)
        processor = self._processor
        started = processor.clock()
        head = messages.read_head(first, envoy=self._envoy, pool=self._pool, received_at=started)
        call = processor.placer.begin(head)
        if isinstance(call, DirectAnswer):
            await self._answer(call)
            return
        processor.telemetry.decision_seconds.observe(processor.clock() - started, "headers")
        if first.request_headers.end_of_stream:
            decision = await self._place_without_body(call)
        elif self._mode is BodyMode.BUFFERED:
            decision = await self._place_buffered(call)
        elif self._mode is BodyMode.FULL_DUPLEX_STREAMED:
            decision = await self._place_full_duplex(call)
        else:
            raise RequestRefused(
                Refusal.INTERNAL,
                f"The gateway's ext_proc request body mode {self._mode.name} cannot be used: "
                "set BUFFERED or FULL_DUPLEX_STREAMED.",
            )
        self.close()  # an answer may take minutes, and needs nothing of the body
        if decision is not None and self._envoy is None:
            await self._follow_response(decision, head, BodyMode(first.protocol_config.response_body_mode))

    async def _follow_response(self, decision: Decision, head: RequestHead, mode: BodyMode) -> None:
        processor = self._processor
        response = ResponseExchange(
            self._stream,
            decision.id,
            began_at=head.received_at,
            full_duplex=mode is BodyMode.FULL_DUPLEX_STREAMED,
            headers=processor.placer.decision_headers(decision),
            clock=processor.clock,
        )
        try:
            await response.run()
        finally:
            processor.responses_seen |= response.seen
            # a gateway that never shows responses ends its stream early: then in-flight counts heal
            if processor.responses_seen:
                processor.settle(response.outcome())

    def close(self) -> None:
        """Give back what the stream held."""
        self._arrived()
        self._processor.bodies.release(self._held_bytes)
        self._held_bytes = 0

    async def _read(self) -> ext_proc_pb2.ProcessingRequest | None:
        raw = await self._stream.read()
        if raw is grpc.aio.EOF:
            return None
        return ext_proc_pb2.ProcessingRequest.FromString(raw)

    async def _place_without_body(self, call: Call) -> Decision | None:
        placement = await self._place(call, None)
        if isinstance(placement, DirectAnswer):
            await self._answer(placement)
            return None
        await self._stream.write(messages.pick_on_headers(self._pick(placement, call)))
        return placement.decision

    async def _place_buffered(self, call: Call) -> Decision | None:
        """A large body stands in memory several times on its way: each copy goes as soon as it has served."""
        self._expected_bytes = await self._processor.bodies.expect(call.head.headers)
        further = messages.further_inputs(call.head.headers) if self._envoy is None else None
        await self._stream.write(
            messages.request_headers_continue(further) if further else messages.CONTINUE_REQUEST_HEADERS
        )
        message = await self._read()
        if message is None:
            return None  # the client left while it sent its body
        self._arrived()
        body = b""
        if message.HasField("request_body"):
            body = message.request_body.body
            self._hold(len(body))
        del message
        placement = await self._place(call, body)
        del body
        if isinstance(placement, DirectAnswer):
            await self._answer(placement)
            return None
        if self._envoy is None:
            pick = messages.pick_on_body(self._pick(placement, call))
        else:
            pick = self._bundled_pick(placement, call)
        decision = placement.decision
        del placement
        await self._stream.write(pick)
        return decision

    def _bundled_pick(self, placement: Placement, call: Call) -> bytes:
        decision, processor = placement.decision, self._processor
        return processor.writer.on_body(
            destination=",".join([target.address for target in decision.targets]),
            attempts=len(decision.targets),
            decision_id=decision.id,
            body=placement.body,
            rebind=placement.rebind,
            told=processor.placer.decision_headers(decision),
            path=call.path_to_send(),
        )

    async def _place_full_duplex(self, call: Call) -> Decision | None:
        chunks: list[bytes] = []
        trailers = False
        while True:
            message = await self._read()
            if message is None:
                return None
            if message.HasField("request_trailers"):
                trailers = True
                break
            if not message.HasField("request_body"):
                continue
            chunk = message.request_body.body
            self._hold(len(chunk))
            chunks.append(chunk)
            if message.request_body.end_of_stream or message.request_body.end_of_stream_without_message:
                break
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        placement = await self._place(call, body)
        if isinstance(placement, DirectAnswer):
            await self._answer(placement)
            return None
        pick = self._pick(placement, call)
        sent = body if placement.body is None else placement.body
        decision = placement.decision
        del placement, body
        await self._stream.write(messages.pick_on_headers(pick))
        for chunk in messages.streamed_chunks(sent, end_of_stream=not trailers, response=False):
            await self._stream.write(chunk)
        if trailers:
            await self._stream.write(messages.CONTINUE_REQUEST_TRAILERS)
        return decision

    def _arrived(self) -> None:
        self._processor.bodies.came(self._expected_bytes)
        self._expected_bytes = 0

    def _hold(self, chunk_bytes: int) -> None:
        self._processor.bodies.take(chunk_bytes, body_bytes=self._held_bytes + chunk_bytes)
        self._held_bytes += chunk_bytes

    async def _place(self, call: Call, body: bytes | None) -> Placement | DirectAnswer:
        processor = self._processor
        started = processor.clock()
        if processor.placer.needs_patience(call, body):
            placement = await processor.placer.place_patiently(call, body)
        else:
            placement = processor.placer.place(call, body)
        processor.telemetry.decision_seconds.observe(processor.clock() - started, "place")
        if isinstance(placement, Placement):
            processor.telemetry.requests.add("placed", "")
        return placement

    async def _answer(self, answer: DirectAnswer) -> None:
        self._processor.telemetry.requests.add("answered", "")
        await self._stream.write(
            messages.immediate(
                answer.body, http_status=answer.http_status, headers={"content-type": answer.content_type}
            )
        )

    def _pick(self, placement: Placement, call: Call) -> PickHeaders:
        decision, head = placement.decision, call.head
        destination = ",".join(target.address for target in decision.targets)
        path = call.path_to_send()
        headers = {} if path is None else {":path": path}
        metadata: dict[str, dict[str, Any]] = {messages.LB_NAMESPACE: {messages.DESTINATION: destination}}
        if placement.body is not None:
            headers["content-length"] = str(len(placement.body))
        if self._envoy is None:
            headers[messages.DESTINATION] = destination
            if "x-request-id" not in head.headers:
                headers["x-request-id"] = str(uuid.uuid4())
        else:
            headers[messages.MAX_RETRIES] = str(len(decision.targets) - 1)
            ours: dict[str, Any] = {"decision": decision.id, "owner": self._processor.process_id}
            if placement.rebind:
                ours["rebind"] = placement.rebind
            ours.update(self._processor.placer.decision_headers(decision))
            metadata[messages.PILOTAGE_NAMESPACE] = ours
        body = placement.body if self._mode is BodyMode.BUFFERED else None
        further = messages.further_inputs(head.headers) if self._envoy is None else ()
        return PickHeaders(headers, body, metadata, further)
