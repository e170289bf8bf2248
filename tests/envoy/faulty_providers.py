"""A whole gateway before a provider over TLS that fails, and a server that stands in for it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy_rig import ModelServer
from hosted_pools import LOOPBACK, hosted_pool
from provider_stub import ProviderStub
from whole_gateway import NOTHING, WholeGateway

EVERY_REASON = (
    "unavailable",
    "unhealthy",
    "connect",
    "serverError",
    "rateLimited",
    "auth",
    "quota",
    "notFound",
    "firstToken",
)
TIMES = {"firstToken": "500ms", "idle": "2s", "total": "3s"}
KEY = "default/hosted"


def hosted(
    stub: ProviderStub, dialect: str = "openai", *, model: Mapping[str, Any] = NOTHING, **external: Any
) -> dict[str, Any]:
    """The pool of a provider with one model, `hosted`; two failures in a row open its breakers."""
    facts = {"maxOutputTokens": 100, **model}
    health = {"consecutiveFailures": 2, "ejectionTime": "60s"}
    return hosted_pool("hosted", stub, dialect, model=facts, external=external, health=health)


def alone() -> dict[str, Any]:
    """A policy without a fallback: what the provider does is what the client gets."""
    rule = {"candidates": [{"model": "hosted"}], "timeouts": TIMES}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "alone"},
        "spec": {"match": {"models": ["alone"]}, "rules": [rule]},
    }


class FaultyProvider(WholeGateway):
    """`auto` is the provider and then the spare server, for every reason; `alone` is the provider."""

    def __init__(
        self,
        folder: Path,
        stub: ProviderStub,
        spare: ModelServer,
        dialect: str,
        *,
        reasons: Sequence[str] = EVERY_REASON,
        **external: Any,
    ) -> None:
        rule = {
            "candidates": [{"model": "hosted"}],
            "timeouts": TIMES,
            "fallback": {"reasons": list(reasons), "to": [{"model": "spare"}]},
        }
        documents = [hosted(stub, dialect, **external), alone()]
        super().__init__(folder, {"spare": [spare]}, rule, documents=documents, **LOOPBACK)

    def problems(self) -> Mapping[str, Any]:
        """Why pools of providers are not used, by key."""
        return dict(self.runtime.providers.problems())

    def left_alone(self) -> str | None:
        """Which breaker of the provider is open: `server`, `model` or `provider`."""
        now = self.runtime.clock()
        for opened in self.runtime.state.knowledge.breakers.open(now):
            assert opened.circuit.pool == KEY
            return "model" if opened.circuit.model else "provider"
        return "server" if self.ejected() else None

    def forgive(self) -> None:
        """The provider counts as good as new."""
        state, now = self.runtime.state, self.runtime.clock()
        breakers = state.knowledge.breakers
        for opened in breakers.open(now):
            breakers.succeeded(opened.circuit, now)
        breakers.keep_only([])
        for row in state.table.rows().values():
            state.table.eject(row, 0)
        state.health._troubles.clear()


def error_of(body: bytes) -> Any:
    """The error object of an answer, or of the last event of a stream."""
    text = body.decode().removesuffix("<cut>").strip()
    last = text.rpartition("data: ")[2] if "data: " in text else text
    try:
        return json.loads(last).get("error")
    except (ValueError, AttributeError):
        return None
