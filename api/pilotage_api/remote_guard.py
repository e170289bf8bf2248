"""A guardrail of one's own over HTTP that a policy asks about each request."""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from pilotage_api.guards_snapshot import RemoteGuardSnapshot
from pilotage_api.resource import Block, Problem
from pilotage_api.scheduling import Duration, seconds

_URL: Final = r"^https?://(\[[0-9a-f:.]+\]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@/-]*)?$"
GuardUrl = Annotated[str, StringConstraints(pattern=_URL, max_length=1024)]
"""`http` or `https`, a host in lower case, a port, a path: no user, query or fragment."""
_PLACE: Final = re.compile(r"^https?://(?:\[([^]]*)\]|([^:/]*))(?::([0-9]*))?")
TIMEOUT: Final = "a guard has from 10ms to 2s"


def guard_host(url: str) -> str:
    """The host of a guard's URL: a name in lower case, or an address without brackets."""
    found = _PLACE.match(url)
    return "" if found is None else found[1] or found[2] or ""


class RemoteGuard(Block):
    """A service that is sent the text of each request and says what becomes of it (docs/content.md)."""

    url: GuardUrl
    """Where it is asked, by POST. Its host must be one that `governance.content.guards` of the settings
    lists: in a cluster none but these; outside one, an empty list is any."""
    timeout: Duration = "200ms"
    """Longest wait for it, `10ms` to `2s`; guards of a policy are asked at the same time."""
    on_error: Literal["refuse", "pass"] = "refuse"
    """When it does not answer in time and as it should, or may not be shown the request: `refuse` answers
    503 `guard_unavailable`, or 400 `content_not_checked` for a text above `maxBytes`."""
    receives: Literal["redacted", "text"] = "redacted"
    """`redacted`: values that any built-in detector or one of `own` finds are replaced by placeholders;
    `text`: as it goes to the model."""
    max_bytes: int = Field(default=262_144, ge=1024, le=4_194_304, strict=True)
    """Most bytes of text that it is sent."""
    max_concurrent: int = Field(default=64, ge=1, le=1024, strict=True)
    """Most calls of it at one time, of each picker; further ones are not made, as if it failed."""

    def problems(self) -> Iterable[Problem]:
        """A wait that is longer than Envoy's, and a port that is none."""
        if not 0.01 <= seconds(self.timeout) <= 2.0:
            yield Problem("invalid-value", "timeout", TIMEOUT, "write a length such as 200ms")
        found = _PLACE.match(self.url)
        if found is not None and found[3] and not 1 <= int(found[3]) <= 65_535:
            yield Problem("invalid-value", "url", "no such port", "write a port from 1 to 65535")

    def snapshot(self) -> RemoteGuardSnapshot:
        """What extproc needs of it."""
        return RemoteGuardSnapshot(
            url=self.url,
            timeout_seconds=seconds(self.timeout),
            refuses=self.on_error == "refuse",
            redacted=self.receives == "redacted",
            max_bytes=self.max_bytes,
            max_concurrent=self.max_concurrent,
        )
