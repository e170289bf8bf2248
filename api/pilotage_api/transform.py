"""What a policy changes in requests, for all models or for some: system prompt and parameters."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, StringConstraints

from pilotage_api.conditions.globs import glob_problem
from pilotage_api.resource import UNIQUE, Block, ModelName, Problem, cel, unique_by
from pilotage_api.transform_parameters import NEVER_REMOVED, NUMBERS, OUTPUT_LIMIT, member_of

PromptText = Annotated[str, StringConstraints(min_length=1, max_length=32768, pattern=r"\S")]
Number = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$", max_length=20)]
"""Decimal text, as it would stand in a request."""
MemberText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]

REPLACE_ALONE: Final = "replace stands without prefix and suffix"
SAYS_NOTHING: Final = "says nothing: name at least one field"
BOUNDS_CROSS: Final = "minimum is at most maximum"
DEFAULT_OUTSIDE: Final = "default lies between minimum and maximum"
NO_LEAST_OUTPUT: Final = "max_tokens has no minimum: an output budget could not hold"
BOUND_OR_REMOVED: Final = "a parameter is bounded or removed, not both"
_WHOLE_FIX: Final = 'write a whole number such as "40"'


class SystemPrompt(Block):
    """What stands around or instead of a client's system prompt."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!has(self.replace) || !(has(self.prefix) || has(self.suffix))", REPLACE_ALONE),
            ("has(self.prefix) || has(self.suffix) || has(self.replace)", SAYS_NOTHING),
        )
    )

    prefix: PromptText | None = None
    """Put before the client's system prompt; alone where there is none."""
    suffix: PromptText | None = None
    """Put behind the client's system prompt; alone where there is none."""
    replace: PromptText | None = None
    """Stands instead of every system and developer message of the client."""

    def problems(self) -> Iterable[Problem]:
        """Both around and instead, or nothing."""
        if self.replace is not None and (self.prefix is not None or self.suffix is not None):
            yield Problem("conflicting-fields", "replace", REPLACE_ALONE, "put everything into replace")
        if self.replace is None and self.prefix is None and self.suffix is None:
            yield Problem("missing-field", "", SAYS_NOTHING, "give prefix, suffix or replace")


