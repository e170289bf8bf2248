"""Policies' ways in, the most specific first, and those that an earlier one takes altogether."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

from pilotage_api.findings import ResourceKey
from pilotage_api.governance_rules import Governed
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.snapshot import (
    HeaderMatch,
    Otherwise,
    OverridesSnapshot,
    PathMatch,
    PolicyRoute,
    RuleSnapshot,
)

ANY_MODEL: Final = "*"
_MAX_VARIED_HEADERS = 4


@dataclass(slots=True, frozen=True)
class WayIn:
    """One model pattern and one path pattern of a policy."""

    policy: ResourceKey
    rank: tuple[object, ...]
    route: PolicyRoute


def is_glob(model: str) -> bool:
    """Whether a model match is a pattern."""
    return "*" in model or "?" in model


def ways_in(policy: RoutePolicy, rules: tuple[RuleSnapshot, ...], governed: Governed) -> list[WayIn]:
    """All ways into a policy with those rules, and what it bounds.

    Ranks order them totally: exact model before glob before none, then exact path before longer
    prefix, then more headers, then the older policy, then namespace/name, then how they are written.
    """
    key = policy.resource_key
    match = policy.spec.match
    headers = tuple(
        sorted(
            (HeaderMatch(name=header.name.lower(), value=header.value) for header in match.headers),
            key=lambda header: (header.name, header.value or ""),
        )
    )
    paths: list[PathMatch | None] = [
        PathMatch(value=path.value, prefix=path.type == "Prefix") for path in match.paths
    ] or [None]
    models: list[str | None] = [*match.models] or [None]
    queue = None if policy.spec.queue is None else policy.spec.queue.snapshot()
    chosen = policy.spec.overrides
    overrides = None
    if chosen is not None:
        overrides = OverridesSnapshot(header=chosen.header.lower(), rules=tuple(chosen.rules))
    found = []
    for model, path in product(models, paths):
        glob = model is not None and is_glob(model)
        rank = (
            2 if model is None else int(glob),
            (2, 0) if path is None else (1, -len(path.value)) if path.prefix else (0, 0),
            -len(headers),
            policy.metadata.created,
            key.key,
            model or "",
            path.value if path is not None else "",
        )
        route = PolicyRoute(
            policy=key.key,
            model=model,
            glob=glob,
            path=path,
            headers=headers,
            rules=rules,
            otherwise=Otherwise(policy.spec.otherwise),
            overrides=overrides,
            governance=governed.governance,
            instead=governed.instead,
            queue=queue,
            guards=governed.guards,
        )
        found.append(WayIn(key, rank, route))
    return found


def takers(ordered: list[WayIn]) -> dict[ResourceKey, list[ResourceKey | None]]:
    """For each way in of a policy the other policy that takes all its requests first, or None.

    Finds an equal match, a `prefix*` glob that covers a longer one, a header with any value that covers
    one with a value, and the pattern `*` beside no model at all: it ranks before it, however wide its
    other parts are. Wider matches of other kinds come later by their rank. A policy that passes requests
    on (`otherwise: next`) takes none altogether.
    """
    first: dict[object, ResourceKey] = {}
    found: dict[ResourceKey, list[ResourceKey | None]] = {}
    for way in ordered:
        taker = next((first[match] for match in _covering(way.route) if match in first), None)
        found.setdefault(way.policy, []).append(None if taker == way.policy else taker)
        if way.route.always_answers:
            first.setdefault(_match(way.route.model, way.route.path, way.route.headers), way.policy)
    return found


def _match(model: str | None, path: PathMatch | None, headers: tuple[HeaderMatch, ...]) -> object:
    return model, path, frozenset(headers)


def _covering(route: PolicyRoute) -> Iterator[object]:
    """Matches that take every request of a route and may rank before it."""
    if route.model is None:
        yield from _taken_by_any_model(route)
    for headers in _wider_headers(route.headers):
        yield _match(route.model, route.path, headers)
        if route.glob and route.model is not None:
            literal = route.model.replace("?", "*").partition("*")[0]
            for length in range(len(literal) + 1):
                yield _match(f"{literal[:length]}*", route.path, headers)


def _taken_by_any_model(route: PolicyRoute) -> Iterator[object]:
    paths: list[PathMatch | None] = [route.path, None]
    if route.path is not None:
        segments = route.path.value.rstrip("/").split("/")
        prefixes = ("/".join(segments[:count]) for count in range(1, len(segments) + 1))
        paths += [PathMatch(value=one, prefix=True) for prefix in prefixes for one in (prefix, f"{prefix}/")]
    for headers in _wider_headers(route.headers):
        for count in range(len(headers) + 1):
            for fewer in combinations(headers, count):
                yield from (_match(ANY_MODEL, path, fewer) for path in paths)


def _wider_headers(headers: tuple[HeaderMatch, ...]) -> Iterator[tuple[HeaderMatch, ...]]:
    if not 0 < len(headers) <= _MAX_VARIED_HEADERS:
        yield headers
        return
    yield from product(*(dict.fromkeys((one, HeaderMatch(name=one.name, value=None))) for one in headers))
