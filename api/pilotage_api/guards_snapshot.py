"""What a policy looks for in requests, and which tools it lets through, as extproc follows them."""

from typing import Literal, Self

from pilotage_api.part import Part

Action = Literal["block", "redact", "flag"]


class OwnDetectorSnapshot(Part):
    """A detector by pattern, or by words."""

    name: str
    pattern: str | None = None
    words: tuple[str, ...] = ()


class ContentRuleSnapshot(Part):
    """What becomes of requests in which some kinds of values stand."""

    detectors: tuple[str, ...]
    action: Action
    when_trust: tuple[str, ...] = ()
    """Values of the label `trust`; empty is always."""
    refuses: bool = True
    """Whether requests that cannot be looked at are refused."""
    restores: bool = False
    """Whether values come back in the answer's text in the place of their placeholders."""

    def without(self, detector: str) -> Self:
        """The same for its other detectors."""
        if detector not in self.detectors:
            return self
        return self.model_copy(update={"detectors": tuple(one for one in self.detectors if one != detector)})


class AnswerRuleSnapshot(Part):
    """What becomes of answers in which some kinds of values stand."""

    detectors: tuple[str, ...]
    action: Action
    window: int
    """Bytes."""
    refuses: bool = True
    """Whether answers that cannot be looked at are ended."""


class ToolRuleSnapshot(Part):
    """Bounds on tools."""

    when: str | None = None
    """CEL text; None always holds."""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    provider_run: tuple[str, ...] = ()
    maximum: int | None = None
    one_call: bool = False


class RemoteGuardSnapshot(Part):
    """A service that is asked about each request."""

    url: str
    timeout_seconds: float
    refuses: bool = True
    """Whether requests that it says nothing of are refused."""
    redacted: bool = True
    """Whether values that detectors find are replaced in what it is sent."""
    max_bytes: int
    max_concurrent: int


class GuardsSnapshot(Part):
    """What a policy asks for beside limits and budgets."""

    content: tuple[ContentRuleSnapshot, ...] = ()
    own: tuple[OwnDetectorSnapshot, ...] = ()
    tools: tuple[ToolRuleSnapshot, ...] = ()
    answers: tuple[AnswerRuleSnapshot, ...] = ()
    remote: tuple[RemoteGuardSnapshot, ...] = ()
    unenforceable: str | None = None
    """Why it cannot be kept: requests are refused instead of served without it."""

    @property
    def reads_answers(self) -> bool:
        """Whether answers of its requests are to be looked at or changed."""
        return bool(self.answers) or any(rule.restores for rule in self.content)
