"""The gRPC stream that a processor serves."""

from typing import Any, Protocol


class Stream(Protocol):
    """The part of `grpc.aio.ServicerContext` a processor uses; messages are bytes."""

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`."""

    async def write(self, message: bytes) -> None:
        """Send one message."""

    def invocation_metadata(self) -> Any:
        """Pairs of the stream's initial metadata."""
