"""What a condition can read: one table of variables and of functions over pools."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ValueType(StrEnum):
    """CEL types of variables."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    STRINGS = "list(string)"


class Cost(StrEnum):
    """What it takes to know a value."""

    CHEAP = "cheap"
    """Read or counted while the request is parsed anyway."""
    SLOW = "slow"
    """Awaited before the rule is evaluated."""


class Needs(StrEnum):
    """Where a value comes from."""

    HEAD = "head"
    BODY = "body"
    PROMPT = "prompt"
    """The first and the last 2 KiB of what users wrote."""
    CLOCK = "clock"
    POOLS = "pools"


@dataclass(slots=True, frozen=True)
class Variable:
    """One variable, or one function with the name of a pool."""

    name: str
    type: ValueType
    meaning: str
    needs: Needs
    cost: Cost = Cost.CHEAP


def _by_name(*found: Variable) -> Mapping[str, Variable]:
    return MappingProxyType({one.name: one for one in found})


VARIABLES: Final = _by_name(
    Variable("request.model", ValueType.STRING, "Model name the client asks for.", Needs.BODY),
    Variable("request.path", ValueType.STRING, "Path of the call, without query.", Needs.HEAD),
    Variable(
        "request.contextTokens",
        ValueType.INT,
        "Estimated tokens of the prompt, tools and system prompt included.",
        Needs.BODY,
    ),
    Variable(
        "request.maxTokens",
        ValueType.INT,
        "Most output tokens the client asks for; 0 when it does not say, unknown for what is no integer.",
        Needs.BODY,
    ),
    Variable("request.stream", ValueType.BOOL, "Whether the answer is streamed.", Needs.BODY),
    Variable("request.turns", ValueType.INT, "Messages of role `user`.", Needs.BODY),
    Variable(
        "request.lastRole", ValueType.STRING, "Role of the last message; empty without messages.", Needs.BODY
    ),
    Variable("request.toolNames", ValueType.STRINGS, "Names of the tools the model may call.", Needs.BODY),
    Variable("request.toolsUsed", ValueType.STRINGS, "Names of the tools called so far.", Needs.BODY),
    Variable("request.images", ValueType.INT, "Images in the messages.", Needs.BODY),
    Variable("request.audio", ValueType.INT, "Audio parts in the messages.", Needs.BODY),
    Variable("request.jsonSchema", ValueType.BOOL, "Whether a JSON schema binds the answer.", Needs.BODY),
    Variable(
        "request.systemDigest",
        ValueType.STRING,
        "First 16 hex digits of the system prompt's SHA-256; empty without one.",
        Needs.BODY,
    ),
    Variable(
        "prompt.domain",
        ValueType.STRING,
        "Topic of what users wrote: `math`, `code`, `law`, `medicine`, `business`, `science`, `history`, or"
        " `other` where none is sure.",
        Needs.PROMPT,
        Cost.SLOW,
    ),
    Variable(
        "prompt.domainConfidence", ValueType.DOUBLE, "0.0 to 1.0; 0.0 for `other`.", Needs.PROMPT, Cost.SLOW
    ),
    Variable(
        "prompt.strongGain",
        ValueType.DOUBLE,
        "How much better a strong model is expected to answer than a weak one, -1.0 to 1.0; unknown unless"
        " `promptFeatures` of the settings names weights.",
        Needs.PROMPT,
        Cost.SLOW,
    ),
    Variable(
        "prompt.strongGainConfidence",
        ValueType.DOUBLE,
        "0.0 to 1.0: how much of it is prediction; the rest is the mean of what was trained on.",
        Needs.PROMPT,
        Cost.SLOW,
    ),
    Variable(
        "prompt.language",
        ValueType.STRING,
        "ISO 639-1 code of the language users wrote in, such as `en`; `und` where none is sure.",
        Needs.PROMPT,
        Cost.SLOW,
    ),
    Variable(
        "prompt.code",
        ValueType.DOUBLE,
        "Share of what users wrote that is source code, 0.0 to 1.0.",
        Needs.PROMPT,
        Cost.SLOW,
    ),
    Variable(
        "identity.tenant",
        ValueType.STRING,
        "Tenant that asks; empty without `governance.identity`.",
        Needs.HEAD,
    ),
    Variable("identity.team", ValueType.STRING, "Its team; empty where none is known.", Needs.HEAD),
    Variable("identity.user", ValueType.STRING, "User of a token; empty of API keys.", Needs.HEAD),
    Variable("identity.key", ValueType.STRING, "Id of the API key; empty of tokens.", Needs.HEAD),
    Variable(
        "safety.kinds",
        ValueType.STRINGS,
        "Kinds of values that stand in the request, by the built-in detectors of docs/content.md.",
        Needs.BODY,
        Cost.SLOW,
    ),
    Variable("request.hour", ValueType.INT, "0 to 23, in `timeZone` of the settings.", Needs.CLOCK),
    Variable("request.weekday", ValueType.INT, "1 (Monday) to 7 (Sunday), in that zone.", Needs.CLOCK),
)

POOL_FUNCTIONS: Final = _by_name(
    Variable("poolReady", ValueType.BOOL, "Whether any server of the pool takes requests.", Needs.POOLS),
    Variable(
        "poolSaturation",
        ValueType.DOUBLE,
        "Mean use of the pool's servers against their `saturation` bounds; 1.0 is full.",
        Needs.POOLS,
    ),
    Variable("poolQueue", ValueType.INT, "Requests that wait at the pool's servers together.", Needs.POOLS),
)
"""Each takes the name of a pool: `name` of the policy's namespace, or `namespace/name`."""

HEADERS: Final = "headers"
KEYWORDS: Final = "prompt.keywords"
"""A function: whether any phrase of a named set of the policy stands in what users wrote."""

MAX_ITEMS: Final = 64
"""Of a list, in an expression or as a value."""
MAX_TEXT: Final = 1024
"""Bytes of one string, in an expression or as a value."""
MAX_LIST_TEXT: Final = 4096
"""Bytes of all strings of a list value: 64 names of tools as long as OpenAI allows."""


def header_read(name: str) -> str:
    """How the reading of a request header is named: `headers["x-user"]`; lower case."""
    return f'{HEADERS}["{name.lower()}"]'


def pool_read(function: str, pool: str) -> str:
    """How the reading of a pool's figure is named: `poolReady("namespace/name")`."""
    return f'{function}("{pool}")'


def keywords_read(name: str) -> str:
    """How the reading of a set of keywords is named: `prompt.keywords("namespace/policy/set")`."""
    return f'{KEYWORDS}("{name}")'


def keywords_of(read: str) -> str | None:
    """The set (`namespace/policy/set`) that a reading is of, else None."""
    return read[len(KEYWORDS) + 2 : -2] if read.startswith(f'{KEYWORDS}("') else None


def feature_of(read: str) -> str:
    """The feature that has to be found out for a reading: all sets of keywords are one."""
    return KEYWORDS if keywords_of(read) is not None else read


def header_of(read: str) -> str | None:
    """The header that a reading is of, else None."""
    return read[len(HEADERS) + 2 : -2] if read.startswith(f'{HEADERS}["') else None


def pool_of(read: str) -> tuple[str, str] | None:
    """Function and pool (`namespace/name`) that a reading is of, else None."""
    function, bracket, rest = read.partition('("')
    return (function, rest[:-2]) if bracket and function in POOL_FUNCTIONS else None
