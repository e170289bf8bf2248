"""The pipeline of one request: identify, parse, route, rank, rewrite, record."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Final

from pilotage_api.settings import DecisionHeaders, GatewaySettings, OtherTraffic
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.domain.decision import Decision, DirectAnswer, Placement
from pilotage_extproc.domain.features import NO_FEATURES, RequestFeatures
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.header_text import quoted
from pilotage_extproc.domain.outcome import Outcome, Settled
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.call import Call
from pilotage_extproc.rules.routing_index import Route, RoutingIndex, weighted_order
from pilotage_extproc.scheduling.feedback import Learner
from pilotage_extproc.scheduling.scheduler import Ranking, Scheduler
from pilotage_extproc.stages.body_structure import structure_checked
from pilotage_extproc.stages.features import features_of
from pilotage_extproc.stages.identify import INFERENCE_PATHS, identify
from pilotage_extproc.stages.models_page import models_page
from pilotage_extproc.stages.parse import ParsedBody, parse_body, read_body
from pilotage_extproc.stages.prepare import rewritten
from pilotage_extproc.state.responses import ResponseOwners

log = logging.getLogger(__name__)

LARGE_BODY_BYTES = 1 << 20
"""Bodies above this yield the loop between steps, so that other requests are not held up."""
_JSON_CODINGS = ("", "identity")
_ESCAPED = b"\\u00"
"""Where a name of ASCII letters may be written with escapes."""
RESPONSE_NEWS_SECONDS = 1.0
"""How long a call on a stored response waits for news of it: its access-log entry may be on its way."""
OBJECTIVE_HEADER: Final = "x-gateway-inference-objective"
INFERENCE_KINDS = frozenset(INFERENCE_PATHS.values())
_NO_ENDPOINTS_RETRY_SECONDS = 1


class Pipeline:
    """Places requests. Everything is synchronous but waiting for a sibling's news and large bodies."""

    def __init__(
        self,
        *,
        process_id: str,
        settings: GatewaySettings,
        scheduler: Scheduler,
        learner: Learner,
        owners: ResponseOwners,
        decisions: DecisionLog[DecisionRecord],
        clock: Clock = monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.index = RoutingIndex(RoutingSnapshot())
        self.decisions = decisions
        self._process_id = process_id
        self._settings = settings
        self._scheduler = scheduler
        self._learner = learner
        self._owners = owners
        self._one_parsing = asyncio.Lock()
        """Large bodies are read one at a time: parsed, each is in memory twice."""
        self._clock = clock
        self._chance = chance
        self._sequence = 0
        self.priorities: Mapping[tuple[str, str], int] = {}
        """Of InferenceObjectives, by pool and name; below 0 a request may be shed."""
        self._models = models_page(self.index)

    def install(self, index: RoutingIndex) -> None:
        """Follow this index from the next request on."""
        self.index = index
        self._models = models_page(index)

    def begin(self, head: RequestHead) -> Call | DirectAnswer:
        """Identify a call by its head; answers what needs no model server. Raises RequestRefused."""
        identity = identify(head.method, head.path)
        kind = identity.kind
        if head.pool is not None:
            return self._begin_in_pool(Call(head, kind, identity.path, identity.response_id), head.pool)
        if kind is CallKind.MODELS:
            return DirectAnswer(self._models)
        call = Call(head, kind, identity.path, identity.response_id)
        if kind is CallKind.OTHER:
            self._forward(call, self._settings.other_paths, Refusal.UNKNOWN_PATH, "This path is not served.")
        elif kind is not CallKind.RESPONSE_OBJECT:
            content_type = head.headers.get("content-type", "")
            if content_type and "json" not in content_type.partition(";")[0].lower():
                message = f"content-type must be application/json, not {content_type[:100]!r}."
                self._forward(call, self._settings.other_bodies, Refusal.UNSUPPORTED_BODY, message)
            coding = head.headers.get("content-encoding", "")
            if coding not in _JSON_CODINGS:
                message = f"The body must be sent without content-encoding, not as {coding[:100]!r}."
                self._forward(call, self._settings.other_bodies, Refusal.UNSUPPORTED_BODY, message)
        return call

    @staticmethod
    def _begin_in_pool(call: Call, pool: str) -> Call:
        """The gateway has fixed the pool: what is not understood goes there by load alone."""
        head = call.head
        json = "json" in head.headers.get("content-type", "json").lower()
        plain = head.headers.get("content-encoding", "") in _JSON_CODINGS
        if call.kind is not CallKind.RESPONSE_OBJECT and not (
            call.kind in INFERENCE_KINDS and json and plain
        ):
            call.forward_pool = pool
        return call

    @staticmethod
    def _forward(call: Call, traffic: OtherTraffic, otherwise: Refusal, message: str) -> None:
        if traffic.action == "reject" or traffic.pool is None:
            raise RequestRefused(otherwise, message)
        call.forward_pool = traffic.pool

    def needs_patience(self, call: Call, body: bytes | None) -> bool:
        """Whether to use `place_patiently`."""
        if body is not None and len(body) > LARGE_BODY_BYTES:
            return True
        if call.kind is CallKind.RESPONSE_OBJECT:
            return True
        if call.kind is not CallKind.RESPONSES or body is None:
            return False
        return b'"previous_response_id"' in body or _ESCAPED in body

    def place(self, call: Call, body: bytes | None) -> Placement | DirectAnswer:
        """Decide where a call goes. Raises RequestRefused."""
        if call.forward_pool is not None:
            return self._place_in_pool(call, call.forward_pool, body, only=None)
        parsed = self._parse(call, body or b"")
        return self._place_parsed(call, body or b"", parsed, only=None)

    def consider(self, head: RequestHead, body: bytes) -> DecisionRecord:
        """Decide without placing: nothing is counted or kept. Raises RequestRefused."""
        call = self.begin(head)
        if isinstance(call, DirectAnswer) or call.kind not in INFERENCE_KINDS:
            raise RequestRefused(Refusal.UNKNOWN_PATH, "Only inference calls are decided on.")
        parsed = self._parse(call, body)
        route, features, ranking = self._choose(call, parsed, only=None)
        placement = self._placement(route, ranking, parsed.model)
        return self._record(call, route, ranking, placement.decision, parsed.stream, len(body), features)

    async def place_patiently(self, call: Call, body: bytes | None) -> Placement | DirectAnswer:
        """Decide with pauses, or with news that may still be on its way. Raises RequestRefused."""
        if call.forward_pool is not None:
            return self._place_in_pool(call, call.forward_pool, body, only=None)
        if call.kind is CallKind.RESPONSE_OBJECT:
            address = await self._server_of(call.response_id or "", "response_id")
            pool = call.head.pool or self.index.by_address[address]
            return self._place_in_pool(call, pool, body, only=address)
        body = body or b""
        parsed = await self._parse_patiently(call, body)
        wanted, only = parsed.previous_response_id, None
        if wanted is not None:
            if len(body) > LARGE_BODY_BYTES and self._owners.find(wanted) is None:
                del parsed  # rather parsed again than many waiting, each many times its size
                only = await self._server_of(wanted, "previous_response_id")
                parsed = await self._parse_patiently(call, body)
            else:
                only = await self._server_of(wanted, "previous_response_id")
        return self._place_parsed(call, body, parsed, only=only)

    async def _parse_patiently(self, call: Call, body: bytes) -> ParsedBody:
        """Check and parse with pauses; large bodies in turn."""
        if len(body) <= LARGE_BODY_BYTES:
            return self._parse(call, body)
        async with self._one_parsing:
            for _ in structure_checked(body, self._settings.body.max_structure):
                await asyncio.sleep(0)
            parsed = read_body(call.kind, body)
            await asyncio.sleep(0)
            return parsed

    def _parse(self, call: Call, body: bytes) -> ParsedBody:
        return parse_body(call.kind, body, max_structure=self._settings.body.max_structure)

    async def _server_of(self, response_id: str, param: str) -> str:
        owner = await self._owners.wait_for(response_id, RESPONSE_NEWS_SECONDS)
        if owner is None or owner.address not in self.index.by_address:
            raise RequestRefused(
                Refusal.RESPONSE_NOT_FOUND,
                f"No model server here is known to hold the response {response_id[:100]!r}.",
                param=param,
            )
        return owner.address

    def _choose(
        self, call: Call, parsed: ParsedBody, *, only: str | None
    ) -> tuple[Route, RequestFeatures, Ranking]:
        route: Route | None
        if call.head.pool is not None:
            route = self._route_in_pool(call, call.head.pool, parsed.model)
        else:
            route = self.index.match(parsed.model, call.path, call.head.headers)
        if route is None:
            message = f"The model `{parsed.model}` does not exist."
            raise RequestRefused(Refusal.MODEL_NOT_FOUND, message, param="model")
        if only is not None and not route.candidates.targets.has_address(only):
            message = f"The server that made the previous response does not serve `{parsed.model}`."
            raise RequestRefused(Refusal.RESPONSE_NOT_FOUND, message, param="previous_response_id")
        features = features_of(call, parsed, route, self._learner.calibration)
        return route, features, self._rank(route, features, call.head.subset, only)

    def _route_in_pool(self, call: Call, pool: str, model: str) -> Route:
        route = self.index.in_pool(pool, model, adapter=self._learner.is_adapter(model))
        if route is None:
            raise RequestRefused(Refusal.NO_ENDPOINTS, f"{pool} is not served here now.")
        objective = call.head.headers.get(OBJECTIVE_HEADER)
        sheddable = objective and self.priorities.get((pool, objective), 0) < 0
        if sheddable and self._scheduler.full(route.candidates):
            message = f"All model servers are full, and {str(objective)[:100]!r} may be shed."
            retry = _NO_ENDPOINTS_RETRY_SECONDS
            raise RequestRefused(Refusal.SATURATED, message, retry_after_seconds=retry)
        return route

    def _place_parsed(self, call: Call, body: bytes, parsed: ParsedBody, *, only: str | None) -> Placement:
        route, features, ranking = self._choose(call, parsed, only=only)
        placement = self._placement(route, ranking, parsed.model)
        first = placement.decision.targets[0]
        pool = self.index.pools[first.pool]
        placement.body = rewritten(
            body,
            call,
            parsed,
            upstream_model=first.upstream_model,
            engine=pool.engine,
            stream_usage=pool.stream_usage,
        )
        record = self._record(call, route, ranking, placement.decision, parsed.stream, len(body), features)
        self._keep(record, placement.decision, features)
        return placement

    def _place_in_pool(self, call: Call, pool: str, body: bytes | None, *, only: str | None) -> Placement:
        """Place a call that is not understood, by load alone."""
        route = self.index.pool_routes.get(pool)
        if route is None:
            raise RequestRefused(Refusal.NO_ENDPOINTS, "No model server takes this call now.")
        ranking = self._rank(route, NO_FEATURES, call.head.subset, only)
        placement = self._placement(route, ranking, "")
        record = self._record(call, route, ranking, placement.decision, False, len(body or b""), NO_FEATURES)
        self._keep(record, placement.decision, NO_FEATURES)
        return placement

    @staticmethod
    def _allowed(subset: tuple[str, ...] | None, only: str | None) -> tuple[str, ...] | None:
        if only is None:
            return subset
        return (only,) if subset is None or only in subset else ()

    def _rank(
        self, route: Route, features: RequestFeatures, subset: tuple[str, ...] | None, only: str | None
    ) -> Ranking:
        order = None
        if route.weights is not None:
            order = weighted_order(route.weights, [self._chance() for _ in route.weights])
        ranking = self._scheduler.rank(
            route.candidates,
            route.profile,
            request=features,
            subset=self._allowed(subset, only),
            limit=self._settings.max_attempts,
            tier_order=order,
            now=self._clock(),
        )
        if not ranking.order:
            raise self._nowhere(subset, only)
        return ranking

    @staticmethod
    def _nowhere(subset: tuple[str, ...] | None, only: str | None) -> RequestRefused:
        if only is not None:
            message = "The model server that holds the response is not available."
            return RequestRefused(Refusal.RESPONSE_NOT_FOUND, message)
        if subset is not None:
            message = "The gateway's endpoint subset holds no available endpoint of this model."
            return RequestRefused(Refusal.SUBSET_EMPTY, message)
        message = "No endpoint of this model is available."
        return RequestRefused(Refusal.NO_ENDPOINTS, message, retry_after_seconds=_NO_ENDPOINTS_RETRY_SECONDS)

    def _placement(self, route: Route, ranking: Ranking, model: str) -> Placement:
        known = route.candidates.targets
        targets = tuple([known[index] for index in ranking.order])
        self._sequence += 1
        decision = Decision(
            id=f"{self._process_id}-{self._sequence:x}",
            targets=targets,
            model=model,
            policy=route.policy,
            rule=route.rule,
            snapshot_version=self.index.snapshot.version,
            decided_at=self._clock(),
        )
        if route.candidates.one_model or all(
            target.upstream_model == targets[0].upstream_model for target in targets
        ):
            return Placement(decision)
        rebind = {target.address: target.upstream_model for target in targets}
        return Placement(decision, None, rebind)

    @staticmethod
    def _record(
        call: Call,
        route: Route,
        ranking: Ranking,
        decision: Decision,
        stream: bool,
        body_bytes: int,
        features: RequestFeatures,
    ) -> DecisionRecord:
        return DecisionRecord.of(
            decision,
            route,
            ranking,
            kind=call.kind,
            path=call.path,
            stream=stream,
            body_bytes=body_bytes,
            subset=call.head.subset,
            decided_at_utc=time.time(),
            features=features,
        )

    def _keep(self, record: DecisionRecord, decision: Decision, features: RequestFeatures) -> None:
        """The request counts as in flight at its first target from now on."""
        self._learner.placed(decision, features, record.cached_tokens)
        self.decisions.add(decision.id, record)

    def settle(self, outcome: Outcome) -> Settled:
        """A request of this process has ended: once, its count is taken back and its record completed."""
        known = self._learner.settled(outcome, self._clock())
        record = self.decisions.find(outcome.decision_id)
        against = "none"
        if record is not None:
            if record.outcome is None:
                record.outcome = outcome
            served = outcome.upstream_address
            if served is not None:
                against = _against(record.addresses(), served)
        return Settled(known, against)

    def learn(self, outcome: Outcome) -> None:
        """A stored response lives where it was made."""
        if outcome.response_id is not None and outcome.upstream_address is not None:
            self._owners.learn(outcome.response_id, outcome.upstream_address)

    def decision_headers(self, decision: Decision) -> dict[str, str]:
        """What the settings let a response tell of its decision, by header name."""
        level = self._settings.decision_headers
        if level is DecisionHeaders.OFF:
            return {}
        first = decision.targets[0]
        parts = [decision.id, f"model={quoted(first.upstream_model)}"]
        if decision.policy is not None:
            parts.append(f"policy={decision.policy}")
            parts.append(f"rule={quoted(decision.rule or '')}")
        if level is DecisionHeaders.FULL:
            parts.append(f"pool={first.pool}")
            parts.append(f"endpoint={first.address}")
            record = self.decisions.find(decision.id)
            if record is not None:
                parts.append(f"score={record.score():.3f}")
        return {"x-pilotage-decision": "; ".join(parts)}


def _against(addresses: list[str], served: str) -> str:
    """Which of a pick's addresses served: `first`, `fallback`, or `other` than all of them."""
    if served == addresses[0]:
        return "first"
    return "fallback" if served in addresses else "other"
