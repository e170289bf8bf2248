"""What one Envoy has asked for of one resource type, by the state-of-the-world xDS protocol.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.envoy.xds.catalog import Edition

_MOST_OPEN: Final = 64
"""Responses whose answer is waited for; an Envoy answers each before long."""


class Reply(Enum):
    """What a request says about the last response."""

    NONE = "none"
    """Nothing: it opens the subscription, repeats itself, or speaks of an older response."""
    ACKED = "acked"
    NACKED = "nacked"


@dataclass(slots=True)
class Subscription:
    """One type of one stream. Versions are those of editions; 0 is none yet."""

    whole: bool = False
    """Whether each response has all resources of the type: one that is left out is removed by Envoy."""
    wants: frozenset[str] = frozenset()
    """Resource names; empty is all."""
    due: bool = True
    """Whether Envoy waits for a response."""
    sent_version: int = 0
    nonce: str = ""
    answered: bool = False
    """Whether the last response has been acknowledged or refused."""
    acked: dict[str, int] = field(default_factory=dict)
    """By name, the version of the resource that Envoy has confirmed last."""
    _sent: dict[str, int] = field(default_factory=dict)
    _open: dict[str, dict[str, int]] = field(default_factory=dict)
    """What responses had that are not answered yet, by nonce."""
    refused: frozenset[str] = frozenset()
    """What the response had that was refused last and Envoy has not confirmed."""

    def take(self, request: discovery_pb2.DiscoveryRequest) -> Reply:
        """Follow a request; afterwards `due` says whether it is to be answered."""
        nonce = request.response_nonce
        if nonce and nonce != self.nonce:
            # about a response that has been replaced: the newer one is under way, and has its own names
            return self._answer(nonce, request)
        wants = frozenset(request.resource_names)
        changed, self.wants = wants != self.wants, wants
        if not nonce:
            self.due = True
            return Reply.NONE
        # The first request with a nonce answers that response; the same again asks for it anew: after a
        # cluster change Envoy repeats its endpoint request so, and the cluster warms until it is answered.
        repeated, self.answered = self.answered, True
        self.due = self.due or changed or repeated
        return Reply.NONE if repeated else self._answer(nonce, request)

    def _answer(self, nonce: str, request: discovery_pb2.DiscoveryRequest) -> Reply:
        had = self._open.pop(nonce, None)
        if had is None:
            return Reply.NONE
        if request.HasField("error_detail"):
            self.refused = frozenset(name for name, version in had.items() if self.acked.get(name) != version)
            return Reply.NACKED
        self.acked = had if self.whole else {**self.acked, **had}
        return Reply.ACKED

    def next(self, edition: Edition) -> Mapping[str, bytes] | None:
        """What is to be sent of an edition; None is nothing. Of some types only what is new to Envoy."""
        if not self.due and self.sent_version == edition.version:
            return None
        names = set(self.wants & edition.resources.keys() if self.wants else edition.resources)
        if not self.whole and not self.due:
            names = {name for name in names if edition.since[name] > self._sent.get(name, 0)}
            if not names:
                self.sent_version = edition.version
                return None
        return {name: edition.resources[name] for name in sorted(names)}

    def sent(self, edition: Edition, resources: Mapping[str, bytes], nonce: str) -> None:
        """A response with these resources goes out."""
        self.due = self.answered = False
        self.sent_version = edition.version
        self.nonce = nonce
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[nonce] = had = {name: edition.since[name] for name in resources}
        self._sent.update(had)
