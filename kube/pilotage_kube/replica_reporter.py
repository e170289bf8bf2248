"""Keeping this process's report current in the API server."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from pilotage_api.previous_snapshot import READABLE_FORMATS
from pilotage_kube.backoff import Backoff
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import SystemTime, Time, within
from pilotage_kube.errors import KubeError
from pilotage_kube.lease_record import timestamp
from pilotage_kube.own_lease import put_lease
from pilotage_kube.replica_report import REPORT_LABEL, PoolCount, Refusal, ReplicaReport, report_annotations
from pilotage_kube.resource import LEASES

log = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
_SOONEST_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0
_GONE_AFTER_SECONDS = 15


class ReplicaReporter:
    """Writes one report whenever it changes, and every five seconds; `run` it as a task.

    `owner` is an owner reference (the pod's), so that the report goes with it. `address` is where peers
    reach this process, `contract` the version of the names it speaks with Envoy. Failures are retried and
    never reach the caller: traffic does not depend on reports.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str,
        replica: str,
        group: str = "pilotage-extproc",
        owner: dict[str, Any] | None = None,
        address: str = "",
        contract: str = "1",
        clock: Time | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = f"{group}-{replica}" if not replica.startswith(group) else replica
        self._group = group
        self._owner = owner
        self._clock: Time = clock or SystemTime()
        self._report = ReplicaReport(
            replica=replica,
            boot=secrets.token_hex(4),
            address=address,
            formats=READABLE_FORMATS,
            contract=contract,
        )
        self._changed = asyncio.Event()

    @property
    def report(self) -> ReplicaReport:
        """What is said now."""
        return self._report

    def update(
        self,
        *,
        version: str,
        ready: bool,
        refusals: Sequence[Refusal] = (),
        problem: str = "",
        pools: Mapping[str, PoolCount] | None = None,
        certificate: str = "",
    ) -> None:
        """Say this from now on; it is written at once, from `run`. No `pools` leaves their counts."""
        said = msgspec.structs.replace(
            self._report,
            version=version,
            ready=ready,
            refusals=tuple(refusals),
            problem=problem,
            pools=self._report.pools if pools is None else dict(pools),
            certificate=certificate,
        )
        if said != self._report:
            self._report = said
            self._changed.set()

    async def run(self) -> NoReturn:
        """Write until cancelled."""
        backoff = Backoff(limit_seconds=_LONGEST_RETRY_SECONDS)
        while True:
            self._changed.clear()
            try:
                await within(self._clock, RENEW_SECONDS, self._write())
            except (KubeError, TimeoutError) as error:
                log.warning("cannot report to the operator: %s", error or "no answer in time")
                await self._clock.sleep(backoff.delay())
                continue
            backoff.reset()
            await self._clock.sleep(_SOONEST_SECONDS)
            try:
                await within(self._clock, RENEW_SECONDS - _SOONEST_SECONDS, self._changed.wait())
            except TimeoutError:
                continue

    async def withdraw(self) -> None:
        """Remove the report, at a graceful end; where that fails it stops counting by itself."""
        try:
            await within(self._clock, RENEW_SECONDS, self._client.delete(LEASES, self._name, self._namespace))
        except (KubeError, TimeoutError) as error:
            log.info("report not withdrawn: %s", error or "no answer in time")

    async def _write(self) -> None:
        self._report = msgspec.structs.replace(self._report, renewals=self._report.renewals + 1)
        metadata: dict[str, Any] = {
            "labels": {"app.kubernetes.io/managed-by": "pilotage", REPORT_LABEL: self._group},
            "annotations": report_annotations(self._report),
        }
        spec = {
            "holderIdentity": self._report.replica,
            "leaseDurationSeconds": _GONE_AFTER_SECONDS,
            "renewTime": timestamp(),
        }
        if not await put_lease(self._client, self._name, self._namespace, metadata, spec, self._owner):
            self._changed.set()
