"""Providers that an Envoy refused, or that may be the ones it refused.

A refusal is about a whole response. Where it names a resource, that one's provider is left out; where it
does not, those that are new are held back and tried one after another.
"""

from collections.abc import Mapping, Set

from pilotage_extproc.envoy.xds.provider_resources import ProviderResources


class Probation:
    """Who is left out. A provider whose resources change is tried again, and all are with each new Envoy."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        """By address, Envoy's words."""
        self._resources: dict[str, ProviderResources] = {}
        self._waiting: list[str] = []
        self._tried: str | None = None

    def follow(self, providers: Mapping[str, ProviderResources]) -> None:
        """These there are now, by address."""
        for address in [*self.refused, *self._waiting]:
            if providers.get(address) != self._resources.get(address):
                self._forgive(address)
        if self._tried is not None and self._tried not in providers:
            self._tried = None
        self._resources = dict(providers)

    def lets(self, address: str) -> bool:
        """Whether Envoys may be told of it."""
        return address not in self.refused and address not in self._waiting

    def blame(self, suspects: Mapping[str, Set[str]], message: str) -> bool:
        """Envoy refused a response; `suspects` are its resources that are new, by provider.

        Whether that leaves out anyone who was not left out before.
        """
        suspects = {address: found for address, found in suspects.items() if self.lets(address)}
        named = [address for address, found in suspects.items() if any(_named(n, message) for n in found)]
        guilty = named or (list(suspects) if len(suspects) == 1 else [])
        if self._tried in suspects and not named:
            guilty = [self._tried] if self._tried is not None else []
        if guilty:
            self.refused.update(dict.fromkeys(guilty, message))
            if self._tried in guilty:
                self._tried = None
            return True
        self._waiting += sorted(suspects)
        return bool(suspects)

    def confirmed(self, addresses: Set[str]) -> None:
        """Envoys have taken these."""
        if self._tried in addresses:
            self._tried = None

    def release(self) -> bool:
        """Try the next of those held back, where none is being tried; whether there was one."""
        if self._tried is not None or not self._waiting:
            return False
        self._tried = self._waiting.pop(0)
        return True

    def retry(self) -> bool:
        """Another Envoy has come, which may take what the last one refused; whether anyone was refused."""
        known = bool(self.refused)
        self.refused.clear()
        return known

    def _forgive(self, address: str) -> None:
        self.refused.pop(address, None)
        if address in self._waiting:
            self._waiting.remove(address)


def _named(resource: str, message: str) -> bool:
    """Whether a message names a resource, and not only one that begins alike."""
    at = message.find(resource)
    while at >= 0:
        after = message[at + len(resource) : at + len(resource) + 1]
        if not after or not (after.isalnum() or after in "-.") or message[at + len(resource) :][:2] == ". ":
            return True
        at = message.find(resource, at + 1)
    return False
