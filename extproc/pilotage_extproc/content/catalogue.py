"""All detectors by name: built when a policy first asks for one, and kept."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pilotage_extproc.content.email import Email
from pilotage_extproc.content.iban import iban
from pilotage_extproc.content.ip_address import ip_address
from pilotage_extproc.content.national_ids import NATIONAL_IDS
from pilotage_extproc.content.payment_card import payment_card
from pilotage_extproc.content.phone import phone
from pilotage_extproc.content.secret import secret
from pilotage_extproc.content.spans import Detector

_MAKERS: Final[Mapping[str, Callable[[], Detector]]] = MappingProxyType(
    {
        "email": Email,
        "phone": phone,
        "payment-card": payment_card,
        "iban": iban,
        **NATIONAL_IDS,
        "ip-address": ip_address,
        "secret": secret,
    }
)
BUILT_IN: Final = tuple(_MAKERS)
"""Names of the detectors that need no configuration."""


class Catalogue:
    """The built-in detectors; each is made once."""

    def __init__(self) -> None:
        self._made: dict[str, Detector] = {}

    def get(self, name: str) -> Detector:
        """One of them. Raises KeyError for a name that none has."""
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = _MAKERS[name]()
        return found
