"""One socket: bytes that come are given to its session, in portions; bytes it makes are written."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import Code, ConnectionFault
from pilotage_extproc.transport.output import Output
from pilotage_extproc.transport.owner import Owner
from pilotage_extproc.transport.session import Session

log = logging.getLogger(__name__)

_ARE_YOU_THERE: Final = frames.frame(frames.PING, 0, 0, b"pi-alive")
_CLOSE_SECONDS: Final = 5.0


class Listener(Owner, Protocol):
    """The port a connection belongs to."""

    def connection_ended(self, connection: "Connection") -> None:
        """It is gone."""


def _peer_names(secured: ssl.SSLObject | None) -> frozenset[str]:
    """DNS names in the caller's certificate: `getpeercert` gives one that was verified, or nothing."""
    certificate: Mapping[str, Any] = (secured.getpeercert() or {}) if secured is not None else {}
    return frozenset(name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")


class Connection(asyncio.Protocol):
    """A socket's side of a session."""

    def __init__(
        self, owner: Listener, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._loop = loop
        self._clock = clock
        self._output = Output(loop)
        self.session = Session(owner, self._output, loop, clock)
        self._transport: asyncio.Transport | None = None
        self._input = b""
        self._at = 0
        self._resuming = False
        self._reading_paused = False
        self._closing = False
        self._began_at = self._heard_at = clock()
        self._asked_at: float | None = None
        self._paused_at = 0.0

    # asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            self._abort("it does not speak HTTP/2")
            return
        self._output.open(self._transport, self._limits.write_buffer_bytes, self.session.pump)
        self.session.greet(_peer_names(secured))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._closing = True
        self._transport = None
        self._output.close()
        self.session.lost()
        self._owner.connection_ended(self)

    def pause_writing(self) -> None:
        self._output.pause()
        self._paused_at = self._clock()

    def resume_writing(self) -> None:
        self._output.go_on()
        self.session.pump()

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._heard_at = self._clock()
        self._asked_at = None
        self._input = self._input[self._at :] + data if self._input else data
        self._at = 0
        if not self._resuming:
            self._work()
        elif len(self._input) > self._limits.input_bytes and not self._reading_paused:
            self._reading_paused = True
            self._reading(on=False)

    def _resume(self) -> None:
        self._resuming = False
        if self._closing:
            return
        self._output.flush()
        self._work()
        if self._reading_paused and len(self._input) - self._at <= self._limits.input_bytes:
            self._reading_paused = False
            self._reading(on=True)

    def _reading(self, *, on: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _work(self) -> None:
        """Take what came, until enough messages were handed over that others should have their turn."""
        self._output.hold()
        try:
            at, more = self.session.receive(self._input, self._at)
        except ConnectionFault as fault:
            self._fail(fault)
            return
        except Exception:
            log.exception("a connection failed")
            self._fail(ConnectionFault(Code.INTERNAL_ERROR, "the server failed"))
            return
        if at == len(self._input):
            self._input, self._at = b"", 0
        else:
            self._at = at
        self._output.flush()
        if more:
            self._resuming = True
            self._loop.call_soon(self._resume)
        transport = self._transport
        if (
            self._output.paused
            and transport is not None
            and transport.get_write_buffer_size() > self._limits.write_buffer_most_bytes
        ):
            self._abort("it takes nothing of what is sent")

    # its end

    def _fail(self, fault: ConnectionFault) -> None:
        log.info("ended a connection: %s", fault.reason, extra={"code": fault.code.name})
        self.session.fail(fault)
        self.close()

    def close(self) -> None:
        """End it once what was made is written; its calls end at once."""
        if self._closing:
            return
        self._closing = True
        self.session.lost()
        self._output.flush()
        self._output.close()
        if self._transport is not None:
            self._transport.close()
            self._loop.call_later(_CLOSE_SECONDS, self._abort, "it does not let go")

    def _abort(self, why: str) -> None:
        if self._transport is not None:
            log.info("ended a connection: %s", why)
            self._closing = True
            self._transport.abort()

    # watched by its port

    @property
    def idle_since(self) -> float | None:
        """When it was last heard, where it has no calls."""
        return None if self.session.calls else self._heard_at

    def drain(self) -> None:
        """Ask the caller to go elsewhere."""
        if not self._closing:
            self.session.drain()

    def end_calls(self) -> None:
        """End what is open, and the connection."""
        self.session.end_calls()
        self.close()

    def watch(self) -> None:
        """End what takes too long; called now and then."""
        limits, now = self._limits, self._clock()
        if self._closing:
            return
        if not self.session.greeted and now - self._began_at > limits.greeting_seconds:
            self._fail(ConnectionFault(Code.SETTINGS_TIMEOUT, "no SETTINGS came"))
        elif self._output.paused and now - self._paused_at > limits.stall_seconds:
            self._abort("it takes nothing of what is sent")
        elif self._asked_at is not None and now - self._asked_at > limits.ping_seconds:
            self._abort("it does not answer")
        else:
            if self._asked_at is None and now - self._heard_at > limits.silence_seconds:
                self._asked_at = now
                self._output.emit(_ARE_YOU_THERE)
            try:
                self.session.watch(now)
            except ConnectionFault as fault:
                self._fail(fault)
