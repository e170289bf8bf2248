"""How many prompts a call has, and how many answers it asks for."""

from typing import Any, Final

from pilotage_extproc.dialects.call import Dialect, Members

MULTIPLIERS: Final = ("n", "best_of")
MOST_CHOICES: Final = 1024
RANKED: Final = ("queries", "text_1", "data_1", "documents", "text_2", "items", "data_2")
EMBEDS: Final = "prompt_embeds"
PROMPTS: Final = ("prompt", "input")
_RANKED_NAMES: Final = frozenset(RANKED)


def prompts_of(dialect: Dialect, members: Members) -> tuple[int, bool]:
    """Prompts that are read, each with a window and answers of its own; else pairs that are ranked.

    The flag says that they are pairs: whatever stands once in the body may be read for each.
    """
    if not _RANKED_NAMES.isdisjoint(members) and not dialect.output_limits:
        return max(1, *(_many(members.get(name)) for name in RANKED)), True
    if dialect.stored:
        return 1, False
    prompts = sum(_texts(members[name]) for name in PROMPTS if name in members)
    embeds = members.get(EMBEDS)
    if embeds is not None:
        prompts += len(embeds) if isinstance(embeds, list) else 1
    return max(1, prompts), False


def likely_choices(dialect: Dialect, members: Members) -> int:
    """Answers of all prompts together, as lenient servers read it; what none could read counts as one."""
    choices = max(_lenient(members[name]) if name in members else 1 for name in MULTIPLIERS)
    return choices * prompts_of(dialect, members)[0]


def likely_answers(dialect: Dialect, members: Members) -> int:
    """The same of a call whose answer is written by a model; 1 of any other."""
    return likely_choices(dialect, members) if dialect.output_limits else 1


def _lenient(value: Any) -> int:
    try:
        return min(MOST_CHOICES, max(1, int(value)))
    except (TypeError, ValueError, OverflowError):
        return 1


def _texts(given: Any) -> int:
    """Texts, or lists of tokens, each of which is a prompt by itself."""
    if isinstance(given, list) and given and isinstance(given[0], str | list | dict):
        return len(given)
    return 0 if given is None else 1


def _many(given: Any) -> int:
    """What is ranked: a list, or the parts of one in an object."""
    if isinstance(given, dict):
        given = given.get("content")
    return len(given) if isinstance(given, list) else 1
