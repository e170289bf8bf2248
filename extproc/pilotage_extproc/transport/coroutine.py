"""A call served by a coroutine: `read` and `write` over what the transport tells."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from pilotage_extproc.transport.contract import Call, CallRefused, Handler, Receiver, Status

log = logging.getLogger(__name__)


def by_coroutine(handler: Handler) -> Callable[[Call], Receiver]:
    """Receivers that run the handler as a task each."""

    def receiver(call: Call) -> Receiver:
        return CoroutineCall(call, handler, asyncio.get_running_loop())

    return receiver


class CoroutineCall:
    """A `Receiver` towards the transport, a `Stream` towards the handler."""

    __slots__ = ("_call", "_drained", "_ended", "_error", "_first", "_loop", "_more", "_task", "_waiter")

    def __init__(self, call: Call, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._loop = loop
        self._first: tuple[bytes, int] | None = None
        self._more: deque[tuple[bytes, int]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: list[asyncio.Future[None]] | None = None
        self._error: Exception | None = None
        self._ended = False
        self._task: asyncio.Task[None] | None = loop.create_task(self._run(handler))

    async def _run(self, handler: Handler) -> None:
        try:
            await handler(self)
        except CallRefused as refused:
            self._call.finish(refused.status, refused.details)
        except asyncio.CancelledError:
            self._call.finish(Status.CANCELLED)
            raise
        except Exception:
            log.exception("a call failed")
            self._call.finish(Status.UNKNOWN)
        else:
            self._call.finish()
        finally:
            self._task = None
            self._drop()

    def _drop(self) -> None:
        """Give back the room of what nobody reads."""
        for message, reserved in ((self._first,) if self._first else ()) + tuple(self._more or ()):
            self._call.took(len(message), reserved)
        self._first, self._more = None, None

    # what the transport tells

    def on_message(self, message: bytes, reserved: int) -> None:
        if self._task is None:
            self._call.took(len(message), reserved)
            return
        if self._first is None:
            self._first = (message, reserved)
        else:
            if self._more is None:
                self._more = deque()
            self._more.append((message, reserved or self._call.hold(len(message))))
        self._wake()

    def on_end(self) -> None:
        self._ended = True
        self._wake()

    def on_refused(self, error: Exception) -> None:
        self._error = error
        self._drop()
        self._wake()

    def on_gone(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._drop()  # a task that never began ends without a step of its own
        self.on_writable()

    def on_writable(self) -> None:
        waiting, self._drained = self._drained, None
        for one in waiting or ():
            if not one.done():
                one.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # what the handler asks

    async def read(self) -> bytes | None:
        while self._first is None:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, reserved = self._first
        self._first = self._more.popleft() if self._more else None
        if reserved:
            # its room is free once the handler has said what it keeps of it, which it does before it waits
            self._loop.call_soon(self._call.took, len(message), reserved)
        else:
            self._call.took(len(message), 0)
        return message

    async def write(self, message: bytes) -> None:
        await self._sent(self._call.send(message))

    async def last(self, message: bytes) -> None:
        taken = self._call.send(message)
        self._call.finish()
        await self._sent(taken)

    async def _sent(self, taken: bool) -> None:
        if not taken:
            drained = self._loop.create_future()
            if self._drained is None:
                self._drained = []
            self._drained.append(drained)
            await drained

    @property
    def ends_at_once(self) -> bool:
        return True

    def invocation_metadata(self) -> Mapping[str, str]:
        return self._call.metadata

    def peer_names(self) -> frozenset[str]:
        return self._call.peer_names
