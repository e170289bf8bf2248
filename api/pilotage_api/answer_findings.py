"""Rules on answers that cannot be kept with the gateway's settings: their requests are refused."""

from collections.abc import Iterable
from typing import Final

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.guards_snapshot import AnswerRuleSnapshot
from pilotage_api.load import SETTINGS_KEY
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PolicyRoute

_WHY: Final = (
    "with failOpenPool answers go on unchecked when their picker ends, and rules on answers could not be kept"
)
_FIX: Final = "remove failOpenPool from the settings, or set action: flag"


def unkept_answers(rules: Iterable[AnswerRuleSnapshot], settings: GatewaySettings) -> str | None:
    """Why rules on answers cannot be kept with these settings; None where they can."""
    if settings.fail_open_pool is None or all(rule.action == "flag" for rule in rules):
        return None
    return _WHY


def find_unkept_floor(settings: GatewaySettings, find: Find) -> None:
    """Tell rules on all answers that cannot be kept: no request is served then."""
    if unkept_answers((rule.snapshot() for rule in settings.governance.content.response), settings):
        message, path = f"{_WHY}: all requests are answered 503", "spec.governance.content.response"
        find(Severity.ERROR, "not-enforceable", message, SETTINGS_KEY, path, _FIX)


def refuse_unkept_answers(
    routes: Iterable[PolicyRoute], settings: GatewaySettings, find: Find
) -> tuple[PolicyRoute, ...]:
    """The ways into policies; those whose rules on answers cannot be kept refuse what they match."""
    if settings.fail_open_pool is None:
        return tuple(routes)
    kept, told = [], set[str]()
    for route in routes:
        guards = route.guards
        if guards is None or unkept_answers(guards.answers, settings) is None:
            kept.append(route)
            continue
        if route.policy not in told:
            told.add(route.policy)
            namespace, _, name = route.policy.partition("/")
            key = ResourceKey("RoutePolicy", namespace, name)
            message = f"{_WHY}: its requests are answered 503"
            find(Severity.ERROR, "not-enforceable", message, key, "spec.governance.content.response", _FIX)
        refusing = guards.model_copy(update={"unenforceable": guards.unenforceable or _WHY})
        kept.append(route.model_copy(update={"guards": refusing}))
    return tuple(kept)
