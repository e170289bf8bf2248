"""What conditions read of one request: each value computed when a rule first asks, and once."""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

from pilotage_api.conditions.variables import header_of, keywords_of, pool_of
from pilotage_extproc.dialects.call import Facts, max_tokens
from pilotage_extproc.dialects.conversation import Media
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.features.names import KEYWORDS
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.prompt_tokens import CONTEXT_TOKENS, prompt_tokens
from pilotage_extproc.rules.condition import UNKNOWN
from pilotage_extproc.rules.local_time import LocalTime
from pilotage_extproc.rules.pool_figures import PoolFigures, SteadyPools, value_of
from pilotage_extproc.rules.routing_index import RoutingIndex
from pilotage_extproc.state.endpoints import EndpointTable

log = logging.getLogger(__name__)

Reading = Callable[[Exchange], object]

_MEDIA: Final = "media"
_OF_MEDIA: Final[Mapping[str, Callable[[Media], int]]] = {
    "request.images": lambda media: media.images,
    "request.audio": lambda media: media.audio,
}
"""Both are counted in one go."""
_OF_REQUEST: Final[Mapping[str, Reading]] = {
    "request.model": lambda exchange: exchange.document.model,
    "request.path": lambda exchange: exchange.call.path,
    "request.stream": lambda exchange: exchange.document.stream,
    CONTEXT_TOKENS: prompt_tokens,
    "request.maxTokens": lambda exchange: (
        max_tokens(DIALECTS[exchange.call.kind], exchange.document.members) or 0
    ),
    "request.turns": lambda exchange: _facts(exchange).turns(exchange.document.members),
    "request.lastRole": lambda exchange: _facts(exchange).last_role(exchange.document.members) or "",
    "request.toolNames": lambda exchange: list(_facts(exchange).tool_names(exchange.document.members)),
    "request.toolsUsed": lambda exchange: list(_facts(exchange).tools_used(exchange.document.members)),
    "identity.tenant": lambda exchange: exchange.identity.tenant,
    "identity.team": lambda exchange: exchange.identity.team,
    "identity.user": lambda exchange: exchange.identity.user,
    "identity.key": lambda exchange: exchange.identity.key,
    _MEDIA: lambda exchange: _facts(exchange).media(exchange.document.members),
    "request.jsonSchema": lambda exchange: _facts(exchange).json_schema(exchange.document.members),
    "request.systemDigest": lambda exchange: _facts(exchange).system_digest(exchange.document.members) or "",
}


def _facts(exchange: Exchange) -> Facts:
    return DIALECTS[exchange.call.kind].facts


class ReadingSources:
    """Where values come from that are not the request's own."""

    def __init__(self, table: EndpointTable, local_time: LocalTime, clock: Clock) -> None:
        self._table = table
        self._local_time = local_time
        self._clock = clock
        self._pools = SteadyPools()

    def hour(self) -> int:
        """0 to 23, where the gateway's users are."""
        return self._local_time.hour()

    def weekday(self) -> int:
        """1 (Monday) to 7 (Sunday), where they are."""
        return self._local_time.weekday()

    def pool(self, index: RoutingIndex, pool: str) -> PoolFigures | None:
        """Figures of a pool (`namespace/name`), held against flapping; None where there is none now."""
        rule = index.pool_rules.get(pool)
        if rule is None:
            return None
        rows, bounds = rule.route.candidates.rows, index.pools[pool].saturation
        return self._pools.figures(pool, self._table, rows, bounds, self._clock())

    def keep_only(self, pools: Collection[str]) -> None:
        """Forget what is held of all other pools."""
        self._pools.keep_only(pools)


class Readings:
    """The values of one request, as `Condition.holds` asks for them."""

    __slots__ = ("_exchange", "_index", "_known", "_sources")

    def __init__(self, exchange: Exchange, index: RoutingIndex, sources: ReadingSources) -> None:
        self._exchange = exchange
        self._index = index
        self._sources = sources
        self._known: dict[str, object] = {}

    def __call__(self, read: str) -> object:
        """The value of a reading; None is a header that is not there, `UNKNOWN` what nobody knows."""
        known = self._known.get(read, self)
        if known is self:
            known = self._known[read] = self._told(read)
        return known

    def _told(self, read: str) -> object:
        known = self._exchange.known(read, UNKNOWN)  # found out before: exact tokens, the prompt's features
        if known is not UNKNOWN:
            return known
        try:
            return self._value(read)
        except UnknownFactError:
            return UNKNOWN
        except Exception as error:  # noqa: BLE001 - a value that cannot be told must not cost the request
            log.debug("a value is unknown", extra={"value": read, "error": type(error).__name__})
            return UNKNOWN

    def _of_media(self, count: Callable[[Media], int]) -> object:
        media = self(_MEDIA)
        return count(media) if isinstance(media, Media) else UNKNOWN

    def _of_pool(self, function: str, pool: str) -> object:
        figures = self._sources.pool(self._index, pool)
        return UNKNOWN if figures is None else value_of(function, figures)

    def _of_keywords(self, name: str) -> object:
        found = self._exchange.known(KEYWORDS, UNKNOWN)
        if not isinstance(found, frozenset) or name not in self._index.keywords.names:
            return UNKNOWN
        return name in found

    def _value(self, read: str) -> object:
        of_request = _OF_REQUEST.get(read)
        if of_request is not None:
            return of_request(self._exchange)
        of_media = _OF_MEDIA.get(read)
        if of_media is not None:
            return self._of_media(of_media)
        header = header_of(read)
        if header is not None:
            return self._exchange.head.headers.get(header)
        pool = pool_of(read)
        if pool is not None:
            return self._of_pool(*pool)
        keywords = keywords_of(read)
        if keywords is not None:
            return self._of_keywords(keywords)
        return self._of_clock(read)

    def _of_clock(self, read: str) -> object:
        if read == "request.hour":
            return self._sources.hour()
        return self._sources.weekday() if read == "request.weekday" else UNKNOWN
