"""`RoutePolicy`: which requests go to which models."""

import difflib
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pilotage_api.conditions.check import check
from pilotage_api.conditions.problems import ConditionError
from pilotage_api.credentials import is_credential
from pilotage_api.fallback import Fallback
from pilotage_api.findings import ResourceKey
from pilotage_api.governance import Governance
from pilotage_api.keywords import KeywordSet
from pilotage_api.objective import Objective, OutputBudget, Stickiness
from pilotage_api.queueing import Queue
from pilotage_api.require import Require
from pilotage_api.resource import (
    API_VERSION,
    STAYS_LEFT_OUT,
    UNIQUE,
    VALIDATIONS,
    Block,
    ModelName,
    ObjectMeta,
    Problem,
    ReservedObject,
    cel,
    unique_by,
)
from pilotage_api.scheduling import Scheduling
from pilotage_api.status import RoutePolicyStatus
from pilotage_api.timeouts import Timeouts
from pilotage_api.transform import Transform

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=256)]
Path = Annotated[str, StringConstraints(pattern=r"^/[^?#]*$", max_length=1024)]
RuleName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", min_length=1, max_length=63)
]
"""Goes into a response header and onto terminals as it is: letters, digits, `-`, `_` and `.`."""
Expression = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
"""CEL text."""


class HeaderRule(Block):
    """A request header that must be there."""

    name: HeaderName
    """Case does not matter. `host` is the authority that the client asked for."""
    value: str | None = Field(default=None, max_length=4096)
    """The exact value; any value when omitted. Of `host` case does not matter, and without a port it fits
    any port."""


class PathRule(Block):
    """A request path."""

    value: Path
    """Without the query."""
    type: Literal["Exact", "Prefix"] = "Prefix"
    """`Prefix` matches whole segments: `/v1` matches `/v1/chat` and not `/v10`."""


HEADER_TWICE: Final = "a header may stand once; case does not matter"


