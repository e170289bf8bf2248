"""Models whose budgets have no room for a request, as the stages before its decision find out."""

from typing import Final

from pilotage_extproc.request.exchange import Note

SPENT_MODELS: Final = Note[frozenset[str]]("spentModels")
"""Their upstream names."""
