"""One call on the built-in transport: its messages in, its answers out, its end."""

import asyncio
from collections.abc import Mapping

from pilotage_extproc.transport.contract import CallRefused, Method, Receiver, Room, Status
from pilotage_extproc.transport.flow import ReceiveWindow, SendWindow
from pilotage_extproc.transport.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    FRAME_HEAD,
    HEADERS,
    MESSAGE_HEAD,
    PREFIX_BYTES,
    Code,
    StreamFault,
    frame,
)
from pilotage_extproc.transport.heads import RESPONSE, Head, trailers
from pilotage_extproc.transport.messages import MessageCutter, length_at
from pilotage_extproc.transport.outbox import Outbox
from pilotage_extproc.transport.wire import Wire

_KEPT_BYTES = 64
"""What a kept message costs besides its bytes."""


class ServerCall:
    """A call between its connection and its receiver."""

    __slots__ = (
        "_answered",
        "_awaited",
        "_closed",
        "_cutter",
        "_due",
        "_ended",
        "_last",
        "_moved",
        "_outbox",
        "_receive",
        "_receiver",
        "_refused",
        "_reserved",
        "_room",
        "_timer",
        "_turn",
        "_wire",
        "head",
        "id",
        "window",
    )

    def __init__(self, wire: Wire, number: int, head: Head, window: SendWindow, receive_bytes: int) -> None:
        self.id = number
        self.head = head
        self.window = window
        self._wire = wire
        self._receive = ReceiveWindow(receive_bytes)
        self._receiver: Receiver | None = None
        self._room: Room | None = None
        self._cutter: MessageCutter | None = None
        self._turn: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._outbox: Outbox | None = None
        self._last: bytes | None = None
        self._due = head.content_length
        self._reserved = 0
        self._moved = 0
        self._answered = self._awaited = self._ended = self._closed = False
        self._refused = not head.is_grpc

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.head.metadata

    @property
    def peer_names(self) -> frozenset[str]:
        return self._wire.peer_names

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def ended(self) -> bool:
        """Whether the caller has sent its last."""
        return self._ended

    @property
    def begun(self) -> bool:
        """Whether somebody receives it."""
        return self._receiver is not None

    def begin(self, method: Method, room: Room, receiver: Receiver) -> None:
        """From here on the receiver is told."""
        self._room = method.room or room
        self._receiver = receiver
        if self._ended:
            receiver.on_end()

    def end_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """The caller waits no longer than that."""
        self._timer = loop.call_later(
            seconds, self.expire, Status.DEADLINE_EXCEEDED, "the deadline has passed"
        )

    def expect_message(self) -> None:
        """A message is due, or the rest of one."""
        if not (self._awaited or self._closed or self._ended):
            self._awaited = True
            self._wire.wait_for_message(self)

    # what comes

    def data(self, data: bytes, start: int, end: int, length: int) -> None:
        """Payload of a DATA frame; `length` has its padding. Raises StreamFault."""
        if self._ended:
            raise StreamFault(Code.STREAM_CLOSED, "data after the end")
        if not self._receive.came(length):
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "more data than was granted")
        if self._due is not None:
            self._due -= end - start
        if self._refused or start == end:
            self._refill()
            return
        try:
            self._cut(data, start, end)
        except Exception as error:  # noqa: BLE001 - whatever a room refuses with is the receiver's to tell
            self._refuse(error)

    def end(self) -> None:
        """The caller has sent its last. Raises StreamFault."""
        if self._ended:
            raise StreamFault(Code.STREAM_CLOSED, "a second end")
        if self._due:
            raise StreamFault(Code.PROTOCOL_ERROR, "the content is not as long as its content-length says")
        self._ended = True
        if self._receiver is None or self._refused:
            return
        if self._cutter is not None:
            self._refuse(CallRefused(Status.INTERNAL, "the call ends within a message"))
        else:
            self._receiver.on_end()

    def gone(self) -> None:
        """The caller reset the stream, or its connection is lost."""
        if not self._closed:
            self._lose(None)

    def expire(self, status: Status, details: str) -> None:
        """End it from here, whatever its receiver does."""
        if self._closed:
            return
        if self._outbox is None:
            self.finish(status, details)
        else:
            self._close(Code.CANCEL)  # half a message cannot be followed by a status
        if self._receiver is not None:
            self._receiver.on_gone()

    def _cut(self, data: bytes, start: int, end: int) -> None:
        cutter = self._cutter
        if cutter is not None:
            length = cutter.add(data, start, end)
            if length is not None:
                self._expect(length, cutter.missing)
            found = cutter.whole()
            if found is None:
                return
            self._cutter = None
            message, data = found
            reserved, self._reserved = self._reserved, 0
            self._deliver(message, reserved)
            start, end = 0, len(data)
        while end - start >= PREFIX_BYTES and not self._closed:
            length = length_at(data, start)
            after = start + PREFIX_BYTES + length
            if after > end:
                break
            self._deliver(data[start + PREFIX_BYTES : after], 0)
            start = after
        if start < end and not self._closed and not self._refused:
            self._cutter = cutter = MessageCutter()
            self.expect_message()
            length_known = cutter.add(data, start, end)
            if length_known is not None:
                self._expect(length_known, cutter.missing)

    def _deliver(self, message: bytes, reserved: int) -> None:
        assert self._receiver is not None
        self._settled()
        self._receive.keep(len(message) + PREFIX_BYTES)
        self._receiver.on_message(message, reserved)

    def _settled(self) -> None:
        if self._awaited:
            self._awaited = False
            self._wire.message_came(self)

    def _expect(self, length: int, missing: int) -> None:
        """Make room for a message that is not whole: at once where it is granted already, else in turn."""
        assert self._room is not None
        if missing <= self._receive.left:
            self._room.reserve(length)
            self._reserved = length
            return
        turn = self._room.ask(length)
        if turn is None:
            self._reserved = length
            self._granted(self._receive.need(missing))
            return
        self._turn = turn
        turn.add_done_callback(lambda done: self._turn_came(done, length))

    def _turn_came(self, turn: "asyncio.Future[None]", length: int) -> None:
        awaited = self._turn is turn
        if awaited:
            self._turn = None
        if turn.cancelled():
            return
        assert self._room is not None
        error = turn.exception()
        if error is not None:
            if awaited and isinstance(error, Exception):
                self._refuse(error)
        elif not awaited or self._cutter is None:
            self._room.left(length)  # the call was over in the moment its turn came
        else:
            self._reserved = length
            self._granted(self._receive.need(self._cutter.missing))

    def _refuse(self, error: Exception) -> None:
        """Nothing more of this call is kept; its receiver says why."""
        self._refused = True
        self._settled()
        self._let_go()
        self._refill()
        if self._receiver is not None and not self._closed:
            self._receiver.on_refused(error)

    def hold(self, length: int) -> int:
        assert self._room is not None
        reserved = length + _KEPT_BYTES
        self._room.reserve(reserved)
        return reserved

    def took(self, length: int, reserved: int) -> None:
        if reserved and self._room is not None:
            self._room.left(reserved)
        self._receive.used(length + PREFIX_BYTES)
        self._refill()

    def _refill(self) -> None:
        """Let the window open again, but for a message that waits for its turn."""
        if self._turn is None:
            self._granted(self._receive.refill())

    def _granted(self, count: int) -> None:
        if count and not self._closed and not self._ended:
            self._wire.grant(self, count)

    # what goes

    def send(self, message: bytes) -> bool:
        if self._closed or self._last is not None:
            return True
        wire = self._wire
        if not self._answered:
            self._answered = True
            wire.emit(frame(HEADERS, END_HEADERS, self.id, RESPONSE))
        size = len(message) + PREFIX_BYTES
        head = MESSAGE_HEAD.pack(0, len(message))
        if (
            size <= FRAME_BYTES
            and size <= self.window.left
            and size <= wire.window.left
            and self._outbox is None
            and wire.taking
        ):
            self.window.take(size)
            wire.window.take(size)
            wire.emit(b"".join((FRAME_HEAD.pack(size >> 8, size & 255, DATA, 0, self.id), head, message)))
            return True
        return self._queue(head, message)

    def _queue(self, *pieces: bytes) -> bool:
        if self._outbox is None:
            self._outbox = Outbox()
        for piece in pieces:
            self._outbox.put(piece)
        self.pump()
        return self._outbox is None

    def pump(self) -> None:
        """Send what windows allow of what waits."""
        box, wire = self._outbox, self._wire
        if box is None or self._closed:
            return
        while box.size:
            most = min(FRAME_BYTES, self.window.left, wire.window.left)
            if most <= 0 or not wire.taking:
                moved = self._moved >= FRAME_BYTES  # a byte now and then would keep a call open for ever
                if moved:
                    self._moved = 0
                wire.wait_to_send(self, moved=moved)
                return
            pieces, left = [], most
            while left and box.size:
                piece = box.take(left)
                left -= len(piece)
                pieces.append(piece)
            size = most - left
            self._moved += size
            self.window.take(size)
            wire.window.take(size)
            wire.emit(FRAME_HEAD.pack(size >> 8, size & 255, DATA, 0, self.id))
            for piece in pieces:
                wire.emit(piece)
        self._outbox = None
        self._moved = 0
        wire.all_sent(self)
        if self._last is not None:
            self._end(self._last)
        elif self._receiver is not None:
            self._receiver.on_writable()

    def finish(self, status: Status = Status.OK, details: str = "") -> None:
        block = trailers(status, details)
        if not self._answered:
            block = RESPONSE + block
        self._finish(frame(HEADERS, END_STREAM | END_HEADERS, self.id, block))

    def answer_plainly(self, head: bytes, text: bytes) -> None:
        """What is no gRPC call gets an answer of HTTP."""
        if not self._closed and self._last is None:
            self._answered = True
            self._wire.emit(frame(HEADERS, END_HEADERS, self.id, head))
            self._last = frame(DATA, END_STREAM, self.id)
            self._queue(text)

    def _finish(self, last: bytes) -> None:
        if self._closed or self._last is not None:
            return
        if self._outbox is None:
            self._end(last)
        else:
            self._last = last

    def _end(self, last: bytes) -> None:
        self._answered = True
        self._wire.emit(last)
        self._close(None if self._ended else Code.NO_ERROR)

    def _close(self, reset: Code | None) -> None:
        self._closed = True
        self._outbox = None
        if self._timer is not None:
            self._timer.cancel()
        self._settled()
        self._let_go()
        self._wire.closed(self, answered=self._answered, reset=reset)

    def fault(self, code: Code) -> None:
        """The caller broke a rule on this stream."""
        if not self._closed:
            self._lose(code)

    def _lose(self, reset: Code | None) -> None:
        try:
            self._close(reset)
        finally:  # closing raises where a caller has done this too often
            if self._receiver is not None:
                self._receiver.on_gone()

    def _let_go(self) -> None:
        """Of what has come and is no whole message, and of the turn that it waits for."""
        self._cutter = None
        if self._turn is not None:
            turn, self._turn = self._turn, None
            turn.cancel()
        if self._reserved and self._room is not None:
            self._room.left(self._reserved)
            self._reserved = 0
