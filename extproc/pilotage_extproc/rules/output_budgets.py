"""The output budgets of a rule, as attempts keep them."""

from pilotage_api.objective_snapshot import BudgetSnapshot
from pilotage_extproc.dialects.output_budget import OutputBudget


def levels_of(stated: BudgetSnapshot | None) -> tuple[OutputBudget, ...]:
    """A rule's output budgets, rising; none where it states none."""
    if stated is None:
        return ()
    instructs = stated.enforce == "instruct"
    clamp_at = stated.clamp_at if instructs else None
    return tuple([OutputBudget(tokens, instructs, clamp_at) for tokens in stated.levels])


def level_for(stated: BudgetSnapshot | None, tokens: int | None) -> OutputBudget | None:
    """The lowest level that gives an answer so many tokens, which a client's own limit may have cut."""
    if tokens is None:
        return None
    return next((level for level in levels_of(stated) if level.tokens >= tokens), None)
