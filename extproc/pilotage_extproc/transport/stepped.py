"""A call served by a coroutine that is stepped by messages: no task, no turn of the event loop a message.

The handler runs at once when a message comes, within the transport's own reading, until it asks for the
next. Both answers of a request then leave in one write. Only a handler that waits for something else goes
on as a task from there: such a handler must not use `asyncio.timeout`, which needs a task to begin with.
"""

import asyncio
import logging
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from functools import partial
from types import CoroutineType
from typing import Any, Final

from pilotage_extproc.transport.contract import Call, CallRefused, Handler, Receiver, Status

log = logging.getLogger(__name__)

_NEXT: Final = object()
"""What a handler yields that waits for its call alone."""


@types.coroutine
def _went_on(handler: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    """The rest of a handler that has begun and waits for something, as a task can run it."""
    while True:
        failed: BaseException | None = None
        sent = None
        try:
            sent = yield waited_for
        except BaseException as error:  # noqa: BLE001 - what happens to the task happens to the handler
            failed = error
        try:
            waited_for = handler.send(sent) if failed is None else handler.throw(failed)
        except StopIteration:
            return


async def _as_task(handler: Coroutine[Any, Any, None], waited_for: Any) -> None:
    await _went_on(handler, waited_for)


class SteppedCall:
    """A `Receiver` towards the transport, a `Stream` towards the handler."""

    __slots__ = (
        "_call",
        "_drained",
        "_ended",
        "_error",
        "_first",
        "_gone",
        "_handler",
        "_more",
        "_task",
        "_used",
        "_waiter",
        "_wants",
    )

    def __init__(self, handler: Handler, call: Call) -> None:
        self._call = call
        self._first: tuple[bytes, int] | None = None
        """The message to be read next, with its room."""
        self._more: deque[tuple[bytes, int]] | None = None
        self._used: tuple[int, int] | None = None
        """Length and room of the message that was read last, until the handler reads on or waits."""
        self._waiter: asyncio.Future[None] | None = None
        """Of a handler that has become a task, and asks for the next message."""
        self._drained: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._ended = False
        self._gone = False
        self._wants = "message"
        """What a handler without a task waits for: `message` or `room`; empty while it runs, and after."""
        self._task: asyncio.Task[None] | None = None
        made = handler(self)  # type: ignore[arg-type] # mypy does not know yet what the decorators below do
        if not isinstance(made, CoroutineType):
            raise TypeError("a handler must be a coroutine function")
        self._handler: CoroutineType[Any, Any, None] | None = made

    # what the transport tells

    def on_message(self, message: bytes, reserved: int) -> None:
        if self._handler is None:
            self._call.took(len(message), reserved)
            return
        if self._first is None:
            self._first = message, reserved
        else:
            if self._more is None:
                self._more = deque()
            self._more.append((message, reserved or self._call.hold(len(message))))
        if self._wants == "message":
            self._step()
        elif self._waiter is not None:
            self._wake(self._waiter)

    def on_end(self) -> None:
        self._ended = True
        self._news()

    def on_refused(self, error: Exception) -> None:
        self._error = error
        self._drop()
        self._news()

    def on_writable(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        elif drained is None and self._wants == "room":  # a handler that runs is told by what `send` returns
            self._step()

    def on_gone(self) -> None:
        self._gone = True
        self._drop()
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            # once it has begun: a task that never did would end without a word to the handler
            asyncio.get_running_loop().call_soon(self._task.cancel)
        elif self._wants:
            self._step(asyncio.CancelledError())

    def _news(self) -> None:
        if self._wants == "message":
            self._step()
        elif self._waiter is not None:
            self._wake(self._waiter)

    def _wake(self, waiter: "asyncio.Future[None]") -> None:
        if not waiter.done():
            waiter.set_result(None)

    # running the handler

    def _step(self, error: BaseException | None = None) -> None:
        handler = self._handler
        assert handler is not None
        self._wants = ""
        try:
            waits_for = handler.send(None) if error is None else handler.throw(error)
        except StopIteration:
            self._over(Status.OK)
        except BaseException as raised:  # noqa: BLE001 - it ends the call
            self._raised(raised)
        else:
            if waits_for is not _NEXT:
                self._go_on(handler, waits_for)
        used = self._used
        if used is not None:
            self._used = None
            self._call.took(used[0], used[1])
        if self._gone and (error is None or self._task is None):
            self._cancel()  # it was lost within this step

    def _go_on(self, handler: Coroutine[Any, Any, None], waits_for: Any) -> None:
        """The handler waits for something else than its call: from here on it is a task."""
        self._task = asyncio.get_running_loop().create_task(_as_task(handler, waits_for))
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if task.cancelled():
            self._over(Status.CANCELLED)
        elif (raised := task.exception()) is not None:
            self._raised(raised)
        else:
            self._over(Status.OK)

    def _raised(self, raised: BaseException) -> None:
        if isinstance(raised, CallRefused):
            self._over(raised.status, raised.details)
        elif isinstance(raised, asyncio.CancelledError):
            self._over(Status.CANCELLED)
        else:
            log.error("a call failed", exc_info=raised)
            self._over(Status.UNKNOWN)

    def _over(self, status: Status, details: str = "") -> None:
        self._handler = None
        used, self._used = self._used, None
        self._call.finish(status, details)
        if used is not None and used[1]:  # its room alone: no more is read of this call
            self._call.took(used[0], used[1])
        if self._first is not None:
            self._drop()

    def _drop(self) -> None:
        """Give back the room of what nobody reads."""
        while self._first is not None:
            message, reserved = self._first
            self._first = self._more.popleft() if self._more else None
            self._call.took(len(message), reserved)

    # what the handler asks

    @types.coroutine
    def read(self) -> Generator[Any, None, bytes | None]:
        used = self._used
        if used is not None:  # the handler has said what it keeps of it
            self._used = None
            self._call.took(used[0], used[1])
        while self._first is None:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            if self._task is None:
                self._wants = "message"
                yield _NEXT
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                try:
                    yield from self._waiter
                finally:
                    self._waiter = None
        message, reserved = self._first
        self._first = self._more.popleft() if self._more else None
        self._used = len(message), reserved
        return message

    def write(self, message: bytes) -> Awaitable[None]:
        return self._sent(self._call.send(message))

    def last(self, message: bytes) -> Awaitable[None]:
        taken = self._call.send(message)
        self._call.finish()
        return self._sent(taken)

    @types.coroutine
    def _sent(self, taken: bool) -> Generator[Any, None, None]:
        if taken:
            return
        if self._task is None:
            self._wants = "room"
            yield _NEXT
        else:
            self._drained = asyncio.get_running_loop().create_future()
            yield from self._drained

    @property
    def ends_at_once(self) -> bool:
        return True

    def invocation_metadata(self) -> Mapping[str, str]:
        return self._call.metadata

    def peer_names(self) -> frozenset[str]:
        return self._call.peer_names


def by_steps(handler: Handler) -> Callable[[Call], Receiver]:
    """Receivers that step the handler, a coroutine each."""
    return partial(SteppedCall, handler)
