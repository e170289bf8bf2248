"""Tools that a policy has taken out of a request's lists, by the number that the client gave them."""

from collections.abc import Mapping
from typing import Final

from pilotage_extproc.request.exchange import Note

GONE_TOOLS: Final = Note[Mapping[str, tuple[int, ...]]]("goneTools")
"""By list (`tools`, `functions`, `mcp_servers`), ascending; lists that are as they were are not there."""
