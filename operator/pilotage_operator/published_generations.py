"""Which generation of each resource a published snapshot holds."""

from collections.abc import Iterable, Mapping

from pilotage_api.findings import ResourceKey
from pilotage_operator.resource_revision import Form

Generations = Mapping[ResourceKey, tuple[str, int]]
"""By resource: its uid and generation."""
_MOST = 32


class Ledger:
    """Snapshot versions and the generations in them; bounded, those not asked to be kept go oldest first.

    One content may stand for two sets of generations (an edit that changes nothing): the newer counts,
    since whoever runs that version behaves as either asks.
    """

    def __init__(self) -> None:
        self._known: dict[str, Generations] = {}

    def note(self, version: str, forms: Mapping[ResourceKey, Form], keep: Iterable[str] = ()) -> None:
        """This version holds these forms; `keep` are versions that somebody still runs."""
        self._known.pop(version, None)
        self._known[version] = {key: form.identity for key, form in forms.items()}
        wanted = {version, *keep}
        for old in list(self._known):
            if len(self._known) <= _MOST:
                break
            if old not in wanted:
                del self._known[old]

    def snapshot(self) -> Mapping[str, Generations]:
        """All that is known now."""
        return dict(self._known)
