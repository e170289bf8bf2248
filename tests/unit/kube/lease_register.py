"""One Lease in memory, with the API server's optimistic lock and faults on demand."""

import asyncio
import copy
from typing import Any

from pilotage_kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from pilotage_kube.resource import ResourceType


class LeaseRegister:
    """What all contenders of a test share."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.writes: list[str] = []
        """Holder of each write, in order."""
        self._version = 0

    def door(self) -> "Door":
        return Door(self)

    def write(self, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self._version)
        self.lease = body
        self.writes.append(body["spec"].get("holderIdentity", ""))
        return copy.deepcopy(body)


class Door:
    """One contender's way to the register; it can fail alone."""

    def __init__(self, register: LeaseRegister) -> None:
        self._register = register
        self.down = False
        self.hangs = False
        self.loses_answers = False

    async def get(self, resource: ResourceType, name: str, namespace: str | None = None) -> dict[str, Any]:
        await self._pass()
        if self._register.lease is None:
            raise NotFound(404, "NotFound", name)
        return copy.deepcopy(self._register.lease)

    async def create(
        self, resource: ResourceType, body: dict[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        await self._pass()
        if self._register.lease is not None:
            raise AlreadyExists(409, "AlreadyExists", "there")
        return self._answer(self._register.write(body))

    async def replace(
        self, resource: ResourceType, body: dict[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        await self._pass()
        held = self._register.lease
        if held is None:
            raise NotFound(404, "NotFound", "gone")
        if body["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        return self._answer(self._register.write(body))

    async def _pass(self) -> None:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise Unreachable("down")

    def _answer(self, written: dict[str, Any]) -> dict[str, Any]:
        if self.loses_answers:
            raise Unreachable("the answer was lost")
        return written
