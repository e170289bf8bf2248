"""What may stand in requests: which kinds of values are looked for, and what becomes of them."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage_api.guards_snapshot import AnswerRuleSnapshot, ContentRuleSnapshot, OwnDetectorSnapshot
from pilotage_api.remote_guard import RemoteGuard
from pilotage_api.resource import (
    DNS_LABEL,
    UNIQUE,
    Block,
    LabelValue,
    Problem,
    cel,
    unique_by,
)

BUILT_IN: Final = (
    "email",
    "phone",
    "payment-card",
    "iban",
    "us-ssn",
    "uk-nino",
    "de-steuer-id",
    "fr-nir",
    "es-dni",
    "it-codice-fiscale",
    "in-aadhaar",
    "br-cpf",
    "ip-address",
    "secret",
)
"""Names of the detectors that need no configuration."""
PROMPT_ATTACK: Final = "prompt-attack"
"""The detector that judges a whole text, and has no value that could be replaced."""
_RESERVED: Final = (*BUILT_IN, PROMPT_ATTACK, "placeholder")
DetectorName = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"\S")]
ONE_OF_BOTH: Final = "a detector has a pattern or words, not both"
ONLY_REPLACED: Final = "only what is replaced can be put back"
NOT_AVAILABLE: Final = (
    "content rules need the package google-re2, which has no build for this platform "
    "(there are builds for Linux and macOS on x86-64 and arm64, and for Windows on x86-64)"
)


def available() -> bool:
    """Whether this platform has what content rules need."""
    return find_spec("re2") is not None


class OwnDetector(Block):
    """A detector of the policy's own: a pattern, or a list of words."""

    model_config = ConfigDict(json_schema_extra=cel(("has(self.pattern) != has(self.words)", ONE_OF_BOTH)))

    name: DetectorName
    """What `detectors` of a rule says."""
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """A regular expression as RE2 has it (no look-around, no back-references); matches nothing empty."""
    words: list[Phrase] | None = Field(default=None, min_length=1, max_length=256, json_schema_extra=UNIQUE)
    """Whole words and phrases; case does not matter."""

    def problems(self) -> Iterable[Problem]:
        """Both or neither, a name that is taken, a pattern that RE2 refuses."""
        if (self.pattern is None) == (self.words is None):
            yield Problem("invalid-value", "", ONE_OF_BOTH, "give one of them")
        if self.name in _RESERVED:
            yield Problem("invalid-value", "name", "a built-in detector has this name", "use another name")
        if self.pattern is not None and available():
            refused = _refused(self.pattern)
            if refused is not None:
                yield Problem("invalid-pattern", "pattern", refused, "write it as RE2 has it")

    def snapshot(self) -> OwnDetectorSnapshot:
        """What extproc needs of it."""
        return OwnDetectorSnapshot(name=self.name, pattern=self.pattern, words=tuple(self.words or ()))


def _refused(pattern: str) -> str | None:
    import re2  # noqa: PLC0415 - only where a policy has a pattern

    options: Any = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        made = re2.compile(pattern.encode(), options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return "matches the empty text" if made.fullmatch(b"") is not None else None


class ContentRule(Block):
    """What becomes of requests in which some kinds of values stand."""

    model_config = ConfigDict(
        json_schema_extra=cel(("!has(self.restore) || self.action == 'redact'", ONLY_REPLACED))
    )

    detectors: list[DetectorName] = Field(min_length=1, max_length=64, json_schema_extra=UNIQUE)
    """Built-in ones (docs/content.md) and those of `own`."""
    action: Literal["block", "redact", "flag"]
    """`block` answers 400 `content_blocked`; `redact` puts a placeholder in its place; `flag` shows it in
    records. Where several rules name a detector, the strictest counts."""
    when_trust: list[LabelValue] = Field(default=[], max_length=8, json_schema_extra=UNIQUE)
    """Only for rules of the policy that may send requests to a pool with one of these values of the label
    `trust`; a pool without it is `provider` where it is external, else `own`. Empty is always."""
    on_error: Literal["refuse", "pass"] = "refuse"
    """When a request cannot be looked at (a form, too much to check): `refuse` answers 400."""
    restore: Literal["text"] | None = None
    """`text`: where the answer's text has a placeholder of this request, the client gets the value. Never in
    arguments of tools or in URLs. Of several rules that replace a value all must say so."""

    def problems(self) -> Iterable[Problem]:
        """What is put back was replaced, and an attack is no value that could be."""
        if self.restore is not None and self.action != "redact":
            yield Problem("invalid-value", "restore", ONLY_REPLACED, "remove it, or set action: redact")
        if self.action == "redact" and PROMPT_ATTACK in self.detectors:
            message = f"{PROMPT_ATTACK} has no value that could be replaced"
            yield Problem("invalid-value", "action", message, "name it in a rule with action: flag")

    def snapshot(self) -> ContentRuleSnapshot:
        """What extproc needs of it."""
        return ContentRuleSnapshot(
            detectors=tuple(self.detectors),
            action=self.action,
            when_trust=tuple(self.when_trust),
            refuses=self.on_error == "refuse",
            restores=self.restore is not None,
        )


class AnswerRule(Block):
    """What becomes of answers in which some kinds of values stand."""

    detectors: list[DetectorName] = Field(min_length=1, max_length=64, json_schema_extra=UNIQUE)
    """Built-in ones (docs/content.md) and those of `own`, whose patterns always hold back `window` bytes."""
    action: Literal["block", "redact", "flag"]
    """`block` ends the answer there as filtered; `redact` puts a placeholder in its place; `flag` shows it in
    records. Where several rules name a detector, the strictest counts."""
    window: int = Field(default=1024, ge=64, le=16384)
    """Bytes of a streamed text that are held back at most while a value may go on."""
    on_error: Literal["refuse", "pass"] = "refuse"
    """When an answer cannot be looked at: `refuse` ends it as `block` does."""

    def snapshot(self) -> AnswerRuleSnapshot:
        """What extproc needs of it."""
        return AnswerRuleSnapshot(
            detectors=tuple(self.detectors),
            action=self.action,
            window=self.window,
            refuses=self.on_error == "refuse",
        )


class Content(Block):
    """What may stand in requests and answers."""

    request: list[ContentRule] = Field(default=[], max_length=16)
    """Of requests: all their text, tool definitions, arguments and results included."""
    own: list[OwnDetector] = Field(default=[], max_length=32, json_schema_extra=unique_by("name"))
    """Detectors beside the built-in ones."""
    response: list[AnswerRule] = Field(default=[], max_length=16)
    """Of answers, streamed or not: their text, reasoning, and arguments of tools."""
    remote: list[RemoteGuard] = Field(default=[], max_length=4, json_schema_extra=unique_by("url"))
    """Guardrails of your own over HTTP; asked about each request behind the rules above and `tools`."""
