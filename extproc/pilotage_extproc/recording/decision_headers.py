"""Response headers that show a decision, as far as the settings allow."""

from pilotage_api.settings import DecisionHeaders
from pilotage_extproc.domain.header_text import quoted
from pilotage_extproc.request.exchange import Exchange

DECISION_HEADER = "x-pilotage-decision"


def decision_headers(exchange: Exchange, level: DecisionHeaders) -> dict[str, str]:
    """By header name; none where the settings say so."""
    if level is DecisionHeaders.OFF:
        return {}
    decision = exchange.decision
    first = decision.targets[0]
    parts = [decision.id, f"model={quoted(first.upstream_model)}"]
    if decision.policy is not None:
        parts.append(f"policy={decision.policy}")
        parts.append(f"rule={quoted(decision.rule or '')}")
    if level is DecisionHeaders.FULL:
        parts.append(f"pool={first.pool}")
        parts.append(f"endpoint={first.address}")
        ranking = exchange.ranking
        parts.append(f"score={ranking.total[ranking.order[0]]:.3f}")
    return {DECISION_HEADER: "; ".join(parts)}
