"""What the rules on content that hold for a request ask for, and how they are kept."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pilotage_api.guards_snapshot import Action, ContentRuleSnapshot, OwnDetectorSnapshot
from pilotage_extproc.content.catalogue import BUILT_IN, Catalogue
from pilotage_extproc.content.custom import CustomDetector, word_list
from pilotage_extproc.content.folding import Folding
from pilotage_extproc.content.placeholders import LookAlikes, Placeholders
from pilotage_extproc.content.redaction import Redacted, Sighting, redaction, sightings
from pilotage_extproc.content.scan import Scan, Scanner, TooMuchToCheckError
from pilotage_extproc.content.spans import Detector

STRICTNESS: Final[tuple[Action, ...]] = ("flag", "redact", "block")
"""What counts where several rules name a detector: the last."""


class Toolbox:
    """What all guards of a process share."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.folding = Folding()

    def scanner(self, detectors: Iterable[Detector]) -> Scanner:
        """A scanner by some detectors."""
        return Scanner(tuple(detectors), self.folding)

    def built_in(self) -> Scanner:
        """A scanner by all built-in detectors."""
        return self.scanner(map(self.catalogue.get, BUILT_IN))


class Kept:
    """What became of one body."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        """As it may go on."""
        self.seen: list[Sighting] = []
        self.blocked: tuple[str, ...] = ()
        """Detectors for which it may not."""


class ContentGuard:
    """Rules on content, ready for bodies."""

    def __init__(
        self, rules: Sequence[ContentRuleSnapshot], own: Sequence[OwnDetectorSnapshot], toolbox: Toolbox
    ) -> None:
        """Raises KeyError for a detector that there is not, `re2.error` for a pattern that RE2 refuses."""
        self.actions = strictest([(rule.detectors, rule.action) for rule in rules])
        """By detector: the strictest."""
        self.refuses = any(rule.refuses for rule in rules)
        """Whether a body that cannot be looked at is refused."""
        by_name = {one.name: one for one in own}
        detectors = [
            own_detector(by_name[name]) if name in by_name else toolbox.catalogue.get(name)
            for name in self.actions
        ]
        self.restored = frozenset(
            name
            for name in self.actions
            if all(one.restores for one in rules if name in one.detectors and one.action == "redact")
            and any(one.restores for one in rules if name in one.detectors)
        )
        """Detectors whose values come back in the text of the answer."""
        self._redacted = frozenset(name for name, action in self.actions.items() if action == "redact")
        self._scanner = toolbox.scanner([*detectors, LookAlikes()] if self._redacted else detectors)

    @property
    def changes(self) -> bool:
        """Whether it may change a body."""
        return bool(self._redacted)

    def steps(self, kept: Kept, names: Placeholders) -> Iterator[None]:
        """Look at a JSON body, and replace what is to be.

        Raises TooMuchToCheckError, StillThereError.
        """
        scan = Scan()
        try:
            yield from self._scanner.steps(kept.body, scan)
        except TooMuchToCheckError:
            yield from scan.forgotten()
            raise
        yield from sightings(scan, kept.seen)
        kept.seen = [one for one in kept.seen if one.kind in self.actions]
        kinds = dict.fromkeys(one.kind for one in kept.seen)
        kept.blocked = tuple(kind for kind in kinds if self.actions[kind] == "block")
        if kept.blocked or not self._redacted:
            yield from scan.forgotten()
            return
        changed = Redacted(kept.body)
        yield from redaction(scan, self._scanner, names, self._redacted, changed)
        kept.body = changed.body


def strictest(rules: Iterable[tuple[Iterable[str], Action]]) -> dict[str, Action]:
    """By detector: the strictest of what rules say."""
    actions: dict[str, Action] = {}
    for detectors, action in rules:
        for name in detectors:
            actions[name] = max(actions.get(name, "flag"), action, key=STRICTNESS.index)
    return actions


def own_detector(detector: OwnDetectorSnapshot) -> Detector:
    """A policy's own, ready. Raises `re2.error` for a pattern that RE2 refuses."""
    if detector.pattern is not None:
        return CustomDetector(detector.name, detector.pattern)
    return word_list(detector.name, detector.words)
