"""What works under which gateway: one table, which `check` reads and the docs show."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Gateway(StrEnum):
    """How requests reach the picker; the settings say it (`gateway`)."""

    BUNDLED = "bundled"
    """By the bundled Envoy."""
    OTHER = "other"
    """By another gateway, at the picker's main port: one route over all servers."""
    INFERENCE_POOL = "inferencePool"
    """By another gateway, at the port of an InferencePool, which that gateway has chosen."""


class Support(StrEnum):
    """Whether a feature works under a gateway."""

    YES = "yes"
    DEPENDS = "depends"
    """In full, where the gateway is configured as the remark says."""
    PARTLY = "partly"
    NO = "no"


@dataclass(slots=True, frozen=True)
class Held:
    """How far a feature holds under one gateway, and why not further."""

    support: Support
    remark: str = ""


@dataclass(slots=True, frozen=True)
class Feature:
    """Something that a manifest can ask for."""

    name: str
    """As the docs call it."""
    fields: tuple[str, ...]
    """What asks for it: `KIND.path` below `spec`, as people write it, with `[]` behind lists."""
    other: Held
    inference_pool: Held
    """Under the bundled Envoy everything works."""

    def under(self, gateway: Gateway) -> Held:
        """How far it holds there."""
        if gateway is Gateway.BUNDLED:
            return YES
        return self.other if gateway is Gateway.OTHER else self.inference_pool


YES: Final = Held(Support.YES)
_NO_POLICY: Final = Held(Support.NO, "no policy is asked where the gateway has chosen the pool")
_NO_POOL: Final = Held(Support.NO, "candidates are the pods of the InferencePool")
_BUNDLED_ONLY: Final = Held(Support.NO, "only the bundled Envoy does this")


def _no(remark: str) -> Held:
    return Held(Support.NO, remark)


def _depends(remark: str) -> Held:
    return Held(Support.DEPENDS, remark)


_SENDS_RESPONSES: Final = "it must send responses to the picker; else only an estimate of the prompt counts"
_SENDS_ANSWERS: Final = (
    "it must send response bodies FULL_DUPLEX_STREAMED; else rules on answers refuse requests"
)

FEATURES: Final = (
    Feature("policies: models by rules, conditions, splits", ("RoutePolicy.rules",), YES, _NO_POLICY),
    Feature("models, aliases, adapters and their facts", ("ModelPool.models",), YES, _NO_POOL),
    Feature("objective, floor, ceilings", ("RoutePolicy.rules[].objective",), YES, _NO_POLICY),
    Feature("output budgets", ("RoutePolicy.rules[].outputBudget",), YES, _NO_POLICY),
    Feature("conversations stay with their model", ("RoutePolicy.rules[].stickiness",), YES, _NO_POLICY),
    Feature(
        "fallback to other models",
        ("RoutePolicy.rules[].fallback", "RoutePolicy.fallback"),
        Held(
            Support.PARTLY,
            "reasons known at the decision hold; a body is sent once, so no attempt goes to another model",
        ),
        _NO_POLICY,
    ),
    Feature(
        "timeouts",
        ("RoutePolicy.rules[].timeouts",),
        _no("the gateway's own time-outs hold"),
        _NO_POLICY,
    ),
    Feature(
        "hosted providers, translation of their APIs",
        ("ModelPool.external",),
        _no("a provider is reached by the bundled Envoy only"),
        _NO_POOL,
    ),
    Feature("where requests may go", ("RoutePolicy.rules[].require",), YES, _NO_POLICY),
    Feature("changes to requests", ("RoutePolicy.transform",), YES, _NO_POLICY),
    Feature(
        "changes to requests by model",
        ("RoutePolicy.transform.perModel",),
        Held(Support.PARTLY, "one body is sent for all attempts: that of the first one's model"),
        _NO_POLICY,
    ),
    Feature("tools", ("RoutePolicy.governance.tools",), YES, _NO_POLICY),
    Feature("content of requests, of policies", ("RoutePolicy.governance.content.request",), YES, _NO_POLICY),
    Feature(
        "content of answers",
        ("RoutePolicy.governance.content.response", "RoutePolicy.governance.content.request[].restore"),
        _depends(_SENDS_ANSWERS),
        _NO_POLICY,
    ),
    Feature(
        "guards over HTTP",
        ("RoutePolicy.governance.content.remote",),
        _depends("its ext_proc filter's message_timeout must be above the guard's timeout"),
        _NO_POLICY,
    ),
    Feature("content of requests, of the gateway", ("GatewaySettings.governance.content.request",), YES, YES),
    Feature(
        "content of answers, of the gateway",
        ("GatewaySettings.governance.content.response",),
        _depends(_SENDS_ANSWERS),
        _depends(_SENDS_ANSWERS),
    ),
    Feature("`kvIsolation`", ("RoutePolicy.governance.kvIsolation",), YES, _NO_POLICY),
    Feature(
        "limits",
        ("RoutePolicy.governance.limits", "Tenant.limits"),
        _depends(_SENDS_RESPONSES),
        _no("requests are neither counted nor bounded there"),
    ),
    Feature(
        "budgets",
        ("RoutePolicy.governance.budgets", "Tenant.budgets"),
        _depends(_SENDS_RESPONSES),
        _no("requests are neither counted nor bounded there"),
    ),
    Feature(
        "queues",
        ("RoutePolicy.queue",),
        _depends("its ext_proc filter must set max_message_timeout above maxWait"),
        _NO_POLICY,
    ),
    Feature("room at servers (`admission`)", ("ModelPool.admission",), YES, _NO_POOL),
    Feature(
        "API keys",
        ("GatewaySettings.governance.identity.apiKeys",),
        _depends("it must pass the header with the key to the picker"),
        _depends("as before; and unmatched: serve, since all requests there match no policy"),
    ),
    Feature(
        "JSON web tokens",
        ("GatewaySettings.governance.identity.jwt",),
        _no("claims are believed of the bundled Envoy only: requests get 401"),
        _no("claims are believed of the bundled Envoy only: requests get 401"),
    ),
    Feature(
        "trusted headers",
        ("GatewaySettings.governance.identity.trustedHeader",),
        _no("addresses are believed of the bundled Envoy only: requests get 401"),
        _no("addresses are believed of the bundled Envoy only: requests get 401"),
    ),
    Feature(
        "serving while the picker is away",
        ("GatewaySettings.failOpenPool",),
        _no("the gateway's own failureMode holds"),
        _no("the gateway's own failureMode holds"),
    ),
    Feature("CORS", ("GatewaySettings.cors.allowOrigins",), _BUNDLED_ONLY, _BUNDLED_ONLY),
)
"""In the order of the docs' table. A whole resource that does nothing comes before its parts."""
