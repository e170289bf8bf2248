"""What a policy changes in requests for a model, applied to a body in the client's own API."""

from typing import Final

import orjson

from pilotage_api.transform_parameters import Api
from pilotage_api.transform_snapshot import TransformSnapshot
from pilotage_extproc.dialects.splice import MemberName, edited
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.transform.parameters import Bound, removed
from pilotage_extproc.dialects.transform.system_prompt import has_system_prompt, prompt_edits
from pilotage_extproc.domain.head import CallKind

_WITH_PARAMETERS: Final = frozenset(Api)


def transforms(kind: CallKind) -> bool:
    """Whether policies can change calls of this kind."""
    return kind.value in _WITH_PARAMETERS or has_system_prompt(kind)


class Transform:
    """One of a snapshot's, ready to be applied; compared by identity."""

    def __init__(self, given: TransformSnapshot) -> None:
        self.name = given.name
        self._given = given
        self._bounds = [Bound(one) for one in given.bounds]
        self._removed = [MemberName(name) for name in given.remove]

    def __repr__(self) -> str:
        return f"Transform({self.name})"

    def applied(self, kind: CallKind, body: bytes) -> bytes:
        """The body as its model is to get it; every byte that is not the policy's business is as it was.

        Raises RequestRefused (400) where the client's own member is of the wrong type or stands
        twice; ValueError, KeyError or TypeError for what is no body of this kind.
        """
        if not transforms(kind):
            return body
        members = orjson.loads(body)
        if not isinstance(members, dict):
            raise TypeError("the body is no object")
        edits = prompt_edits(body, members, kind, self._given)
        own = kind.value in _WITH_PARAMETERS
        for bound in self._bounds if own else ():
            edits += bound.edits(body, members, DIALECTS[kind])
        body = edited(body, edits) if edits else body
        for name in self._removed if own else ():
            if name.name in members:
                body = removed(body, name)
        return body
