"""The providers of a snapshot: which can be used now, what Envoys are to have of them, and what is wrong.

The one place that decides whether a request may leave for a provider's host: by its name, by each address the
name stands for (Envoy is given these and resolves nothing itself), and by its credential being there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from pilotage_api.egress import address_problem, host_problem
from pilotage_api.external_snapshot import ExternalSnapshot
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.domain.providers import provider_address
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy.xds.provider_resources import ProviderResources
from pilotage_extproc.envoy.xds.provider_secrets import ProviderSecrets
from pilotage_extproc.envoy.xds.providers import provider_resources
from pilotage_extproc.server.provider_secret_sources import SecretSources
from pilotage_extproc.sources.pod_selection import join
from pilotage_extproc.sources.provider_credentials import CredentialError

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often credentials are looked at again."""


@dataclass(slots=True, frozen=True)
class ProviderProblem:
    """Why a provider is not used."""

    reason: str
    """One word, as conditions have it."""
    message: str


class ProviderPools:
    """Follows the external pools of a snapshot."""

    def __init__(
        self,
        settings: GatewaySettings,
        secrets: SecretSources,
        *,
        in_cluster: bool,
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._in_cluster = in_cluster
        self._on_change = on_change
        self._pools: dict[str, PoolSnapshot] = {}
        self._made: dict[str, tuple[object, ProviderResources]] = {}
        self._problems: dict[str, ProviderProblem] = {}
        self._refused: Mapping[str, str] = {}

    def pool(self, key: str) -> PoolSnapshot | None:
        """A provider's pool, as it is now."""
        return self._pools.get(key)

    def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """These pools there are; those without a provider are passed over."""
        self._pools = {pool.key: pool for pool in pools if pool.external is not None}
        self._secrets.follow(self._pools.values())

    def refresh(
        self, resolved: Callable[[str], list[str]], refused: Mapping[str, str]
    ) -> list[ProviderResources]:
        """Look at all of them anew: what Envoys are to have of those that can be used.

        `resolved` gives the IP addresses of a host; `refused` says which Envoy does not take, by address.
        """
        self._refused = dict(refused)
        problems: dict[str, ProviderProblem] = {}
        made: dict[str, tuple[object, ProviderResources]] = {}
        for key, pool in self._pools.items():
            assert pool.external is not None
            found = self._look(key, pool.external, resolved)
            if isinstance(found, ProviderProblem):
                problems[key] = found
            else:
                made[key] = found
        for key, problem in problems.items():
            if self._problems.get(key) != problem:
                log.warning("a provider is not used", extra={"pool": key, "why": problem.message})
        self._problems, self._made = problems, made
        return [resources for _, resources in made.values()]

    def members(self, key: str) -> tuple[str, ...]:
        """The endpoint of a provider's pool, where it may get requests; as of the last `refresh`."""
        address = provider_address(key)
        return (address,) if key in self._made and address not in self._refused else ()

    def needs(self, key: str) -> Reach:
        """What a gateway needs to send requests there; as of the last `refresh`."""
        made = self._made.get(key)
        return Reach.SECRETS if made is None else made[1].reach

    def problems(self) -> dict[str, ProviderProblem]:
        """Why pools' providers are not used, by key."""
        nacked = {
            key: ProviderProblem("EnvoyRefused", f"Envoy does not take it: {self._refused[address]}")
            for key in self._made
            if (address := provider_address(key)) in self._refused
        }
        return {**self._problems, **nacked}

    async def run(self) -> NoReturn:
        """Notice credentials that come, go or change, until cancelled."""
        seen: object = None
        while True:
            now = self._secrets.state()
            if now != seen:
                seen = now
                self._on_change()
            await asyncio.sleep(LOOK_SECONDS)

    def _look(
        self, key: str, external: ExternalSnapshot, resolved: Callable[[str], list[str]]
    ) -> ProviderProblem | tuple[object, ProviderResources]:
        policy = self._settings.providers
        wrong = host_problem(external.host, policy, in_cluster=self._in_cluster)
        if wrong:
            return ProviderProblem("HostNotAllowed", wrong)
        allowed, refused = [], []
        for ip in resolved(external.host):
            problem = address_problem(ip, policy, in_cluster=self._in_cluster)
            refused.append(problem) if problem else allowed.append(join(ip, external.port))
        if not allowed:
            if refused:
                message = f"{external.host} resolves to what is not allowed: {refused[0]}"
                return ProviderProblem("AddressNotAllowed", message)
            return ProviderProblem("NameNotResolved", f"{external.host} does not resolve")
        try:
            secrets = self._secrets.of(key, external)
        except CredentialError as error:
            return ProviderProblem(error.reason, str(error))
        made_of: tuple[ExternalSnapshot, list[str], ProviderSecrets] = (external, allowed, secrets)
        known = self._made.get(key)
        if known is not None and known[0] == made_of:
            return known
        return made_of, provider_resources(key, external, tuple(allowed), secrets, self._settings)
