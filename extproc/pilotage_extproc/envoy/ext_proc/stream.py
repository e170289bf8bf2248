"""What the protocol layer needs of its neighbours: a stream below, a pipeline that decides."""

from typing import Any, Protocol

from pilotage_extproc.domain.decision import Decision, DirectAnswer, Placement
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.request.call import Call


class Stream(Protocol):
    """The part of `grpc.aio.ServicerContext` a processor uses; messages are bytes."""

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`."""

    async def write(self, message: bytes) -> None:
        """Send one message."""

    def invocation_metadata(self) -> Any:
        """Pairs of the stream's initial metadata."""


class Placer(Protocol):
    """The pipeline, as far as a processor needs it."""

    def begin(self, head: RequestHead) -> Call | DirectAnswer:
        """Identify the call; raises RequestRefused."""

    def place(self, call: Call, body: bytes | None) -> Placement | DirectAnswer:
        """Decide at once; raises RequestRefused."""

    async def place_patiently(self, call: Call, body: bytes | None) -> Placement | DirectAnswer:
        """Decide, yielding the loop or waiting for a sibling's news where that is needed."""

    def needs_patience(self, call: Call, body: bytes | None) -> bool:
        """Whether `place` would hold the loop too long or lack something that may yet arrive."""

    def decision_headers(self, decision: Decision) -> dict[str, str]:
        """Response headers that tell of a decision, as the settings allow."""
