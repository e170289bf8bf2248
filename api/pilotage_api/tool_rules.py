"""Which tools the model may be offered."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from pilotage_api.conditions.check import check
from pilotage_api.conditions.problems import ConditionError
from pilotage_api.guards_snapshot import ToolRuleSnapshot
from pilotage_api.resource import UNIQUE, Block, Problem

ToolGlob = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^\S+$")]
"""A tool's name with `*` and `?`."""


class ToolRule(Block):
    """Bounds on the tools of requests; of several rules that hold, all count."""

    when: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    """A CEL expression, as of the policy's rules; always when omitted."""
    allow: list[ToolGlob] = Field(default=[], max_length=256, json_schema_extra=UNIQUE)
    """Names of tools that may be offered; all when empty."""
    deny: list[ToolGlob] = Field(default=[], max_length=256, json_schema_extra=UNIQUE)
    """Names of tools that never are; it wins over `allow`."""
    provider_run: list[ToolGlob] = Field(default=[], max_length=64, json_schema_extra=UNIQUE)
    """Types of tools that the provider runs which may be offered, such as `web_search*`, `code_interpreter`,
    `mcp/github` or, with the host that it must be at, `mcp/github@mcp.example.com`; none when empty."""
    maximum: int | None = Field(default=None, ge=1, le=1024, strict=True)
    """Most tools offered: those whose words the user's text has most of. They stay for the conversation."""
    parallel_calls: bool | None = None
    """`false` lets the model call one tool at a time."""

    def problems(self) -> Iterable[Problem]:
        """A condition that cannot be evaluated."""
        if self.when is None:
            return
        try:
            check(self.when)
        except ConditionError as error:
            for one in error.problems:
                yield Problem(one.code, "when", str(one), one.fix)

    def snapshot(self, when: str | None) -> ToolRuleSnapshot:
        """What extproc needs of it."""
        return ToolRuleSnapshot(
            when=when,
            allow=tuple(self.allow),
            deny=tuple(self.deny),
            provider_run=tuple(self.provider_run),
            maximum=self.maximum,
            one_call=self.parallel_calls is False,
        )
