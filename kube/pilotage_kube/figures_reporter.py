"""Keeping this process's figures of tenants' budgets current in the API server."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

from pilotage_kube.backoff import Backoff
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import SystemTime, Time, within
from pilotage_kube.errors import KubeError
from pilotage_kube.figures_report import FIGURES_LABEL, FiguresReport, figures_annotations
from pilotage_kube.own_lease import put_lease
from pilotage_kube.resource import LEASES

log = logging.getLogger(__name__)

SOONEST_SECONDS: Final = 10.0
BYTES_A_SECOND: Final = 5_000
"""A report of a thousand tenants is written every 20 s, not every 10."""
_WRITE_SECONDS: Final = 5.0


class FiguresReporter:
    """Writes what `read` returns where it differs from what was written; `run` it as a task.

    `read` returns None while there is nothing to say: then nothing is ever written. Failures are retried and
    never reach the caller.
    """

    def __init__(
        self,
        client: ApiClient,
        read: Callable[[], Awaitable[FiguresReport | None]],
        *,
        namespace: str,
        replica: str,
        group: str = "pilotage-extproc",
        owner: dict[str, Any] | None = None,
        soonest_seconds: float = SOONEST_SECONDS,
        clock: Time | None = None,
    ) -> None:
        self._client = client
        self._read = read
        self._namespace = namespace
        own = f"{group}-{replica}" if not replica.startswith(group) else replica
        self._name = f"{own}-figures"
        self._group = group
        self._owner = owner
        self._soonest_seconds = soonest_seconds
        self._clock: Time = clock or SystemTime()
        self._written: FiguresReport | None = None

    async def run(self) -> NoReturn:
        """Look and write until cancelled."""
        backoff = Backoff(limit_seconds=_WRITE_SECONDS)
        while True:
            report = await self._read()
            size = 0
            if report is not None and report.says() != self._written:
                annotations = figures_annotations(report)
                size = sum(map(len, annotations.values()))
                try:
                    await within(self._clock, _WRITE_SECONDS, self._write(report, annotations))
                except (KubeError, TimeoutError) as error:
                    log.warning("cannot report figures of tenants: %s", error or "no answer in time")
                    await self._clock.sleep(backoff.delay())
                    continue
                backoff.reset()
                self._written = report.says()
            await self._clock.sleep(max(self._soonest_seconds, size / BYTES_A_SECOND))

    async def withdraw(self) -> None:
        """Remove what was written, at a graceful end."""
        if self._written is None:
            return
        try:
            await within(
                self._clock, _WRITE_SECONDS, self._client.delete(LEASES, self._name, self._namespace)
            )
        except (KubeError, TimeoutError) as error:
            log.info("figures of tenants not withdrawn: %s", error or "no answer in time")

    async def _write(self, report: FiguresReport, annotations: dict[str, str]) -> None:
        metadata: dict[str, Any] = {
            "labels": {"app.kubernetes.io/managed-by": "pilotage", FIGURES_LABEL: self._group},
            "annotations": annotations,
        }
        spec = {"holderIdentity": report.replica}
        if not await put_lease(self._client, self._name, self._namespace, metadata, spec, self._owner):
            if self._owner is not None:
                metadata["ownerReferences"] = [self._owner]
            await self._client.merge(LEASES, self._name, {"metadata": metadata}, self._namespace)
