"""What a policy changes in requests for a model, applied to a body in the client's own API."""

from typing import Final, NamedTuple

import orjson

from pilotage_api.transform_parameters import Api
from pilotage_api.transform_snapshot import TransformSnapshot
from pilotage_extproc.dialects.splice import MemberName, edited
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.transform.moved import Moved, OwnParts
from pilotage_extproc.dialects.transform.parameters import Bound, removed
from pilotage_extproc.dialects.transform.system_prompt import has_system_prompt, moved_by, prompt_edits
from pilotage_extproc.domain.head import CallKind

_WITH_PARAMETERS: Final = frozenset(Api)


def transforms(kind: CallKind) -> bool:
    """Whether policies can change calls of this kind."""
    return kind.value in _WITH_PARAMETERS or has_system_prompt(kind)


SYSTEM_PROMPT: Final = "systemPrompt"


class Transformed(NamedTuple):
    """A body that has been changed, and what in it."""

    body: bytes
    changed: tuple[str, ...]
    """`systemPrompt`, and names of parameters; in the order the policy's fields stand."""
    moved: tuple[Moved | OwnParts, ...] = ()
    """Which messages and parts stand elsewhere now."""


class Transform:
    """One of a snapshot's, ready to be applied; compared by identity."""

    def __init__(self, given: TransformSnapshot) -> None:
        self.name = given.name
        self._given = given
        self._bounds = [Bound(one) for one in given.bounds]
        self._removed = [MemberName(name) for name in given.remove]

    def __repr__(self) -> str:
        return f"Transform({self.name})"

    @property
    def prompt_bytes(self) -> int:
        """Bytes of text that it may add to a prompt, and so the most tokens of it."""
        given = self._given
        return sum(len(text.encode()) for text in (given.prefix, given.suffix, given.replace) if text)

    def output_limit(self, own: int | None) -> int | None:
        """The most output tokens of a request after it; `own` is the client's limit. None is none."""
        for bound in self._bounds:
            if bound.limits_output:
                return bound.kept_limit(own)
        return own

    def applied(self, kind: CallKind, body: bytes) -> bytes:
        """The body as its model is to get it, as `made` makes it."""
        return self.made(kind, body).body

    def made(self, kind: CallKind, body: bytes) -> Transformed:
        """The body as its model is to get it; every byte that is not the policy's business is as it was.

        Raises RequestRefused (400) where the client's own member is of the wrong type or stands
        twice; ValueError, KeyError or TypeError for what is no body of this kind.
        """
        if not transforms(kind):
            return Transformed(body, ())
        members = orjson.loads(body)
        if not isinstance(members, dict):
            raise TypeError("the body is no object")
        edits = prompt_edits(body, members, kind, self._given)
        changed = [SYSTEM_PROMPT] if edits else []
        own = kind.value in _WITH_PARAMETERS
        for bound in self._bounds if own else ():
            kept = bound.edits(body, members, DIALECTS[kind])
            if kept:
                edits += kept
                changed.append(bound.name)
        body = edited(body, edits) if edits else body
        for name in self._removed if own else ():
            if name.name in members:
                body = removed(body, name)
                changed.append(name.name)
        moved = moved_by(members, kind, self._given) if changed[:1] == [SYSTEM_PROMPT] else ()
        return Transformed(body, tuple(changed), moved)