class Match(Block):
    """Which requests a policy is for: those that fit every list that is not empty."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.headers) || self.headers.all(h, "
                "self.headers.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",
                HEADER_TWICE,
            )
        )
    )

    models: list[ModelName] = Field(default=[], max_length=64, json_schema_extra=UNIQUE)
    """Model names clients ask for, exact or with `*` and `?`; one must fit. Empty is any."""
    headers: list[HeaderRule] = Field(default=[], max_length=16, json_schema_extra=unique_by("name"))
    """All must fit."""
    paths: list[PathRule] = Field(default=[], max_length=16, json_schema_extra=unique_by("value", "type"))
    """One must fit. Empty is any."""

    def problems(self) -> Iterable[Problem]:
        """A header that stands twice: two values never fit at once."""
        names = [header.name.lower() for header in self.headers]
        for index, name in enumerate(names):
            # spelled alike it is a duplicate of the list, found there
            if name in names[:index] and self.headers[names.index(name)].name != self.headers[index].name:
                yield Problem("duplicate-item", f"headers[{index}].name", HEADER_TWICE, "remove one")


class Candidate(Block):
    """A model a request may go to."""

    model: ModelName
    """A model, alias or adapter of a pool this policy may use."""
    weight: int | None = Field(default=None, ge=0, le=1_000_000, strict=True)
    """Chance to be tried first, relative to the others; on all candidates of a rule or on none."""


NO_CREDENTIAL: Final = "names a header that holds credentials"


def _credential(path: str, header: str | None) -> Iterable[Problem]:
    """Rules never depend on what a client authenticates with."""
    if header is not None and is_credential(header.lower()):
        yield Problem("credential-header", path, NO_CREDENTIAL, "name a header of your own")


def _condition(when: str | None) -> Iterable[Problem]:
    if when is None:
        return
    try:
        check(when)
    except ConditionError as error:
        for one in error.problems:
            yield Problem(one.code, "when", str(one), one.fix)


ALL_OR_NONE: Final = "all candidates of a rule have a weight, or none has"
NOT_ALL_ZERO: Final = "at least one weight must be above 0"
NEEDS_OBJECTIVE: Final = "outputBudget and stickiness need an objective"
OBJECTIVE_OR_WEIGHTS: Final = "candidates have weights, or the rule has an objective, not both"
PAIR_OF_CANDIDATES: Final = "strongGain names two of the rule's candidates"


class Rule(Block):
    """Candidates for a request."""

    model_config = ConfigDict(
        json_schema_extra={
            VALIDATIONS: [
                {
                    "rule": "self.candidates.all(c, has(c.weight)) || self.candidates.all(c, !has(c.weight))",
                    "message": ALL_OR_NONE,
                },
                {
                    "rule": "!self.candidates.all(c, has(c.weight) && c.weight == 0)",
                    "message": NOT_ALL_ZERO,
                },
                {
                    "rule": "has(self.objective) || !(has(self.outputBudget) || has(self.stickiness))",
                    "message": NEEDS_OBJECTIVE,
                },
                {
                    "rule": "!has(self.objective) || self.candidates.all(c, !has(c.weight))",
                    "message": OBJECTIVE_OR_WEIGHTS,
                },
                {
                    "rule": "!has(self.objective) || !has(self.objective.strongGain) || "
                    "(self.candidates.exists(c, c.model == self.objective.strongGain.weak) && "
                    "self.candidates.exists(c, c.model == self.objective.strongGain.strong))",
                    "message": PAIR_OF_CANDIDATES,
                },
            ]
        }
    )

    name: RuleName | None = None
    """Shown in explanations; `rules[i]` when omitted. Letters, digits, `-`, `_` and `.`."""
    when: Expression | None = None
    """A CEL expression over the request and the pools (docs/rules.md). A rule without one always holds."""
    candidates: list[Candidate] = Field(min_length=1, max_length=16, json_schema_extra=unique_by("model"))
    """In order of preference, or with weights; the rest are fallbacks."""
    sticky_by: HeaderName | None = None
    """With weights: requests with the same value of this header go to the same candidate first."""
    objective: Objective | None = None
    """Chooses model, output budget and server together; without it candidates are tried in order."""
    output_budget: OutputBudget | None = None
    """With an objective: levels of output tokens to choose among."""
    stickiness: Stickiness | None = None
    """With an objective: keeps conversations with their model."""
    timeouts: Timeouts | None = None
    """How long its requests may take."""
    fallback: Fallback | None = None
    """Where its requests go when no candidate can take them; the policy's when omitted."""
    require: Require | None = None
    """What holds wherever its requests go."""

    def problems(self) -> Iterable[Problem]:
        """A condition that cannot be evaluated, and weights that do not say who comes first."""
        yield from _condition(self.when)
        yield from _credential("stickyBy", self.sticky_by)
        given = [one.weight for one in self.candidates if one.weight is not None]
        yield from self._of_objective(weighted=bool(given))
        if not given:
            return
        if len(given) != len(self.candidates):
            yield Problem("invalid-weights", "candidates", ALL_OR_NONE, "weigh all of them, or none")
        elif sum(given) == 0:
            yield Problem("invalid-weights", "candidates", NOT_ALL_ZERO, "give at least one a weight above 0")

    def _of_objective(self, *, weighted: bool) -> Iterable[Problem]:
        """What belongs to an objective without one, and what does not belong to it."""
        if self.objective is None:
            for path, given in (("outputBudget", self.output_budget), ("stickiness", self.stickiness)):
                if given is not None:
                    yield Problem("needs-objective", path, NEEDS_OBJECTIVE, "add an objective, or remove it")
            return
        if weighted:
            fix = "remove the candidates' weights, or the objective"
            yield Problem("invalid-weights", "candidates", OBJECTIVE_OR_WEIGHTS, fix)
        pair = self.objective.strong_gain
        models = {one.model for one in self.candidates}
        for path, model in () if pair is None else (("weak", pair.weak), ("strong", pair.strong)):
            if model not in models:
                fix = f"name one of {', '.join(sorted(models))}"
                yield Problem("no-such-candidate", f"objective.strongGain.{path}", PAIR_OF_CANDIDATES, fix)