class ParameterBounds(Block):
    """Bounds of one number in a request."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.minimum) || !has(self.maximum) || double(self.minimum) <= double(self.maximum)",
                BOUNDS_CROSS,
            ),
            (
                "!has(self.default) || ((!has(self.minimum) || "
                "double(self.minimum) <= double(self.default)) && (!has(self.maximum) || "
                "double(self.default) <= double(self.maximum)))",
                DEFAULT_OUTSIDE,
            ),
            ("has(self.minimum) || has(self.maximum) || has(self.default)", SAYS_NOTHING),
        )
    )

    minimum: Number | None = None
    """A smaller value becomes this one."""
    maximum: Number | None = None
    """A greater value becomes this one."""
    default: Number | None = None
    """Put in where the request has no value."""

    def problems(self) -> Iterable[Problem]:
        """Bounds that cross, and a default beyond them."""
        low = None if self.minimum is None else float(self.minimum)
        high = None if self.maximum is None else float(self.maximum)
        usual = None if self.default is None else float(self.default)
        if low is not None and high is not None and low > high:
            yield Problem("invalid-value", "minimum", BOUNDS_CROSS, f"write at most {self.maximum}")
        elif usual is not None and ((low is not None and usual < low) or (high is not None and usual > high)):
            yield Problem("invalid-value", "default", DEFAULT_OUTSIDE, "move it between the bounds")
        if low is None and high is None and usual is None:
            yield Problem("missing-field", "", SAYS_NOTHING, "give minimum, maximum or default")


class Maximum(Block):
    """The bound of what a budget holds as the client asks for it, so that nothing may ask for more."""

    maximum: Number
    """A greater value becomes this one."""

    @property
    def minimum(self) -> None:
        """It has none."""
        return None

    @property
    def default(self) -> None:
        """It has none."""
        return None


def _named(name: str) -> Any:
    """A parameter under the name that APIs have for it."""
    return Field(default=None, alias=name)


class Parameters(Block):
    """What becomes of a request's parameters, under the names that APIs have for them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!has(self.max_tokens) || !has(self.max_tokens.minimum)", NO_LEAST_OUTPUT),
            *(
                (
                    f"!has(self.remove) || !has(self.{name}) || !('{member_of(name)}' in self.remove)",
                    BOUND_OR_REMOVED,
                )
                for name in sorted(NUMBERS)
                if name != OUTPUT_LIMIT
            ),
        )
    )

    temperature: ParameterBounds | None = None
    """Sampling temperature."""
    top_p: ParameterBounds | None = _named("top_p")
    """Nucleus sampling."""
    top_k: ParameterBounds | None = _named("top_k")
    """Of chat, completions and messages; OpenAI's own servers have none."""
    min_p: ParameterBounds | None = _named("min_p")
    """vLLM, of chat and completions."""
    presence_penalty: ParameterBounds | None = _named("presence_penalty")
    """Of chat and completions."""
    frequency_penalty: ParameterBounds | None = _named("frequency_penalty")
    """Of chat and completions."""
    repetition_penalty: ParameterBounds | None = _named("repetition_penalty")
    """vLLM, of chat and completions."""
    choices: Maximum | None = None
    """`n` of chat and completions: answers to one request. Named otherwise, since YAML reads a key `n` as
    false."""
    best_of: Maximum | None = _named("best_of")
    """Of completions."""
    seed: ParameterBounds | None = None
    """Of chat and completions."""
    top_logprobs: ParameterBounds | None = _named("top_logprobs")
    """Of chat and responses."""
    min_tokens: ParameterBounds | None = _named("min_tokens")
    """vLLM, of chat and completions."""
    max_tool_calls: ParameterBounds | None = _named("max_tool_calls")
    """Of responses."""
    max_tokens: ParameterBounds | None = _named("max_tokens")
    """Tokens of output, under whichever of `max_tokens`, `max_completion_tokens` and `max_output_tokens` a
    call has. Its maximum is put in where a request has no limit. Of an output budget and this the tighter
    wins."""
    remove: list[MemberText] = Field(default=[], max_length=32, json_schema_extra=UNIQUE)
    """Names of members that are taken out of requests, such as one that the model's server refuses."""

    def bounds(self) -> Iterator[tuple[str, ParameterBounds | Maximum]]:
        """Those that are bounded, by name, in the order of the names."""
        for name in sorted(NUMBERS):
            given = getattr(self, name)
            if given is not None:
                yield name, given

    def problems(self) -> Iterable[Problem]:
        """Bounds that cannot be kept, and members that cannot go."""
        for name, given in self.bounds():
            if NUMBERS[name].whole:
                for field in ("minimum", "maximum", "default"):
                    if "." in (getattr(given, field) or ""):
                        yield Problem("invalid-value", f"{name}.{field}", "has no fraction", _WHOLE_FIX)
            if member_of(name) in self.remove:
                yield Problem("conflicting-fields", name, BOUND_OR_REMOVED, "keep one of them")
        limit = self.max_tokens
        if limit is not None:
            if limit.minimum is not None:
                yield Problem("conflicting-fields", "max_tokens.minimum", NO_LEAST_OUTPUT, "use default")
            for field in ("maximum", "default"):
                value = getattr(limit, field)
                if value is not None and float(value) < 1:
                    yield Problem("invalid-value", f"max_tokens.{field}", "is below 1", _WHOLE_FIX)
        for index, name in enumerate(self.remove):
            if name in NEVER_REMOVED:
                message = f"{name!r} is what requests are decided, answered or bounded by"
                yield Problem("invalid-value", f"remove[{index}]", message, "leave it out")


class ModelTransform(Block):
    """What holds for one model, or for a family of them."""

    model: ModelName
    """A candidate as the policy's rules name it, or a glob over such names (`*` and `?`)."""
    system_prompt: SystemPrompt | None = None
    """Instead of the policy's own."""
    parameters: Parameters | None = None
    """Beside the policy's own; for the same name this one holds."""

    def problems(self) -> Iterable[Problem]:
        """A glob that cannot be matched in bounded time."""
        why = glob_problem(self.model) if set(self.model) & set("*?") else None
        if why is not None:
            yield Problem("invalid-value", "model", why, "write a simpler glob, or several entries")


class Transform(Block):
    """What is changed in a policy's requests; each attempt gets what its own model asks for."""

    system_prompt: SystemPrompt | None = None
    """For every model that has none of its own."""
    parameters: Parameters | None = None
    """For every model."""
    per_model: list[ModelTransform] = Field(default=[], max_length=32, json_schema_extra=unique_by("model"))
    """One entry holds for a model: the one of its exact name, else the first whose glob fits."""
