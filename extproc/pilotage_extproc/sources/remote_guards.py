"""Guardrails of one's own over HTTP: where they may be asked, and what of their answers counts."""

import re
import socket
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pilotage_api.content_settings import ContentSettings
from pilotage_api.egress import never_in_cluster
from pilotage_api.guard_hosts import host_problem, residency_problem
from pilotage_api.guards_snapshot import RemoteGuardSnapshot
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.verdict import NoVerdictError, Verdict
from pilotage_extproc.sources.json_service import JsonService, ServiceError

_MOST_ANSWER_BYTES: Final = 16 * 1024
_MOST_KINDS: Final = 8
_MOST_GUARDS: Final = 256
_KIND: Final = re.compile(r"[a-z][a-z_-]{0,40}[0-9]{0,2}")
"""No kind can be an address, a number or a key: it is shown to clients and in records."""


class _Guard:
    """One of them, with its calls under way."""

    def __init__(self, guard: RemoteGuardSnapshot, service: JsonService) -> None:
        self._most = guard.max_concurrent
        self._service = service
        self._under_way = 0

    async def ask(self, body: bytes) -> Verdict:
        """Raises NoVerdictError."""
        if self._under_way >= self._most:
            raise NoVerdictError("has as many calls under way as it may")
        self._under_way += 1
        try:
            return await self._service.post(body, _verdict)
        except ServiceError as error:
            raise NoVerdictError(str(error)) from None
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        await self._service.close()


class RemoteGuards:
    """All guards that policies name; each is connected to when it is first asked."""

    def __init__(self, settings: ContentSettings, clock: Clock, *, in_cluster: bool) -> None:
        self._known = settings.guards
        self._clock = clock
        self._in_cluster = in_cluster
        self._guards: dict[RemoteGuardSnapshot, _Guard] = {}

    def problem(self, guard: RemoteGuardSnapshot, required: Mapping[str, str]) -> str:
        """Why it may not be shown requests of a rule that requires labels; empty where it may."""
        return host_problem(guard.url, self._known, in_cluster=self._in_cluster) or residency_problem(
            guard.url, self._known, required
        )

    async def ask(self, guard: RemoteGuardSnapshot, body: bytes) -> Verdict:
        """What it says of a request, given as JSON. Raises NoVerdictError."""
        found = self._guards.get(guard)
        if found is None:
            if len(self._guards) >= _MOST_GUARDS:
                await self.close()
            service = JsonService(
                f"guard {guard.url}",
                guard.url,
                guard.timeout_seconds,
                self._clock,
                most_answer_bytes=_MOST_ANSWER_BYTES,
                connector=self._connector,
            )
            found = self._guards[guard] = _Guard(guard, service)
        return await found.ask(body)

    async def close(self) -> None:
        """End what is under way."""
        guards, self._guards = self._guards, {}
        for one in guards.values():
            await one.close()

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