class Overrides(Block):
    """A header by which clients choose a rule."""

    header: HeaderName
    """Its value is the name of the rule, which is then taken whether its `when` holds or not."""
    rules: list[RuleName] = Field(min_length=1, max_length=32, json_schema_extra=UNIQUE)
    """Names of rules that may be chosen; any other value has no effect."""

    def problems(self) -> Iterable[Problem]:
        """A credential as the header."""
        return _credential("header", self.header)


RULE_NAME_TWICE: Final = "two rules of a policy have different names"
NO_SUCH_RULE: Final = "overrides name rules of the policy"


class RoutePolicySpec(Block):
    """Which requests go to which models."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.rules.all(r, !has(r.name) || "
                "self.rules.exists_one(o, has(o.name) && o.name == r.name))",
                RULE_NAME_TWICE,
            ),
            (
                "!has(self.overrides) || self.overrides.rules.all(n, "
                "self.rules.exists(r, has(r.name) && r.name == n))",
                NO_SUCH_RULE,
            ),
        )
    )

    match: Match = Match()
    """Which requests; all when omitted."""
    rules: list[Rule] = Field(min_length=1, max_length=32)
    """The first whose `when` holds wins."""
    otherwise: Literal["refuse", "next"] = Field(default="refuse", json_schema_extra=STAYS_LEFT_OUT)
    """When no rule holds: `refuse`, the default, answers 404 `no_rule_matched`; `next` goes to the next
    matching policy."""
    overrides: Overrides | None = None
    """Lets a header choose among the rules."""
    keywords: list[KeywordSet] = Field(
        default=[], max_length=32, json_schema_extra={**unique_by("name"), **STAYS_LEFT_OUT}
    )
    """Sets of words that a rule's `when` looks for in prompts: `prompt.keywords('name')`."""
    scheduling: Scheduling | None = None
    """For this policy's requests, instead of the pool's."""
    fallback: Fallback | None = None
    """Where requests go when no candidate can take them, for rules that do not say so themselves."""
    governance: Governance | None = None
    """Tools, content, limits and budgets."""
    queue: Queue | None = None
    """How requests wait while no server has room; without it they never do."""
    transform: Transform | None = None
    """Changes to requests, by model: system prompt, bounds on parameters (docs/transform.md)."""
    rollout: ReservedObject
    """Shadow and canary traffic."""

    def problems(self) -> Iterable[Problem]:
        """Rules of one name, and overrides that name no rule."""
        names = [rule.name for rule in self.rules]
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                message = f"the same name as rules[{names.index(name)}]"
                yield Problem("duplicate-item", f"rules[{index}].name", message, "use another name")
        known = [name for name in names if name is not None]
        for index, name in enumerate(() if self.overrides is None else self.overrides.rules):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                fix = f"did you mean {near[0]!r}?" if near else "name a rule that has a name"
                message = f"the policy has no rule {name!r}"
                yield Problem("no-such-rule", f"overrides.rules[{index}]", message, fix)


class RoutePolicy(BaseModel):
    """Which requests go to which models."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    api_version: Literal["pilotage.dev/v1alpha1"] = Field(default=API_VERSION, alias="apiVersion")
    kind: Literal["RoutePolicy"] = "RoutePolicy"
    metadata: ObjectMeta
    spec: RoutePolicySpec
    status: RoutePolicyStatus | None = None

    @cached_property
    def resource_key(self) -> ResourceKey:
        """Its identity."""
        return ResourceKey("RoutePolicy", self.metadata.namespace, self.metadata.name)
