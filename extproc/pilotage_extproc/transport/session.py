"""The state of one HTTP/2 connection: frames in, calls told, frames out. Knows no sockets."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.abandoned import Abandoned
from pilotage_extproc.transport.blocked import Blocked
from pilotage_extproc.transport.call import ServerCall
from pilotage_extproc.transport.contract import Status
from pilotage_extproc.transport.frames import Code, ConnectionFault, StreamFault
from pilotage_extproc.transport.header_block import HeaderBlock, opened
from pilotage_extproc.transport.heads import NOT_GRPC, NOT_GRPC_HEAD, Head, HeadReader, check
from pilotage_extproc.transport.output import Output
from pilotage_extproc.transport.owner import Owner
from pilotage_extproc.transport.patience import Patience
from pilotage_extproc.transport.peer_settings import initial_window
from pilotage_extproc.transport.waiting import Waiting

_GOODBYE: Final = b"pilotage"
# of this module: looked at for every frame
_DATA, _HEAD_BYTES, _FRAME_BYTES = frames.DATA, frames.HEAD_BYTES, frames.FRAME_BYTES
_MOST_STREAM: Final = frames.MOST_WINDOW
_WHOLE_HEADS: Final = frozenset({frames.END_HEADERS, frames.END_HEADERS | frames.END_STREAM})
"""Flags of a HEADERS frame that is a whole block, and nothing else."""


class Session:
    """Also the `Wire` of its calls."""

    def __init__(
        self,
        owner: Owner,
        output: Output,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = owner.limits
        self.calls: dict[int, ServerCall] = {}
        """That are open, by stream."""
        self.window = frames.FIRST_WINDOW
        """Bytes that may be sent on all streams together."""
        self.heads = HeadReader(limits.header_bytes)
        self.peer_names: frozenset[str] = frozenset()
        self.greeted = False
        """Whether the caller's SETTINGS came."""
        self._owner = owner
        self._output = output
        self._limits = limits
        self._loop = loop
        self._preface_came = False
        self._new: dict[int, ServerCall] = {}
        """That were opened in this read and have not begun."""
        self._abandoned = Abandoned()
        self._last_stream = 0
        self._over = False
        self._going = False
        """A last GOAWAY was sent: streams that come are refused."""
        self._block: HeaderBlock | None = None
        self._peer_window = frames.FIRST_WINDOW
        self._connection_left = limits.connection_window
        self._connection_low = limits.connection_window // 2
        self._blocked = Blocked(clock)
        self._awaited = Waiting(clock)
        self._patience = Patience(limits, clock)
        # of the wire: what those know of its calls
        self.wait_to_send, self.all_sent = self._blocked.add, self._blocked.done
        self.gave_up = self._blocked.drop
        self.wait_for_message, self.message_came = self._awaited.add, self._awaited.drop

    def greet(self, peer_names: frozenset[str] = frozenset()) -> None:
        """Say what is accepted here; the names in the caller's certificate hold for all its calls."""
        self.peer_names = peer_names
        self.emit(frames.settings(self._limits.announced()))
        self.emit(frames.window_update(0, self._limits.connection_window - frames.FIRST_WINDOW))

    def receive(self, data: bytes, at: int) -> tuple[int, bool]:
        """Take whole frames from `at` on: where the rest begins, and whether it can be taken already.

        It stops after so many messages that others should have their turn. Raises ConnectionFault.
        """
        if not self._preface_came:
            if not frames.PREFACE.startswith(data[:24]):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "no preface of HTTP/2")
            if len(data) < 24:
                return at, False
            self._preface_came, at = True, 24
        size, unpack, left = len(data), frames.FRAME_HEAD.unpack_from, self._limits.messages_at_once
        last = size - _HEAD_BYTES
        while at <= last and left > 0:
            high, low, kind, flags, stream = unpack(data, at)
            start = at + _HEAD_BYTES
            end = start + (high << 8 | low)
            if end - start > _FRAME_BYTES:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a frame is too large")
            if end > size:
                break
            at = end
            stream &= _MOST_STREAM
            try:
                if self._block is not None:
                    self._frame(kind, flags, stream, data, start, end)
                elif kind == _DATA:
                    left -= end - start < _FRAME_BYTES  # full ones are pieces of a longer message
                    self._data(data, start, end, flags, stream)
                elif kind == frames.HEADERS and flags in _WHOLE_HEADS and stream & 1 and self.greeted:
                    self._head(stream, flags, data[start:end])
                else:
                    self._frame(kind, flags, stream, data, start, end)
            except StreamFault as fault:
                self._reset(stream, fault.code)
        if self._new or self._awaited.fresh:
            self._read_over()
        return at, left <= 0 and at < size

    def _data(self, data: bytes, start: int, end: int, flags: int, stream: int) -> None:
        length = end - start
        self._connection_left -= length
        if self._connection_left <= self._connection_low:
            if self._connection_left < 0:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more data than was granted")
            self.emit(frames.window_update(0, self._limits.connection_window - self._connection_left))
            self._connection_left = self._limits.connection_window
        if flags & frames.PADDED:
            start, end = frames.without_padding(data, start, end)
        call = self.calls.get(stream)
        if call is None:
            self._on_closed(stream, flags)
            return
        if start == end:
            self._patience.idle_frame()
        elif not call.begun:
            self._new.pop(stream, None)
            self._begin(call)
            if call.closed:
                return
            if not call.begun:  # it is no call of gRPC: its end is waited for, and not for ever
                call.expect_message()
        call.data(data, start, end, length)
        if flags & frames.END_STREAM and not call.closed:
            self._end(call)

    def _end(self, call: ServerCall) -> None:
        call.end()
        if not call.head.is_grpc:
            call.answer_plainly(NOT_GRPC_HEAD, NOT_GRPC)

    def _read_over(self) -> None:
        """Calls whose first message is still to come begin; what is missing is waited for from now on."""
        for call in self._new.values():
            self._begin(call)
            call.expect_message()
        self._new.clear()
        self._awaited.begin()

    def _begin(self, call: ServerCall) -> None:
        head = call.head
        if call.closed or not head.is_grpc:
            return
        served = self._owner.methods.get(head.path)
        if served is None:
            call.finish(Status.UNIMPLEMENTED, "no such method here")
            return
        call.begin(served.room, served.receiver(call))
        if head.timeout_seconds is not None:
            call.end_in(head.timeout_seconds, self._loop)

    def _on_closed(self, stream: int, flags: int) -> None:
        self._check_number(stream, "data")
        self._patience.idle_frame()
        if stream not in self._abandoned:
            raise StreamFault(Code.STREAM_CLOSED, "data on a stream that is closed")
        if flags & frames.END_STREAM:
            self._abandoned.ended(stream)

    def _frame(self, kind: int, flags: int, stream: int, data: bytes, start: int, end: int) -> None:
        if (kind == frames.CONTINUATION) != (self._block is not None):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION belongs right after its HEADERS")
        if not self.greeted and kind != frames.SETTINGS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is no SETTINGS")
        if kind == frames.HEADERS:
            self._gather(opened(stream, flags, data, start, end), flags)
        elif kind == frames.RST_STREAM:
            self._reset_came(stream, end - start)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(stream, data[start:end])
        elif kind == frames.CONTINUATION:
            assert self._block is not None
            self._block.go_on(stream, data[start:end], self._limits)
            self._gather(self._block, flags)
        elif kind == frames.SETTINGS:
            self._settings(flags, stream, data[start:end])
        elif kind == frames.PING:
            self._ping(flags, stream, data[start:end])
        elif kind == frames.PRIORITY:
            self._patience.idle_frame()
            frames.check_priority(stream, data[start:end])
        else:
            frames.check_needless(kind, stream)
            self._patience.idle_frame()

    # heads

    def _gather(self, block: HeaderBlock, flags: int) -> None:
        if flags & frames.END_HEADERS:
            self._block = None
            self._head(block.stream, block.flags, block.data, depends_on_itself=block.depends_on_itself)
        else:
            self._block = block

    def _head(self, stream: int, flags: int, block: bytes, *, depends_on_itself: bool = False) -> None:
        head = self.heads.read(block)
        if stream <= self._last_stream:
            self._head_of_known(stream, flags, head)
            return
        self._last_stream = stream
        if depends_on_itself:
            raise StreamFault(Code.PROTOCOL_ERROR, "a stream that depends on itself")
        if not head.opens:
            check(head, trailers=False)
        if (
            self._going
            or len(self.calls) >= self._limits.streams_a_connection
            or not self._owner.admit_stream()
        ):
            raise StreamFault(Code.REFUSED_STREAM, "too many streams")
        call = ServerCall(self, stream, head, self._peer_window, self._limits.stream_window)
        self.calls[stream] = call
        if flags & frames.END_STREAM:
            self._end(call)
        self._new[stream] = call

    def _head_of_known(self, stream: int, flags: int, head: Head) -> None:
        """Trailers, or what comes of a stream that has ended here."""
        call = self.calls.get(stream)
        if call is not None:
            check(head, trailers=True)
            if not flags & frames.END_STREAM:
                raise StreamFault(Code.PROTOCOL_ERROR, "trailers that do not end their stream")
            if not call.begun:
                self._new.pop(stream, None)
                self._begin(call)
            if not call.closed:
                self._end(call)
            return
        self._patience.idle_frame()
        if stream not in self._abandoned:
            raise ConnectionFault(Code.STREAM_CLOSED, "a head on a stream that is closed")

    # small frames

    def _check_number(self, stream: int, what: str) -> None:
        """Raises ConnectionFault where a stream of this number has never been open."""
        if stream == 0 or stream > self._last_stream or not stream & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{what} of a stream that is not open")

    def _reset_came(self, stream: int, length: int) -> None:
        if length != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes")
        self._check_number(stream, "RST_STREAM")
        self._abandoned.ended(stream)
        call = self.calls.get(stream)
        if call is not None:
            call.gone()
        else:
            self._patience.idle_frame()

    def _window_update(self, stream: int, payload: bytes) -> None:
        more = frames.increment(payload)
        self._patience.idle_frame()
        if stream == 0:
            if not more:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a window that grows by nothing")
            self.window += more
            if self.window > frames.MOST_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window grows too large")
            self.pump()
            return
        self._check_number(stream, "WINDOW_UPDATE")
        call = self.calls.get(stream)
        if call is None:
            return
        if not more:
            raise StreamFault(Code.PROTOCOL_ERROR, "a window that grows by nothing")
        if not call.grant(more):
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "a window grows too large")
        if call in self._blocked:
            call.pump()

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        window = initial_window(flags, stream, payload, self._peer_window)
        if flags & frames.ACK:
            self._patience.idle_frame()
            return
        self.greeted = True
        grown, self._peer_window = window - self._peer_window, window
        self._patience.idle_frame(1 + len(payload) / 60 + (len(self.calls) / 10 if grown else 0))
        self.emit(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if grown:
            for call in self.calls.values():
                if not call.grant(grown):
                    raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window grows too large")
            self.pump()

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        frames.check_ping(stream, payload)
        self._patience.idle_frame()
        if not flags & frames.ACK:
            self.emit(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == _GOODBYE and not self._going:
            self._going = True  # what the caller sent before it knew has come
            self.emit(frames.goaway(self._last_stream, Code.NO_ERROR))

    # faults

    def _reset(self, stream: int, code: Code) -> None:
        call = self.calls.get(stream)
        if call is not None:
            call.fault(code)
            return
        self.emit(frames.reset(stream, code))
        self._abandoned.add(stream)
        self._patience.ended_early()

    def fail(self, fault: ConnectionFault) -> None:
        """Tell the caller why its connection ends, and end all calls."""
        self.emit(frames.goaway(self._last_stream, fault.code, fault.reason))
        self.lost()

    def lost(self) -> None:
        """The connection is no more, or will not be."""
        self._over = True
        for call in list(self.calls.values()):
            call.gone()

    # the wire of its calls

    @property
    def taking(self) -> bool:
        return not (self._output.paused or self._output.full)

    def emit(self, data: bytes) -> None:
        self._output.emit_all((data,), len(data))

    def send(self, pieces: Sequence[bytes | memoryview], size: int) -> bool:
        output = self._output
        if size > self.window or output.paused or output.full:
            return False
        self.window -= size
        output.emit_all(pieces, size)
        return True

    def grant(self, call: ServerCall, count: int) -> None:
        self.emit(frames.window_update(call.id, count))

    def closed(self, call: ServerCall, *, answered: bool, more_may_come: bool) -> None:
        del self.calls[call.id]
        self._owner.stream_ended()
        if more_may_come:
            self._abandoned.add(call.id)
        if answered:
            if self._patience.tried:
                self._patience.answered()
        elif not self._over:
            self._patience.ended_early()

    # watched from outside

    def drain(self) -> None:
        """Ask the caller to go elsewhere; what it has sent already is still served."""
        self.emit(frames.goaway(frames.MOST_WINDOW, Code.NO_ERROR, "the server is stopping"))
        self.emit(frames.frame(frames.PING, 0, 0, _GOODBYE))

    def end_calls(self) -> None:
        """End what is still open."""
        for call in list(self.calls.values()):
            call.expire(Status.UNAVAILABLE, "the server is stopping")

    def pump(self) -> None:
        """More may be sent."""
        for call in self._blocked:
            if self.window <= 0 or not self.taking:
                return
            call.pump()

    def watch(self, now: float) -> None:
        """End calls that take too long."""
        for call in self._awaited.before(now - self._limits.message_seconds):
            call.expire(Status.DEADLINE_EXCEEDED, "the message did not come in time")
        for call in self._blocked.late(now - self._limits.stall_seconds):
            call.expire(Status.DEADLINE_EXCEEDED, "the answer was not taken in time")
