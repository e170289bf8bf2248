"""kopf, as far as this operator uses it: says "something has changed", starts and stops with the Lease.

The state comes from our informers, which also wake the operator: nothing depends on kopf, and what it
loses (in 1.45, deletions across a 410) is not lost. It runs in a thread with an event loop of its own,
because it

- ends by cancelling every task of its loop that began after it, whoever began it;
- takes over SIGINT and SIGTERM where it runs in the main thread;
- parses each page of a list at once, which would hold the loop that renews the Lease.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf

from pilotage_kube.backoff import Backoff
from pilotage_kube.clock import Time, within
from pilotage_kube.connection import Connection
from pilotage_operator.resource_revision import OUR_TYPES

log = logging.getLogger(__name__)

_STOP_SECONDS = 3.0
"""Less than what a former leader has before another may begin."""
_SETTLED_SECONDS = 60.0
_LOOK_SECONDS = 1.0


def _worth_saying(record: logging.LogRecord) -> bool:
    """False for the warning that kopf handles no signals in a thread: the operator does."""
    return not record.getMessage().startswith("OS signals are ignored")


class KopfWake:
    """Runs kopf until cancelled; starts it again where it ends by itself."""

    def __init__(
        self,
        connection: Connection,
        namespaces: tuple[str, ...],
        on_event: Callable[[], None],
        *,
        may_run: Callable[[], bool],
        on_restart: Callable[[], None],
        clock: Time,
    ) -> None:
        """`may_run` says whether our types are served: kopf ends with an error where they are not."""
        self._connection = connection
        self._namespaces = namespaces
        self._on_event = on_event
        self._may_run = may_run
        self._on_restart = on_restart
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff(0.5, 60.0)
        while True:
            while not self._may_run():
                await self._clock.sleep(_LOOK_SECONDS)
            began = self._clock()
            life = _Life(self._connection, self._namespaces, self._on_event)
            try:
                problem = await self._until_ended(life)
            finally:
                await life.stop()
            if problem is None:
                continue
            self._on_restart()
            log.warning("kopf ended and will be started again; informers go on meanwhile: %s", problem)
            if self._clock() - began >= _SETTLED_SECONDS:
                backoff.reset()
            await self._clock.sleep(backoff.delay())

    async def _until_ended(self, life: "_Life") -> str | None:
        """Why kopf ended; None where our types are not served any more.

        kopf looks for types once, at its start: one whose CRD came later it would not see.
        """
        while self._may_run():
            try:
                return await within(self._clock, _LOOK_SECONDS, life.until_ended())
            except TimeoutError:
                continue
        return None


class _Life:
    """One run of kopf, in a thread."""

    def __init__(
        self, connection: Connection, namespaces: tuple[str, ...], on_event: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._namespaces = namespaces
        self._on_event = on_event
        self._home = asyncio.get_running_loop()
        self._ended: asyncio.Future[str] = self._home.create_future()
        self._refused = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._thread.start()

    async def until_ended(self) -> str:
        """Why it ended."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """End it; a thread that takes longer is harmless, since all it does is wake."""
        self._stopping.set()
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._stop.set)
            except RuntimeError:
                return
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.shield(self._ended)
        except TimeoutError:
            log.warning("kopf takes its time to end")

    def _run(self) -> None:
        logging.getLogger("kopf._core.reactor.running").addFilter(_worth_saying)
        why = "stopped"
        try:
            asyncio.run(self._operate())
        except Exception as error:  # noqa: BLE001 - it is a framework's, and nothing depends on it
            why = f"{type(error).__name__}: {error}"
        try:
            self._home.call_soon_threadsafe(self._end, why)
        except RuntimeError:
            log.debug("the process ended before kopf")

    def _end(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_result(why)

    async def _operate(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stopping.is_set():
            return
        wide = self._namespaces == ("*",)
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            # two peers of equal priority pause each other for ever; the Lease says who is active
            standalone=True,
            clusterwide=wide,
            namespaces=() if wide else self._namespaces,
            stop_flag=self._stop,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        """Only `on.event`: create, update and resume handlers annotate users' objects with their progress,
        deletion handlers, daemons and timers put finalizers on them."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, id="login")(self._log_in)
        for resource in OUR_TYPES:
            kopf.on.event(
                resource.group, resource.version, resource.plural, registry=registry, id=resource.plural
            )(self._woken)
        return registry

    async def _woken(self, **_: Any) -> None:
        # returns nothing: what a handler returns is written into the object's status
        if not self._stopping.is_set():
            self._home.call_soon_threadsafe(self._on_event)

    async def _log_in(self, **_: Any) -> kopf.AiohttpSession:
        """A session with our credentials; kopf asks again when they are refused."""
        credentials = self._connection.credentials
        asked = asyncio.run_coroutine_threadsafe(credentials.load(refused=self._refused), self._home)
        access = await asyncio.wrap_future(asked)
        self._refused = True
        headers = await access.headers()
        headers["User-Agent"] = "pilotage-operator-kopf"
        return kopf.AiohttpSession(
            server=self._connection.server,
            default_namespace=self._connection.namespace,
            aiohttp_session=access.transport.session(headers),
        )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # no CRD and namespace watches: the rights for them are not asked for
    settings.scanning.disabled = True
    settings.posting.enabled = False
    # a page of a list at a time; streamed lists (`initial_streaming`) need Kubernetes 1.34
    settings.watching.chunk_size = 250
    # kopf removes this finalizer wherever no handler needs it: it must not be one that other operators use
    settings.persistence.finalizer = "pilotage.dev/never-set"
    # With an index, a limit on workers never ends its start: the workers it lets run wait for those it does
    # not. There is no index here. A worker keeps its place until idle for `idle_timeout`, though, so with
    # the default of five seconds 2,000 objects would take minutes.
    settings.queueing.worker_limit = 64
    settings.queueing.idle_timeout = 0.05
    # kopf kills the process this long after it was told to stop
    settings.process.ultimate_exiting_timeout = None
    # There is no admission handler: kopf leaves its webhook configuration behind when it ends, and the API
    # server then refuses every edit. CEL in the CRDs and conditions do that work.
    return settings
