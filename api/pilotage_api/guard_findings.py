"""A policy's content rules and tool rules, compiled, and what of them cannot be kept."""

from difflib import get_close_matches
from typing import Final

from pilotage_api.conditions.check import check
from pilotage_api.conditions.variables import keywords_of, pool_of
from pilotage_api.content_rules import BUILT_IN, NOT_AVAILABLE, PROMPT_ATTACK, Content, available
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.guards_snapshot import GuardsSnapshot
from pilotage_api.tool_rules import ToolRule

_WEAK: Final = (
    f"{PROMPT_ATTACK} is a signal, not a block: it finds about 25% of attacks of kinds that it does not know,"
    " and refuses benign requests too (0.5% of those it was judged on)"
)
_WEAK_FIX: Final = "set action: flag, and let a rule read safety.kinds or a guard of your own block"


def compile_guards(
    content: Content | None, tools: list[ToolRule], key: ResourceKey, find: Find
) -> GuardsSnapshot | None:
    """What extproc is to enforce; None where the policy asks for nothing."""
    rules = [] if content is None else content.request
    answers = [] if content is None else content.response
    remote = [] if content is None else content.remote
    if not rules and not answers and not tools and not remote:
        return None
    unkept = None
    if content is not None and (rules or answers or any(guard.receives == "redacted" for guard in remote)):
        unkept = _find_in_content(content, key, find)
    made = []
    for index, rule in enumerate(tools):
        path = f"spec.governance.tools[{index}]"
        when = _condition(rule, key, f"{path}.when", find)
        if when is None and rule.when is not None:
            unkept = f"the condition of {path} cannot be evaluated"
        made.append(rule.snapshot(when))
        for name in rule.allow:
            if name in rule.deny:
                message = f"{name!r} is denied too, and that wins"
                find(
                    Severity.WARNING, "no-effect", message, key, f"{path}.allow", "remove it from one of them"
                )
    return GuardsSnapshot(
        content=tuple(rule.snapshot() for rule in rules),
        own=() if content is None else tuple(one.snapshot() for one in content.own),
        tools=tuple(made),
        answers=tuple(rule.snapshot() for rule in answers),
        remote=tuple(guard.snapshot() for guard in remote),
        unenforceable=unkept,
    )


def _find_in_content(content: Content, key: ResourceKey, find: Find) -> str | None:
    """Tell detectors that do not exist, and that nothing can be looked for here; why rules cannot be kept."""
    at = "spec.governance.content"
    if not available():
        find(Severity.ERROR, "not-available", NOT_AVAILABLE, key, at, "run on another platform")
        return NOT_AVAILABLE
    by_value = (*BUILT_IN, *(one.name for one in content.own))
    known = (*by_value, PROMPT_ATTACK)
    rules = [(f"{at}.request[{index}]", rule.detectors, known) for index, rule in enumerate(content.request)]
    rules += [
        (f"{at}.response[{index}]", rule.detectors, by_value) for index, rule in enumerate(content.response)
    ]
    used = {name for _, detectors, _ in rules for name in detectors}
    unkept = None
    for index, rule in enumerate(content.request):
        if PROMPT_ATTACK in rule.detectors and rule.action == "block":
            find(Severity.WARNING, "weak-signal", _WEAK, key, f"{at}.request[{index}].action", _WEAK_FIX)
    for path, detectors, known in rules:
        for place, name in enumerate(detectors):
            if name not in known:
                near = get_close_matches(name, known, n=1)
                fix = f"did you mean {near[0]!r}?" if near else "declare it in content.own"
                unkept = f"there is no detector {name!r}"
                message = f"{unkept}: until then the policy's requests are answered 503"
                find(Severity.ERROR, "no-such-detector", message, key, f"{path}.detectors[{place}]", fix)
    for index, one in enumerate(content.own):
        if one.name not in used:
            message, fix = "has no effect: no rule names it", "name it in a rule, or remove it"
            find(Severity.WARNING, "no-effect", message, key, f"{at}.own[{index}]", fix)
    return unkept


def _condition(rule: ToolRule, key: ResourceKey, path: str, find: Find) -> str | None:
    """Its condition with full names; None where it has none, or one that cannot be kept."""
    if rule.when is None:
        return None
    checked = check(rule.when, key.namespace, key.name)
    for read in checked.reads:
        if pool_of(read) is not None or keywords_of(read) is not None:
            message = f"reads {read}, which is for rules of the policy alone"
            fix = "read the request or the prompt, or make a rule and a policy of it"
            find(Severity.ERROR, "not-supported", message, key, path, fix)
            return None
    return checked.text
