"""Guardrails of one's own over HTTP: where they may be asked, and what of their answers counts."""

import asyncio
import re
import socket
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pilotage_api.content_settings import ContentSettings
from pilotage_api.egress import never_in_cluster
from pilotage_api.guard_hosts import entry_of, host_problem, residency_problem
from pilotage_api.guards_snapshot import RemoteGuardSnapshot
from pilotage_api.remote_guard import guard_host
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.verdict import NoVerdictError, Verdict
from pilotage_extproc.sources.guard_access import GuardAccess
from pilotage_extproc.sources.json_service import JsonService, LateError, LeftAloneError, ServiceError
from pilotage_extproc.sources.provider_credentials import CredentialError
from pilotage_extproc.telemetry.guards import GuardTelemetry

_MOST_ANSWER_BYTES: Final = 16 * 1024
_MOST_KINDS: Final = 8
_MOST_GUARDS: Final = 256
_KIND: Final = re.compile(r"[a-z][a-z_-]{0,40}[0-9]{0,2}")
"""No kind can be an address, a number or a key: it is shown to clients and in records."""


class _Guard:
    """One of them, with its calls under way."""

    def __init__(
        self,
        guard: RemoteGuardSnapshot,
        service: JsonService,
        access: GuardAccess,
        telemetry: GuardTelemetry,
        clock: Clock,
    ) -> None:
        self._host = guard_host(guard.url)
        self._guard = guard
        self._service = service
        self._access = access
        self._telemetry = telemetry
        self._clock = clock
        self._under_way = 0

    async def ask(self, body: bytes) -> Verdict:
        """Raises NoVerdictError."""
        if self._under_way >= self._guard.max_concurrent:
            self._telemetry.not_asked(self._host, "full")
            raise NoVerdictError("has as many calls under way as it may")
        self._under_way += 1
        began_at = self._clock()
        result = "failed"
        try:
            async with asyncio.timeout(self._guard.timeout_seconds):
                headers = await self._access.headers()
            verdict = await self._service.post(body, _verdict, headers, self._access.tls)
            result = verdict.action
        except LeftAloneError as error:
            result = "left_alone"
            raise NoVerdictError(str(error)) from None
        except (LateError, TimeoutError):
            result = "timeout"
            raise NoVerdictError("did not answer in time") from None
        except ServiceError as error:
            raise NoVerdictError(str(error)) from None
        except asyncio.CancelledError:
            result = "abandoned"
            raise
        except CredentialError:
            raise NoVerdictError("cannot be asked: what it is shown, or known by, cannot be read") from None
        finally:
            self._under_way -= 1
            if result == "left_alone":
                self._telemetry.not_asked(self._host, result)
            else:
                self._telemetry.asked(self._host, result, self._clock() - began_at)
        return verdict

    @property
    def is_idle(self) -> bool:
        return self._under_way == 0

    async def close(self) -> None:
        await self._service.close()


class RemoteGuards:
    """All guards that policies name; each is connected to when it is first asked."""

    def __init__(self, settings: ContentSettings, clock: Clock, *, in_cluster: bool) -> None:
        self._known = settings.guards
        self._clock = clock
        self._in_cluster = in_cluster
        self.telemetry = GuardTelemetry()
        self._access: dict[int, GuardAccess] = {}
        """By the place of the host's entry in the settings."""
        self._guards: dict[RemoteGuardSnapshot, _Guard] = {}

    def problem(self, guard: RemoteGuardSnapshot, required: Mapping[str, str]) -> str:
        """Why it may not be shown requests of a rule that requires labels; empty where it may."""
        return host_problem(guard.url, self._known, in_cluster=self._in_cluster) or residency_problem(
            guard.url, self._known, required
        )

    async def ask(self, guard: RemoteGuardSnapshot, body: bytes) -> Verdict:
        """What it says of a request, given as JSON. Raises NoVerdictError."""
        found = self._guards.pop(guard, None)
        left = None
        if found is None:
            if len(self._guards) >= _MOST_GUARDS:
                left = self._longest_idle()
            access = self._access_of(guard)
            service = JsonService(
                f"guard {guard.url}",
                guard.url,
                guard.timeout_seconds,
                self._clock,
                most_answer_bytes=_MOST_ANSWER_BYTES,
                connector=self._connector,
            )
            found = _Guard(guard, service, access, self.telemetry, self._clock)
        self._guards[guard] = found  # the last that was asked comes last
        if left is not None:
            await left.close()
        return await found.ask(body)

    def _longest_idle(self) -> _Guard:
        """Forget the one that was asked longest ago. Raises NoVerdictError where all are being asked."""
        idle = next((snapshot for snapshot, one in self._guards.items() if one.is_idle), None)
        if idle is None:
            raise NoVerdictError("too many guards are asked at once")
        return self._guards.pop(idle)

    async def close(self) -> None:
        """End what is under way."""
        guards, self._guards = self._guards, {}
        for one in guards.values():
            await one.close()

    def _access_of(self, guard: RemoteGuardSnapshot) -> GuardAccess:
        entry = entry_of(guard_host(guard.url), self._known)
        place = -1 if entry is None else self._known.index(entry)
        return self._access.setdefault(place, GuardAccess(entry, self._clock))

    def _connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(limit=0, resolver=_Resolver() if self._in_cluster else None)


class _Resolver(AbstractResolver):
    """Looks names up, and passes over addresses that nothing in a cluster may be asked at."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        allowed = [one for one in found if not never_in_cluster(one["host"])]
        if not allowed:
            raise OSError(None, "none of its addresses may be asked")
        return allowed

    async def close(self) -> None:
        await self._system.close()


def _verdict(answer: Any) -> Verdict:
    """Raises ValueError."""
    if not isinstance(answer, dict):
        raise ValueError("no object")
    kinds = answer.get("kinds", [])
    if not isinstance(kinds, list) or len(kinds) > _MOST_KINDS:
        raise ValueError("`kinds` is no short list")
    if not all(isinstance(one, str) and _KIND.fullmatch(one) for one in kinds):
        raise ValueError("a kind is no short word")
    found = tuple(dict.fromkeys(kinds))
    match answer.get("action"):
        case "allow" | "flag" | "block" as action:
            return Verdict(action, found)
    raise ValueError("`action` is none of allow, flag and block")
