"""Which hosted providers a gateway can send requests to."""

from enum import IntEnum


class Reach(IntEnum):
    """Each has what the ones below it have."""

    SERVERS = 0
    """None: its bootstrap is of the version before, without listeners inside Envoy."""
    PROVIDERS = 1
    """Those whose credentials it finds in files, or that need none."""
    SECRETS = 2
    """All: it has proven with a certificate who it is, so it may be told credentials."""

    @classmethod
    def of(cls, contract: str, *, trusted: bool) -> "Reach":
        """Of an Envoy by the contract of its bootstrap, and whether its certificate was verified."""
        if contract == "1":
            return cls.SERVERS
        return cls.SECRETS if trusted else cls.PROVIDERS

    def covers(self, needed: "Reach") -> bool:
        """Whether one of this reach can be given what needs that."""
        return self >= needed
