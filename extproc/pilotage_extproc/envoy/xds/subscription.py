"""What one Envoy has asked for of one resource type, by the state-of-the-world xDS protocol.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from dataclasses import dataclass
from enum import Enum

from envoy.service.discovery.v3 import discovery_pb2


class Reply(Enum):
    """What a request says about the last response."""

    NONE = "none"
    """Nothing: it opens the subscription, repeats itself, or speaks of an older response."""
    ACKED = "acked"
    NACKED = "nacked"


@dataclass(slots=True)
class Subscription:
    """One type of one stream. Versions are those of `publish`; 0 is none yet."""

    wants: frozenset[str] = frozenset()
    """Resource names; empty is all."""
    due: bool = True
    """Whether Envoy waits for a response."""
    sent_version: int = 0
    acked_version: int = 0
    nonce: str = ""
    answered: bool = False
    """Whether the last response has been acknowledged or refused."""

    def take(self, request: discovery_pb2.DiscoveryRequest) -> Reply:
        """Follow a request; afterwards `due` says whether it is to be answered."""
        if request.response_nonce and request.response_nonce != self.nonce:
            return Reply.NONE  # about a response that has been replaced; the newer one is under way
        wants = frozenset(request.resource_names)
        changed, self.wants = wants != self.wants, wants
        if not request.response_nonce:
            self.due = True
            return Reply.NONE
        # The first request with a nonce answers that response; the same again asks for it anew: after a
        # cluster change Envoy repeats its endpoint request so, and the cluster warms until it is answered.
        repeated, self.answered = self.answered, True
        self.due = self.due or changed or repeated
        if repeated:
            return Reply.NONE
        if request.HasField("error_detail"):
            return Reply.NACKED
        self.acked_version = self.sent_version
        return Reply.ACKED

    def sent(self, version: int, nonce: str) -> None:
        """A response goes out."""
        self.due = self.answered = False
        self.sent_version = version
        self.nonce = nonce
