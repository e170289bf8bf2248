"""API keys in a cluster: Secrets with the labels that the settings name, watched."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import msgspec

from pilotage_extproc.sources.api_key_records import KeyFault, key_of_secret
from pilotage_extproc.state.api_keys import ApiKey
from pilotage_kube.client import ApiClient
from pilotage_kube.informer import Change, Informer, InformerOptions
from pilotage_kube.resource import SECRETS
from pilotage_kube.wire import typed

log = logging.getLogger(__name__)

_GATHER_SECONDS: Final = 0.1
"""Changes that come within this are taken over together."""


class _Metadata(msgspec.Struct, frozen=True):
    name: str


class _Secret(msgspec.Struct, frozen=True):
    metadata: _Metadata
    data: dict[str, str] | None = None

    def __repr__(self) -> str:
        """Nothing of what it holds."""
        return "Secret()"


class KeySecretWatch:
    """Follows Secrets of keys; `run` it as a task. While the API server is away those last seen stay."""

    def __init__(
        self,
        client: ApiClient,
        on_keys: Callable[[Iterable[ApiKey]], None],
        *,
        namespace: str,
        labels: Mapping[str, str],
        options: InformerOptions | None = None,
    ) -> None:
        self._on_keys = on_keys
        self._told: set[str] = set()
        self._work = asyncio.Event()
        self._informer = Informer(
            client,
            SECRETS,
            typed(_Secret),
            namespace=namespace,
            labels=",".join(f"{name}={value}" for name, value in sorted(labels.items())),
            on_change=self._changed,
            options=options,
        )

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informer.run(), name="watch of API keys")
            await self._informer.wait_synced()
            while True:
                self._work.clear()
                self.look()
                await self._work.wait()
                await asyncio.sleep(_GATHER_SECONDS)
        raise AssertionError

    def look(self) -> None:
        """Take over the keys there are; one that is wrong is left out, and said once."""
        keys = []
        for secret in self._informer.store.values():
            name = secret.metadata.name
            try:
                keys.append(key_of_secret(name, secret.data or {}))
                self._told.discard(name)
            except KeyFault as fault:
                if name not in self._told:
                    log.warning("the Secret of an API key is left out: %s", fault)
                self._told.add(name)
        self._on_keys(keys)

    def _changed(self, _change: Change[Any]) -> None:
        self._work.set()
