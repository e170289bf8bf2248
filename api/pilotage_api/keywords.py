"""Named sets of keywords of a policy, declared beside its rules and looked for by `prompt.keywords`."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from pilotage_api.conditions.check import Checked
from pilotage_api.conditions.variables import keywords_of
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.resource import DNS_LABEL, UNIQUE, Block, Problem
from pilotage_api.snapshot import KeywordsSnapshot, PolicyRoute

SetName = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_HAS_A_WORD: Final = re.compile(r"\w")


class KeywordSet(Block):
    """Words and phrases that a condition can look for."""

    name: SetName
    """What `prompt.keywords('name')` says."""
    words: list[Phrase] = Field(min_length=1, max_length=256, json_schema_extra=UNIQUE)
    """Whole words or phrases of up to eight words; case does not matter, nor what stands between words."""

    def problems(self) -> Iterable[Problem]:
        """A phrase of which nothing can be found."""
        for index, phrase in enumerate(self.words):
            if not _HAS_A_WORD.search(phrase):
                message = "has no letter and no digit, so it is never found"
                yield Problem("invalid-keyword", f"words[{index}]", message, "write a word")
            elif len(phrase.split()) > 8:
                message = "has more than eight words, so it is never found"
                yield Problem("invalid-keyword", f"words[{index}]", message, "shorten it")


def find_in_keywords(
    declared: Sequence[KeywordSet],
    conditions: Sequence[Checked | None],
    key: ResourceKey,
    find: Find,
) -> frozenset[int]:
    """Find sets that are not declared and those nothing names; the rules (by index) that can never hold."""
    names = [one.name for one in declared]
    own = {f"{key.namespace}/{key.name}/{name}" for name in names}
    wrong: set[int] = set()
    used: set[str] = set()
    for index, condition in enumerate(conditions):
        for use in () if condition is None else condition.keywords:
            full = use.name if "/" in use.name else f"{key.namespace}/{key.name}/{use.name}"
            used.add(full)
            if full not in own:
                wrong.add(index)
                near = get_close_matches(use.name, names, n=1)
                fix = f"did you mean {near[0]!r}?" if near else "declare it in spec.keywords"
                place = f"line {use.line}, column {use.column}"
                message = f"{place}: never holds: the policy has no keywords {use.name!r}"
                find(Severity.ERROR, "no-such-keywords", message, key, f"spec.rules[{index}].when", fix)
    for index, name in enumerate(names):
        if f"{key.namespace}/{key.name}/{name}" not in used:
            message, fix = (
                "has no effect: no rule's when names it",
                f"write prompt.keywords('{name}'), or remove it",
            )
            find(Severity.WARNING, "no-effect", message, key, f"spec.keywords[{index}]", fix)
    return frozenset(wrong)


def used_keywords(
    declared: Iterable[tuple[ResourceKey, Sequence[KeywordSet]]], routes: Iterable[PolicyRoute]
) -> tuple[KeywordsSnapshot, ...]:
    """The sets that a rule reads, by name."""
    read = {keywords_of(one) for route in routes for rule in route.rules for one in rule.reads}
    found = {
        f"{key.namespace}/{key.name}/{one.name}": tuple(one.words) for key, sets in declared for one in sets
    }
    return tuple(
        KeywordsSnapshot(name=name, words=words) for name, words in sorted(found.items()) if name in read
    )
