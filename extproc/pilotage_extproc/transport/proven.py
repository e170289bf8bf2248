"""Services for those alone who have shown a certificate with a certain name."""

from typing import Final

from pilotage_extproc.transport.contract import (
    Call,
    CallRefused,
    Handler,
    Method,
    Receiver,
    Service,
    Status,
    Stream,
)

_WHY: Final = "callers of this service must show a certificate of the gateway's own"


def proven(service: Service, name: str) -> Service:
    """The same service; all callers but those whose verified certificate has the DNS name are refused.

    With an empty name nobody is told apart.
    """
    if not name:
        return service
    return Service(service.name, {key: _proven(method, name) for key, method in service.methods.items()})


def must_be(name: str, stream: Stream) -> None:
    """Raises CallRefused where the caller has not proven to have the name; an empty name is anybody's."""
    if name and name not in stream.peer_names():
        raise CallRefused(Status.UNAUTHENTICATED, _WHY)


def _proven(method: Method, name: str) -> Method:
    receiver = method.receiver

    def received(call: Call) -> Receiver:
        assert receiver is not None
        return receiver(call) if name in call.peer_names else _Refused(call)

    return Method(_handled(method.handler, name), method.room, None if receiver is None else received)


def _handled(handler: Handler, name: str) -> Handler:
    async def handle(stream: Stream) -> None:
        must_be(name, stream)
        await handler(stream)

    return handle


class _Refused:
    """A `Receiver` that ends its call with the first that comes of it, and keeps nothing."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def on_message(self, message: bytes, reserved: int) -> None:
        self._call.took(len(message), reserved)
        self._call.finish(Status.UNAUTHENTICATED, _WHY)

    def on_end(self) -> None:
        self._call.finish(Status.UNAUTHENTICATED, _WHY)

    def on_refused(self, error: Exception) -> None:  # noqa: ARG002 - the caller is told nothing else
        self._call.finish(Status.UNAUTHENTICATED, _WHY)

    def on_gone(self) -> None:
        pass

    def on_writable(self) -> None:
        pass
