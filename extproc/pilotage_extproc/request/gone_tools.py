"""Tools that a policy has taken out of a request's list, by the number that the client gave them."""

from typing import Final

from pilotage_extproc.request.exchange import Note

GONE_TOOLS: Final = Note[tuple[int, ...]]("goneTools")
"""Ascending; of `tools` alone, which translation reads."""
