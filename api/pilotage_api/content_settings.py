"""Content rules of the gateway: what holds for every request, whatever its policy says."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pilotage_api.content_rules import BUILT_IN, AnswerRule
from pilotage_api.guard_hosts import GuardHost
from pilotage_api.guards_snapshot import ContentRuleSnapshot
from pilotage_api.settings_part import SettingsPart


def _built_in(name: str) -> str:
    if name not in BUILT_IN:
        raise ValueError(f"no built-in detector has this name: there are {', '.join(BUILT_IN)}")
    return name


BuiltIn = Annotated[str, AfterValidator(_built_in)]


class ContentFloor(SettingsPart):
    """A rule that policies add to and never weaken."""

    detectors: list[BuiltIn] = Field(min_length=1, max_length=64)
    """Built-in ones (docs/content.md)."""
    action: Literal["block", "redact", "flag"]
    """As of a policy's rule."""
    on_error: Literal["refuse", "pass"] = "refuse"
    """When a request cannot be looked at: `refuse` answers 400."""

    def snapshot(self) -> ContentRuleSnapshot:
        """The same as a policy's rule."""
        return ContentRuleSnapshot(
            detectors=tuple(self.detectors), action=self.action, refuses=self.on_error == "refuse"
        )


class AnswerFloor(AnswerRule):
    """A rule on answers that policies add to and never weaken: one with built-in detectors alone."""

    detectors: list[BuiltIn] = Field(min_length=1, max_length=64)
    """Built-in ones (docs/content.md)."""


class ContentSettings(SettingsPart):
    """What may stand in requests of this gateway, and in their answers."""

    request: list[ContentFloor] = Field(default=[], max_length=16)
    """Rules for all requests, those without a policy too."""
    response: list[AnswerFloor] = Field(default=[], max_length=16)
    """Rules for all answers, streamed or not: they pass the picker that made the pick. Not with
    `failOpenPool`, unless they only flag."""
    placeholder_key_file: str | None = None
    """File with at least 32 bytes: all pickers that have it give a value the same placeholder. Without it
    each process has a key of its own."""
    guards: tuple[GuardHost, ...] = ()
    """Hosts of remote guards that policies may name, with their labels. In a cluster none but these; outside
    one, empty is any, without labels."""
