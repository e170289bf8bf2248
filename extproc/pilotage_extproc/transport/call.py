"""One call on the built-in transport: its messages in, its answers out, its end."""

import asyncio
from collections.abc import Sequence

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.contract import CallRefused, Receiver, Room, Status
from pilotage_extproc.transport.frames import Code, StreamFault
from pilotage_extproc.transport.heads import RESPONSE, TRAILERS_OK, Head, trailers
from pilotage_extproc.transport.messages import MessageCutter, check_flag
from pilotage_extproc.transport.outbox import Outbox
from pilotage_extproc.transport.wire import Wire

_PREFIX_BYTES = frames.PREFIX_BYTES
_KEPT_BYTES = 64
"""What a kept message costs besides its bytes."""
_AT_ONCE_BYTES = 64 << 10
"""Longer messages are sent piece by piece, as the connection takes them."""
_ANSWER_BEGINS = frames.before_stream(frames.HEADERS, frames.END_HEADERS, RESPONSE)
_ENDS_WELL = frames.before_stream(frames.HEADERS, frames.END_STREAM | frames.END_HEADERS, TRAILERS_OK)


class ServerCall:
    """A call between its connection and its receiver."""

    __slots__ = (
        "_answered",
        "_awaited",
        "_closed",
        "_cutter",
        "_due",
        "_last",
        "_may_come",
        "_moved",
        "_number",
        "_outbox",
        "_receiver",
        "_refused",
        "_reserved",
        "_room",
        "_timer",
        "_turn",
        "_unused",
        "_window_bytes",
        "_wire",
        "begun",
        "closed",
        "ended",
        "head",
        "id",
        "metadata",
        "peer_names",
        "window",
    )

    def __init__(self, wire: Wire, number: int, head: Head, window: int, receive_bytes: int) -> None:
        self.id = number
        self._number = number.to_bytes(4, "big")
        self.head = head
        self.metadata = head.metadata
        self.peer_names = wire.peer_names
        self.window = window
        """Bytes that may be sent. A change of the initial window can take it below zero."""
        self.begun = self.ended = self.closed = False
        """Whether somebody receives it; whether the caller has sent its last; whether it is over."""
        self._wire = wire
        self._window_bytes = receive_bytes
        self._may_come = receive_bytes
        """Bytes the caller may send before it is granted more."""
        self._unused = 0
        """Bytes of whole messages that nobody has used."""
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
        self._answered = self._awaited = False
        self._refused = not head.is_grpc

    def begin(self, room: Room, receiver: Receiver) -> None:
        """From here on the receiver is told."""
        self._room = room
        self._receiver = receiver
        self.begun = True
        if self.ended:
            receiver.on_end()

    def end_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """The caller waits no longer than that."""
        self._timer = loop.call_later(
            seconds, self.expire, Status.DEADLINE_EXCEEDED, "the deadline has passed"
        )

    def expect_message(self) -> None:
        """A message is due, or the rest of one."""
        if not (self._awaited or self.closed or self.ended):
            self._awaited = True
            self._wire.wait_for_message(self)

    def grant(self, count: int) -> bool:
        """More may be sent; False where that is past what HTTP/2 allows."""
        self.window += count
        return self.window <= frames.MOST_WINDOW

    # what comes

    def data(self, data: bytes, start: int, end: int, length: int) -> None:
        """Payload of a DATA frame; `length` has its padding. Raises StreamFault."""
        if self.ended:
            raise StreamFault(Code.STREAM_CLOSED, "data after the end")
        self._may_come -= length
        if self._may_come < 0:
            raise StreamFault(Code.FLOW_CONTROL_ERROR, "more data than was granted")
        if self._due is not None:
            self._due -= end - start
        if self._refused or start == end:
            self._refill()
            return
        try:
            cutter = self._cutter
            if cutter is None:
                self._cut(data, start, end)
                return
            known = cutter.add(data, start, end)
            if known is not None:
                self._expect(known, cutter.missing)
            if cutter.missing <= 0:
                self._whole(cutter)
        except Exception as error:  # noqa: BLE001 - whatever a room refuses with is the receiver's to tell
            self._refuse(error)

    def end(self) -> None:
        """The caller has sent its last. Raises StreamFault."""
        if self.ended:
            raise StreamFault(Code.STREAM_CLOSED, "a second end")
        if self._due:
            raise StreamFault(Code.PROTOCOL_ERROR, "the content is not as long as its content-length says")
        self.ended = True
        if self._receiver is None or self._refused:
            return
        if self._cutter is not None:
            self._refuse(CallRefused(Status.INTERNAL, "the call ends within a message"))
        else:
            self._receiver.on_end()

    def gone(self) -> None:
        """The caller reset the stream, or its connection is lost."""
        self.fault(None)

    def expire(self, status: Status, details: str) -> None:
        """End it from here, whatever its receiver does."""
        if self.closed:
            return
        if self._outbox is None:
            self.finish(status, details)
        else:
            self._close(Code.CANCEL)  # half a message cannot be followed by a status
        if self._receiver is not None:
            self._receiver.on_gone()

    def _cut(self, data: bytes, start: int, end: int) -> None:
        """Hand over the messages that are whole; the rest begins the next one."""
        receiver = self._receiver
        assert receiver is not None
        length = None
        while end - start >= _PREFIX_BYTES:
            compressed, length = frames.MESSAGE_HEAD.unpack_from(data, start)
            if compressed:
                check_flag(compressed)
            after = start + _PREFIX_BYTES + length
            if after > end:
                break
            if self._awaited:
                self._settled()
            self._unused += after - start
            receiver.on_message(data[start + _PREFIX_BYTES : after], 0)
            if after == end or self.closed:
                return
            start, length = after, None
        if start < end and not self.closed and not self._refused:
            self._cutter = cutter = MessageCutter(length)
            self.expect_message()
            cutter.add(data, start if length is None else start + _PREFIX_BYTES, end)
            if length is not None:
                self._expect(length, cutter.missing)

    def _whole(self, cutter: MessageCutter) -> None:
        """A message that had begun is there."""
        assert self._receiver is not None
        self._cutter = None
        message, rest = cutter.take()
        reserved, self._reserved = self._reserved, 0
        if self._awaited:
            self._settled()
        self._unused += len(message) + _PREFIX_BYTES
        self._receiver.on_message(message, reserved)
        if rest:
            self._cut(rest, 0, len(rest))

    def _settled(self) -> None:
        """Its message is not waited for any more."""
        self._awaited = False
        self._wire.message_came(self)

    def _expect(self, length: int, missing: int) -> None:
        """Make room for a message that is not whole: at once where it is granted already, else in turn."""
        assert self._room is not None
        if missing <= self._may_come:
            self._room.reserve(length)
            self._reserved = length
            return
        turn = self._room.ask(length)
        if turn is None:
            self._reserved = length
            self._let_come(missing)
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
            self._let_come(self._cutter.missing)

    def _refuse(self, error: Exception) -> None:
        """Nothing more of this call is kept; its receiver says why."""
        self._refused = True
        if self._awaited:
            self._settled()
        self._let_go()
        self._refill()
        if self._receiver is not None and not self.closed:
            self._receiver.on_refused(error)

    def hold(self, length: int) -> int:
        assert self._room is not None
        reserved = length + _KEPT_BYTES
        self._room.reserve(reserved)
        return reserved

    def took(self, length: int, reserved: int) -> None:
        if reserved and self._room is not None:
            self._room.left(reserved)
        self._unused -= length + _PREFIX_BYTES
        if 2 * (self._may_come + self._unused) <= self._window_bytes:
            self._refill()

    def _refill(self) -> None:
        """Let the window open again once it is worth a frame, but for a message that waits for its turn."""
        whole = self._window_bytes - self._unused
        if self._turn is None and 2 * (whole - self._may_come) >= self._window_bytes:
            self._let_come(whole)

    def _let_come(self, count: int) -> None:
        """So many bytes may come from now on, or more."""
        more = count - self._may_come
        if more > 0:
            self._may_come = count
            if not self.closed and not self.ended:
                self._wire.grant(self, more)

    # what goes

    def send(self, message: bytes) -> bool:
        if self.closed or self._last is not None:
            return True
        begun = b""
        if not self._answered:
            self._answered = True
            begun = _ANSWER_BEGINS + self._number + RESPONSE
        length = len(message)
        size = length + _PREFIX_BYTES
        if size <= _AT_ONCE_BYTES and size <= self.window and self._outbox is None:
            pieces: Sequence[bytes | memoryview]
            if size <= frames.FRAME_BYTES:
                head = frames.DATA_HEAD.pack(size >> 8, size & 255, frames.DATA, 0, self.id, 0, length)
                pieces = [begun + head, message]
            else:
                pieces = frames.data_frames(self.id, message, begun)
            if self._wire.send(pieces, size):
                self.window -= size
                return True
        if begun:
            self._wire.emit(begun)
        return self._queue(frames.MESSAGE_HEAD.pack(0, length), message)

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
        if box is None or self.closed:
            return
        while box.size:
            most = min(frames.FRAME_BYTES, self.window, wire.window)
            if most <= 0 or not wire.taking:
                # a byte now and then would keep a call open for ever
                moved = self._moved >= frames.FRAME_BYTES
                if moved:
                    self._moved = 0
                wire.wait_to_send(self, moved=moved)
                return
            pieces, size = box.frame(self.id, most)
            self._moved += size
            self.window -= size
            wire.send(pieces, size)
        self._outbox = None
        self._moved = 0
        wire.all_sent(self)
        if self._last is not None:
            self._end(self._last)
        if self._receiver is not None:
            self._receiver.on_writable()

    def finish(self, status: Status = Status.OK, details: str = "") -> None:
        if self.closed or self._last is not None:
            return
        if status is Status.OK and self._answered:
            last = _ENDS_WELL + self._number + TRAILERS_OK
        else:
            block = (b"" if self._answered else RESPONSE) + trailers(status, details)
            last = frames.frame(frames.HEADERS, frames.END_STREAM | frames.END_HEADERS, self.id, block)
        if self._outbox is None:
            self._end(last)
        else:
            self._last = last

    def answer_plainly(self, head: bytes, text: bytes) -> None:
        """What is no gRPC call gets an answer of HTTP."""
        if not self.closed and self._last is None:
            self._answered = True
            self._wire.emit(frames.frame(frames.HEADERS, frames.END_HEADERS, self.id, head))
            self._last = frames.frame(frames.DATA, frames.END_STREAM, self.id)
            self._queue(text)

    def _end(self, last: bytes) -> None:
        self._answered = True
        self._close(None if self.ended else Code.NO_ERROR, last)

    def _close(self, code: Code | None, last: bytes = b"") -> None:
        """It is over; with a code the caller is told to send no more."""
        self.closed = True
        if self._outbox is not None:
            self._outbox = None
            self._wire.gave_up(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._awaited:
            self._settled()
        if self._cutter is not None:
            self._let_go()
        if code is not None:
            last += frames.reset(self.id, code)
        if last:
            self._wire.emit(last)
        more_may_come = code is not None and not self.ended
        self._wire.closed(self, answered=self._answered, more_may_come=more_may_come)

    def fault(self, code: Code | None) -> None:
        """The caller broke a rule on this stream; without a code it is not told."""
        if self.closed:
            return
        try:
            self._close(code)
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
