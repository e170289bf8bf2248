"""The response half of an ext_proc stream, for gateways whose Envoy does not extract usage itself."""

from collections.abc import Callable, Mapping

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.answer_filter import AnswerFilter
from pilotage_extproc.envoy.ext_proc.usage_reader import ResponseReader
from pilotage_extproc.transport.contract import Stream


class ResponseFollower:
    """Passes a response through and reads status, served endpoint and usage out of it.

    It goes on unchanged, unless a policy looks at it.
    """

    def __init__(
        self,
        stream: Stream,
        decision_id: str,
        *,
        began_at: float,
        full_duplex: bool,
        headers: Mapping[str, str],
        clock: Callable[[], float],
        holder: str,
        on_response_began: Callable[[str, str, str], None],
        answer: AnswerFilter | None = None,
        reads: bool = True,
    ) -> None:
        """`on_response_began` gets the id of a stored response and its endpoint, once both are known, and
        `holder`: whose it is.

        `reads` says whether usage and ids are read: the bundled Envoy does that itself.
        """
        self.seen = False
        """Whether the gateway sent response headers at all."""
        self._stream = stream
        self._decision_id = decision_id
        self._began_at = began_at
        self._full_duplex = full_duplex
        self._told = headers
        self._clock = clock
        self._holder = holder
        self._on_response_began = on_response_began
        self._answer = answer
        self._reads = reads
        self._all_seen = False
        """Whether the answer's end has been looked at."""
        self._began = False
        self._http_status = 0
        self._served: str | None = None
        self._reader: ResponseReader | None = None
        self._first_body_at: float | None = None

    async def run(self) -> None:
        """Answer every response message until the response or the stream ends."""
        ended = False
        while not ended:
            raw = await self._stream.read()
            if raw is None:
                return
            message = messages.read_message(raw)
            if message.HasField("response_headers"):
                ended = await self._headers(message)
            elif message.HasField("response_body"):
                ended = await self._body(message)
            elif message.HasField("response_trailers"):
                ended = True
                if self._answer is not None and await self._pass(b"", last=True, trailers=True):
                    return
                await self._stream.write(messages.CONTINUE_RESPONSE_TRAILERS)
            # anything of the request after its end is a duplicate: ignored

    async def _headers(self, message: ext_proc_pb2.ProcessingRequest) -> bool:
        self.seen = True
        headers = messages.header_map(message.response_headers.headers.headers)
        status = headers.get(":status", "")
        self._http_status = int(status) if status.isdigit() else 0
        self._served = messages.served_endpoint(message)
        content_type = headers.get("content-type", "")
        if self._reads:
            self._reader = ResponseReader(event_stream=content_type.startswith("text/event-stream"))
        if self._answer is not None and not message.response_headers.end_of_stream:
            instead = self._answer.begin(self._http_status, headers)
            if instead is not None:
                await self._stream.write(instead)
                return True
        await self._stream.write(
            messages.response_headers_with(self._told) if self._told else messages.CONTINUE_RESPONSE_HEADERS
        )
        return bool(message.response_headers.end_of_stream)

    async def _body(self, message: ext_proc_pb2.ProcessingRequest) -> bool:
        body = message.response_body
        if self._first_body_at is None and body.body:
            self._first_body_at = self._clock()
        if self._reader is not None:
            self._reader.feed(body.body)
            # what is looked at is nobody's to fetch before its end has been seen
            began = self._began or self._answer is not None
            if not began and self._reader.response_id is not None and self._served is not None:
                self._began = True
                self._on_response_began(self._reader.response_id, self._served, self._holder)
        end_of_stream = bool(body.end_of_stream)
        if self._answer is not None:
            return await self._pass(body.body, last=end_of_stream)
        if self._full_duplex:
            for chunk in messages.streamed_chunks(body.body, end_of_stream=end_of_stream, response=True):
                await self._stream.write(chunk)
        else:
            await self._stream.write(messages.CONTINUE_RESPONSE_BODY)
        return end_of_stream

    async def _pass(self, body: bytes, *, last: bool, trailers: bool = False) -> bool:
        """Send on what of the next bytes may go on; whether the response has ended with that."""
        answer, out = self._answer, list[bytes]()
        assert answer is not None
        work = answer.passed(body, out, last=last)
        if work is not None:
            await work
        self._all_seen = self._all_seen or last or answer.ended
        ended = answer.ended or (last and not trailers)
        if not ended and not any(out):
            return False
        sent = list(messages.streamed_chunks(b"".join(out), end_of_stream=ended, response=True))
        if last or ended:
            sent[-1] += answer.metadata()
        for chunk in sent:
            await self._stream.write(chunk)
        return ended

    def outcome(self) -> Outcome:
        """What became of the request, as far as it was seen."""
        usage, response_id, stream_error = TokenUsage(), None, None
        if self._reader is not None:
            self._reader.close()
            usage, response_id = self._reader.usage, self._reader.response_id
            stream_error = self._reader.stream_error
        first = self._first_body_at
        return Outcome(
            decision_id=self._decision_id,
            http_status=self._http_status,
            upstream_address=self._served,
            attempts=1,
            duration_seconds=self._clock() - self._began_at,
            ttft_seconds=None if first is None else first - self._began_at,
            usage=usage,
            response_id=response_id,
            stream_error=stream_error,
            holder=self._holder or None,
            answer_content=() if self._answer is None else self._answer.said(),
            answer_cut=self._answer is not None and not self._all_seen,
        )
