"""Rules on what may stand in answers, ready for them, and what is found by them."""

import re
from collections.abc import Sequence
from typing import Final

import orjson

from pilotage_api.guards_snapshot import Action, AnswerRuleSnapshot, OwnDetectorSnapshot
from pilotage_extproc.content.answers.open_values import OpenValues
from pilotage_extproc.content.guard import Toolbox, own_detector, strictest
from pilotage_extproc.content.scan import Scan, Scanner, TooMuchToCheckError

NOT_CHECKED: Final = "unread"
"""In the place of a detector: the answer could not be looked at."""

_MOST_OF_A_FRAME: Final = 1024
_ANYTHING: Final = re.compile(rb"[0-9@:]|[A-Za-z0-9+/_.-]{11}|-----|&commat;")
"""Every value that a built-in detector finds has one of these: secrets are long, addresses have a colon."""


class AnswerBlockedError(Exception):
    """The answer may not go on. Holds nothing of it."""


class AnswerRules:
    """Which values are looked for, and what becomes of them."""

    def __init__(
        self, rules: Sequence[AnswerRuleSnapshot], own: Sequence[OwnDetectorSnapshot], toolbox: Toolbox
    ) -> None:
        """Raises KeyError for a detector that there is not, `re2.error` for a pattern that RE2 refuses."""
        self.actions = strictest([(rule.detectors, rule.action) for rule in rules])
        by_name = {one.name: one for one in own if one.name in self.actions}
        detectors = [
            own_detector(by_name[name]) if name in by_name else toolbox.catalogue.get(name)
            for name in self.actions
        ]
        self.folding = toolbox.folding
        self.scanner: Scanner = toolbox.scanner(detectors)
        self.window = max(rule.window for rule in rules)
        """Most bytes of a text that are held back."""
        self.refuses = any(rule.refuses for rule in rules)
        self.redacted = frozenset(name for name, action in self.actions.items() if action == "redact")
        words = [word for one in by_name.values() for word in one.words]
        has_pattern = any(one.pattern is not None for one in by_name.values())
        self._only_built_in = not by_name
        self.opens = OpenValues(words, self.window if has_pattern else 0)

    def may_find(self, text: bytes) -> bool:
        """False where no detector finds anything; a quick look, which most words of a text pass."""
        return not self._only_built_in or not text.isascii() or _ANYTHING.search(text) is not None

    def passes(self, value: object) -> bool:
        """Whether a short value of an answer's frame, as its id, may stand as it is."""
        text = orjson.dumps({"": value})
        if len(text) > _MOST_OF_A_FRAME:
            return False
        try:
            for _ in self.scanner.steps(text, scan := Scan()):
                pass
        except TooMuchToCheckError:
            return False
        return all(self.actions.get(one.kind) == "flag" for one in scan.found)


class FoundInAnswer:
    """How often values of each kind were found; nothing of the values."""

    def __init__(self, actions: dict[str, Action]) -> None:
        self._actions = actions
        self._times: dict[str, int] = {}

    def saw(self, kind: str) -> None:
        """One more. Raises AnswerBlockedError where its rule says so."""
        self._times[kind] = self._times.get(kind, 0) + 1
        if self._actions.get(kind) == "block":
            raise AnswerBlockedError

    def saw_at_least(self, other: "FoundInAnswer") -> None:
        """What was found in something that may say again what was looked at before."""
        for kind, times in other._times.items():
            self._times[kind] = max(times, self._times.get(kind, 0))

    def unread(self, *, refuses: bool) -> None:
        """It cannot be looked at. Raises AnswerBlockedError where a rule refuses that."""
        self._times[NOT_CHECKED] = 1
        if refuses:
            raise AnswerBlockedError

    def said(self) -> tuple[tuple[str, str, int], ...]:
        """Detector, action and count of each kind."""
        return tuple([(kind, self._actions.get(kind, "pass"), times) for kind, times in self._times.items()])
