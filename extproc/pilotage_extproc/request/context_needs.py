"""Tokens that a request needs in each model's window, where its policy changes it by model."""

from typing import Final

from pilotage_extproc.request.exchange import Note

CONTEXT_NEEDS: Final = Note[tuple[float, ...] | None]("contextNeeds")
"""By tier of its route; None where that cannot be told."""
