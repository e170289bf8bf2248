"""What a rig needs to ask a provider: its pool, and resources of it for Envoy."""

import asyncio
from collections.abc import Callable
from typing import Any

from envoy_rig import Rig
from provider_stub import HOST, ProviderStub

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.domain.providers import provider_address
from pilotage_extproc.envoy.xds.provider_secrets import ProviderSecrets
from pilotage_extproc.envoy.xds.providers import provider_resources

POOL = "default/hosted"
PROVIDER = provider_address(POOL)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def external(stub: ProviderStub, **more: Any) -> ExternalSnapshot:
    """How the stub is reached; it speaks OpenAI's API unless told otherwise."""
    fields = {"dialect": ProviderDialect.OPENAI, "ca_bundle": stub.authority.certificate, **more}
    return ExternalSnapshot(host=HOST, port=stub.port, **fields)


def provided(
    rig: Rig,
    stub: ProviderStub,
    made: ExternalSnapshot,
    *,
    pool: str = POOL,
    secrets: ProviderSecrets | None = None,
    **facts: Any,
) -> Any:
    """The provider's resources; the rig's hop knows its pool, of which `facts` are further fields."""
    rig.pools[pool] = PoolSnapshot(
        **{
            "key": pool,
            "engine": Engine.OPENAI,
            "endpoints": (),
            "stream_usage": StreamUsage.LEAVE,
            "models": ("gpt-x",),
            "external": made,
            **facts,
        }
    )
    return provider_resources(pool, made, (stub.address,), secrets or ProviderSecrets(), GatewaySettings())
