"""A client that changes nothing unless this process may."""

from collections.abc import Callable, Mapping

from pilotage_kube.client import ApiClient, Object
from pilotage_kube.connection import Connection


class FencedClient(ApiClient):
    """Asks `guard` before every request that changes something; what it raises stops the request.

    A process that was frozen learns there that it no longer leads, before it writes what is out of date.
    """

    def __init__(
        self, connection: Connection, guard: Callable[[str], None], *, timeout_seconds: float = 15.0
    ) -> None:
        super().__init__(connection, timeout_seconds=timeout_seconds, user_agent="pilotage-operator")
        self._guard = guard

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float | None = None,
    ) -> bytes:
        """Any request; the body of its answer."""
        if method != "GET":
            self._guard(method)
        return await super().request(
            method,
            path,
            params=params,
            body=body,
            content_type=content_type,
            accept=accept,
            timeout_seconds=timeout_seconds,
        )
