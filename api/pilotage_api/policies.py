"""Policies to routes, in order of precedence."""

from dataclasses import dataclass

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.load import Loaded
from pilotage_api.modelpool import ModelPool
from pilotage_api.naming import Names, names_for
from pilotage_api.routepolicy import RoutePolicy, Rule
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import CandidateModel, HeaderMatch, PathMatch, PolicyRoute, RuleSnapshot


def policy_key(policy: RoutePolicy) -> ResourceKey:
    """The policy's identity."""
    return ResourceKey("RoutePolicy", policy.metadata.namespace, policy.metadata.name)


def is_glob(model: str) -> bool:
    """Whether a model match is a pattern."""
    return "*" in model or "?" in model


@dataclass(slots=True, frozen=True)
class _Ranked:
    """A route and what orders it: the most specific first, then the older policy, then its name."""

    rank: tuple[object, ...]
    route: PolicyRoute
    policy: ResourceKey


class PolicyCompiler:
    """Compiles policies against the pools their namespaces see."""

    def __init__(self, pools: list[ModelPool], loaded: Loaded, settings: GatewaySettings) -> None:
        self.findings: list[Finding] = []
        self._pools = pools
        self._loaded = loaded
        self._settings = settings
        self._names: dict[str, Names] = {}

    def routes(self, policies: list[RoutePolicy]) -> tuple[PolicyRoute, ...]:
        """All routes of the policies the gateway obeys, in order of precedence."""
        obeyed = self._settings.namespaces
        ranked: list[_Ranked] = []
        for policy in policies:
            key = policy_key(policy)
            if "*" not in obeyed and key.namespace not in obeyed:
                self._find(
                    Severity.WARNING,
                    "not-obeyed",
                    f"this gateway obeys policies of {', '.join(obeyed)} only",
                    key,
                    "metadata.namespace",
                    f"add {key.namespace} to the gateway's namespaces",
                )
                continue
            rule = self._rule(policy, key)
            if rule is not None:
                ranked += _ranked_routes(policy, key, rule)
        ranked.sort(key=lambda one: one.rank)
        self._find_shadowed(ranked)
        return tuple(one.route for one in ranked)

    def _rule(self, policy: RoutePolicy, key: ResourceKey) -> RuleSnapshot | None:
        rules = policy.spec.rules
        for index in range(1, len(rules)):
            self._find(
                Severity.WARNING,
                "unreachable-rule",
                "the first rule takes every request; this one is never reached",
                key,
                f"spec.rules[{index}]",
                "remove it, or make it the first",
            )
        rule = rules[0]
        if not self._weights_fit(rule, key):
            return None
        names = self._names_of(key.namespace)
        candidates = []
        for index, candidate in enumerate(rule.candidates):
            bindings = names.bindings.get(candidate.model, [])
            if not bindings:
                self._find(
                    Severity.WARNING,
                    "no-such-model",
                    f"no pool that namespace {key.namespace} may use serves {candidate.model!r}",
                    key,
                    f"spec.rules[0].candidates[{index}].model",
                    "name a model, alias or adapter of a pool, or see the pool's allowedNamespaces",
                )
            candidates.append(
                CandidateModel(model=candidate.model, weight=candidate.weight, bindings=tuple(bindings))
            )
        if not any(candidate.bindings for candidate in candidates):
            self._find(
                Severity.ERROR,
                "no-candidates",
                "no candidate is served by any pool: matching requests are answered 503",
                key,
                "spec.rules[0].candidates",
                "name a model that a pool serves",
            )
        return RuleSnapshot(name=rule.name or "rules[0]", candidates=tuple(candidates))

    def _weights_fit(self, rule: Rule, key: ResourceKey) -> bool:
        weights = [candidate.weight for candidate in rule.candidates]
        given = [weight for weight in weights if weight is not None]
        if given and len(given) != len(weights):
            message, fix = "some candidates have a weight and some have none", "weigh all of them, or none"
        elif given and sum(given) == 0:
            message, fix = "all weights are 0", "give at least one candidate a weight above 0"
        else:
            return True
        self._find(Severity.ERROR, "invalid-weights", message, key, "spec.rules[0].candidates", fix)
        return False

    def _names_of(self, namespace: str) -> Names:
        found = self._names.get(namespace)
        if found is None:
            labels = self._loaded.namespace_labels
            found = self._names[namespace] = names_for((namespace,), self._pools, labels)
        return found

    def _find_shadowed(self, ranked: list[_Ranked]) -> None:
        """A policy all of whose ways in are taken by policies before it does nothing: say so."""
        first: dict[object, ResourceKey] = {}
        ways: dict[ResourceKey, list[ResourceKey | None]] = {}
        for one in ranked:
            route = one.route
            match = (route.model, route.path, frozenset(route.headers))
            winner = first.setdefault(match, one.policy)
            ways.setdefault(one.policy, []).append(None if winner == one.policy else winner)
        for policy, winners in ways.items():
            taken = [winner for winner in winners if winner is not None]
            if taken and len(taken) == len(winners):
                self._find(
                    Severity.WARNING,
                    "shadowed",
                    f"never applies: {taken[0]} matches the same requests and comes first",
                    policy,
                    "spec.match",
                    "make its match more specific, or remove it",
                )
            elif taken:
                self._find(
                    Severity.WARNING,
                    "partly-shadowed",
                    f"part of its match never applies: {taken[0]} matches it and comes first",
                    policy,
                    "spec.match",
                    "remove what the other policy has",
                )

    def _find(
        self, severity: Severity, code: str, message: str, key: ResourceKey, path: str, fix: str
    ) -> None:
        source = self._loaded.sources.get(key, "")
        self.findings.append(Finding(severity, code, message, key, path, fix, source))


def _ranked_routes(policy: RoutePolicy, key: ResourceKey, rule: RuleSnapshot) -> list[_Ranked]:
    match = policy.spec.match
    headers = tuple(
        sorted(
            (HeaderMatch(name=header.name.lower(), value=header.value) for header in match.headers),
            key=lambda header: (header.name, header.value or ""),
        )
    )
    models: list[str | None] = list(dict.fromkeys(match.models)) or [None]
    paths: list[PathMatch | None] = [
        PathMatch(value=path.value, prefix=path.type == "Prefix") for path in match.paths
    ] or [None]
    ranked = []
    for model in models:
        glob = model is not None and is_glob(model)
        model_rank = 2 if model is None else int(glob)
        for path in paths:
            path_rank = (2, 0) if path is None else (1, -len(path.value)) if path.prefix else (0, 0)
            rank = (model_rank, path_rank, -len(headers), policy.metadata.created, key.key, model or "")
            route = PolicyRoute(policy=key.key, model=model, glob=glob, path=path, headers=headers, rule=rule)
            ranked.append(_Ranked(rank, route, key))
    return ranked
