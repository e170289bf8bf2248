"""Writing Events: few, and never in the way of anything else."""

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pilotage_kube.client import ApiClient
from pilotage_kube.clock import Time
from pilotage_kube.errors import AlreadyExists, Forbidden, Invalid, KubeError, NotFound
from pilotage_kube.resource import EVENTS
from pilotage_operator.plan import Told

log = logging.getLogger(__name__)

_BURST: Final = 100
_PER_SECOND: Final = 5.0
_MOST_NOTE_BYTES: Final = 1024
"""The API server counts bytes."""
_MOST_NAME: Final = 200
"""Of the resource's name, in the name of its Event."""
_MOST_NAMESPACES: Final = 100


@dataclass(slots=True, frozen=True)
class Subject:
    """The resource that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    """`kubectl describe` shows only Events that carry it."""


class EventWriter:
    """Writes Events as they are told; all callers share one allowance. Never raises for what the API says."""

    def __init__(self, client: ApiClient, *, instance: str, clock: Time) -> None:
        self._client = client
        self._instance = instance
        self._allowance = _Allowance(clock)
        self._forbidden: set[str] = set()
        self.written = 0
        self.dropped = 0
        """Left out to spare the API server."""

    async def tell(self, subject: Subject, told: Told) -> None:
        """Try once, under a name of its own; what is left out stays so."""
        if self._allowance.take():
            await self._create(subject, told, secrets.token_hex(8))
        else:
            self.dropped += 1

    async def tell_once(self, subject: Subject, told: Told) -> bool:
        """Write this unless the API server has it still, whoever wrote it; False asks to try again later.

        The name is made from what is told, so that neither a restart nor another operator repeats it.
        """
        if not self._allowance.take():
            return False
        content = "\0".join((subject.uid, told.reason, told.note))
        return await self._create(subject, told, hashlib.sha256(content.encode()).hexdigest()[:16])

    async def _create(self, subject: Subject, told: Told, suffix: str) -> bool:
        """Whether trying again is of no use."""
        try:
            await self._client.create(EVENTS, self._event(subject, told, suffix), subject.namespace)
        except AlreadyExists:
            self._allowance.give_back()
            return True
        except Forbidden as error:
            self._note_forbidden(subject.namespace, error)
            return True
        except (Invalid, NotFound) as error:
            log.info("an Event of %s %s/%s was refused: %s", *_named(subject), error)
            return True
        except KubeError as error:
            log.info("an Event of %s %s/%s was not written: %s", *_named(subject), error)
            return False
        self.written += 1
        self._forbidden.discard(subject.namespace)
        return True

    def _note_forbidden(self, namespace: str, error: Forbidden) -> None:
        """Say it once for each namespace."""
        if namespace not in self._forbidden and len(self._forbidden) < _MOST_NAMESPACES:
            self._forbidden.add(namespace)
            log.warning(
                "cannot write Events in namespace %s (for want of create on events.events.k8s.io?): %s",
                namespace,
                error,
            )

    def _event(self, subject: Subject, told: Told, suffix: str) -> dict[str, Any]:
        return EVENTS.object(
            f"{subject.name[:_MOST_NAME].rstrip('.-')}.{suffix}",
            subject.namespace,
            eventTime=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            type="Warning" if told.warning else "Normal",
            reason=told.reason,
            note=_cut(told.note),
            action="Reconcile",
            reportingController="pilotage.dev/operator",
            reportingInstance=self._instance[:128],
            regarding={
                "apiVersion": subject.api_version,
                "kind": subject.kind,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
        )


def _cut(note: str) -> str:
    return note.encode()[:_MOST_NOTE_BYTES].decode(errors="ignore")


def _named(subject: Subject) -> tuple[str, str, str]:
    return subject.kind, subject.namespace, subject.name


class _Allowance:
    """A token bucket: a thousand resources that break at once are no reason for a thousand Events."""

    def __init__(self, clock: Time) -> None:
        self._clock = clock
        self._left = float(_BURST)
        self._at = clock()

    def take(self) -> bool:
        now = self._clock()
        self._left = min(float(_BURST), self._left + (now - self._at) * _PER_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Nothing was written for it after all."""
        self._left += 1
