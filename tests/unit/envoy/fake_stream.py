"""A gateway's side of an ext_proc stream, without gRPC: what it sends, and what it gets."""

import asyncio
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.envoy.ext_proc.messages import BodyMode

END_OF_STREAM: Final = None
"""What a stream reads when the other side has closed it."""

Request = ext_proc_pb2.ProcessingRequest
Response = ext_proc_pb2.ProcessingResponse


class FakeStream:
    """Sends its messages one by one and keeps what is written to it.

    After the last message it is closed by the gateway; a silent one stays open, so that whoever reads waits.
    """

    def __init__(self, *sent: Request, silent: bool = False, stalls_at: int | None = None) -> None:
        """The write number `stalls_at`, counted from 0, is never taken."""
        self._sent = [message.SerializeToString() for message in sent]
        self._silent = silent
        self._stalls_at = stalls_at
        self.stalled = asyncio.Event()
        """Set once someone waits for this side for ever."""
        self.got: list[Response] = []

    async def read(self) -> bytes | None:
        """The next message."""
        if self._sent:
            return self._sent.pop(0)
        if self._silent:
            await self._stall()
        return END_OF_STREAM

    async def write(self, message: bytes) -> None:
        """Keep a message."""
        if len(self.got) == self._stalls_at:
            await self._stall()
        self.got.append(Response.FromString(message))

    async def last(self, message: bytes) -> None:
        """Keep a message."""
        await self.write(message)

    ends_at_once = True

    def invocation_metadata(self) -> dict[str, str]:
        """None."""
        return {}

    def peer_names(self) -> frozenset[str]:
        """It has no certificate."""
        return frozenset()

    async def _stall(self) -> None:
        self.stalled.set()
        await asyncio.Event().wait()


def request_head(
    path: str,
    *,
    method: str = "POST",
    end_of_stream: bool = False,
    modes: tuple[BodyMode, BodyMode] | None = None,
    **headers: str,
) -> Request:
    """A request's head; underscores in header names stand for dashes. `modes`: of request and response."""
    message = Request()
    message.request_headers.end_of_stream = end_of_stream
    given = {":method": method, ":path": path, "content-type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    _fill(message.request_headers.headers, given)
    if modes is not None:
        message.protocol_config.request_body_mode, message.protocol_config.response_body_mode = modes
    return message


def request_body(content: bytes, *, end_of_stream: bool = True) -> Request:
    """A request's body, or a piece of it."""
    message = Request()
    message.request_body.body = content
    message.request_body.end_of_stream = end_of_stream
    return message


def request_trailers() -> Request:
    """The end of a request whose body did not end it."""
    message = Request()
    message.request_trailers.SetInParent()
    return message


def response_head(served: str, *, status: int = 200, content_type: str = "application/json") -> Request:
    """A response's head, from this endpoint."""
    message = Request()
    _fill(message.response_headers.headers, {":status": str(status), "content-type": content_type})
    namespace = message.metadata_context.filter_metadata["envoy.lb"]
    namespace.update({"x-gateway-destination-endpoint-served": served})
    return message


def response_body(content: bytes, *, end_of_stream: bool = False) -> Request:
    """A piece of a response's body."""
    message = Request()
    message.response_body.body = content
    message.response_body.end_of_stream = end_of_stream
    return message


def _fill(headers: base_pb2.HeaderMap, given: dict[str, str]) -> None:
    for name, value in given.items():
        headers.headers.add(key=name, raw_value=value.encode())
