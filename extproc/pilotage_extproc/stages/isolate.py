"""Tenants' prefix caches are kept apart: by a salt in the body, and in the picker's own index."""

import hashlib
from typing import Final

from pilotage_api.snapshot import Engine
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step

_SALT_BYTES: Final = 16
_SALTED: Final = frozenset({CallKind.CHAT, CallKind.COMPLETIONS, CallKind.RESPONSES})
"""Calls whose body takes a `cache_salt` at vLLM."""
_GENERATING: Final = _SALTED | {CallKind.MESSAGES}


class Salt(Step):
    """Gives a request the salt of its tenant, before anything of its prompt is looked up."""

    name = "salt"

    def __init__(self, key: bytes) -> None:
        self._key = key[: hashlib.blake2b.MAX_KEY_SIZE]

    def apply(self, exchange: Exchange) -> None:
        """The client's own salt goes into it: it separates requests within the tenant."""
        own = exchange.document.members.get("cache_salt")
        digest = hashlib.blake2b(key=self._key, digest_size=_SALT_BYTES)
        for text in (exchange.identity.tenant, own if isinstance(own, str) else ""):
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8) + raw)
        exchange.isolated(digest.hexdigest())


class KeepSalted(Step):
    """Leaves attempts of one kind in the list: all take the salt, or none does.

    Later attempts start from the first one's body.
    """

    name = "keepSalted"

    def apply(self, exchange: Exchange) -> None:
        """Raises RequestRefused (400) for a call that an engine could not keep apart."""
        decision, pools = exchange.decision, exchange.route.pools
        salted = [pools[target.pool].engine is Engine.VLLM for target in decision.targets]
        kind = exchange.call.kind
        if salted[0] and kind in _GENERATING and kind not in _SALTED:
            message = "This call cannot keep tenants' prefix caches apart: use chat completions."
            raise RequestRefused(Refusal.NOT_ISOLATED, message)
        if not salted[0] or kind not in _SALTED:
            exchange.isolated(None)
        if any(one is not salted[0] for one in salted):
            exchange.narrowed([place for place, one in enumerate(salted) if one is salted[0]])
