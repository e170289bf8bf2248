"""A whole gateway, real picker and real Envoy, before scripted model servers."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import yaml
from envoy_rig import CHAT, CHAT_BODY, ModelServer

from pilotage_api.settings import GatewaySettings, ListenSettings
from pilotage_cli.gateway.standalone import Gateway

NOTHING: Mapping[str, Any] = MappingProxyType({})
FREE = ListenSettings(gateway="127.0.0.1:0", extproc="127.0.0.1:0", admin="127.0.0.1:0")


class WholeGateway:
    """Pools by name, each of one model of that name, and one rule for the model `auto`."""

    def __init__(
        self,
        folder: Path,
        pools: Mapping[str, list[ModelServer]],
        rule: Mapping[str, Any],
        *,
        documents: Sequence[Mapping[str, Any]] = (),
        spec: Mapping[str, Any] | None = None,
        pool: Mapping[str, Any] = NOTHING,
        **settings: Any,
    ) -> None:
        """`documents` are further manifests; `pool` and `spec` further fields of all pools and the policy."""
        folder.mkdir()
        written = [*(own_pool(name, servers, pool) for name, servers in pools.items()), *map(dict, documents)]
        written.append(_policy({"candidates": [{"model": next(iter(pools))}], **rule}, spec or {}))
        (folder / "all.yaml").write_text(yaml.safe_dump_all(written))
        self.gateway = Gateway(
            folder,
            GatewaySettings.model_validate({"drainSeconds": 1, **settings, "listen": FREE}),
            simulate=False,
            on_compiled=lambda _compiled: None,
            on_trouble=print,
        )

    async def start(self) -> None:
        await self.gateway.start()
        self.session = aiohttp.ClientSession()

    async def stop(self) -> None:
        await self.session.close()
        await self.gateway.stop()

    @property
    def runtime(self) -> Any:
        return self.gateway.server.runtime

    async def chat(self, **members: object) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of a chat call; the body as far as it came."""
        said = json.dumps({**CHAT_BODY, "model": "auto", **members})
        url = f"http://{self.gateway.address}{CHAT}"
        json_body = {"content-type": "application/json"}
        async with self.session.post(url, data=said, headers=json_body, allow_redirects=False) as answer:
            body = b""
            try:
                async for data in answer.content.iter_any():
                    body += data
            except aiohttp.ClientPayloadError:
                body += b"<cut>"
            return answer.status, answer.headers, body

    async def explained(self) -> dict[str, Any]:
        """The last decision, once its outcome and its failed attempts are known."""
        await self.until(lambda: self._last()["outcome"] is not None)
        outcome = self._last()["outcome"]
        expected = outcome["attempts"] - (outcome["status"] < 400)
        await self.until(lambda: len(self._last()["failedAttempts"]) >= expected)
        return self._last()

    def _last(self) -> dict[str, Any]:
        [last] = json.loads(self.gateway.server.view.recent_decisions(1))["decisions"]
        return dict(last)

    async def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.01)

    async def until_usable(self, *providers: str) -> None:
        """Wait until each of these pools has its provider, and Envoy that provider's resources."""
        keys = [f"default/{one}" for one in providers]

        def usable() -> bool:
            counts = self.runtime.following.pool_counts()
            return all(key in counts and counts[key].ready == 1 for key in keys)

        await self.until(usable, 20)

    def ejected(self) -> list[str]:
        """Addresses that are left alone now."""
        table, now = self.runtime.state.table, self.runtime.clock()
        return sorted(one for one, row in table.rows().items() if table.ejected_until[row] > now)


def own_pool(name: str, servers: list[ModelServer], more: Mapping[str, Any]) -> dict[str, Any]:
    places = [one.address.rpartition(":") for one in servers]
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "engine": "openai",
            "endpoints": [{"address": host, "port": int(port)} for host, _, port in places],
            "models": [{"name": name}],
            "health": {"consecutiveFailures": 2, "ejectionTime": "60s"},
            **more,
        },
    }


def _policy(rule: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "auto"},
        "spec": {"match": {"models": ["auto"]}, "rules": [rule], **spec},
    }
