"""A watch that a server accepts and then ends with an error, over and over.

etcd does so for a version that is compacted away at just the wrong moment; it cannot be made to on demand.
"""

import asyncio
from typing import Any

import msgspec
import orjson

from pilotage_kube.clock import ManualTime
from pilotage_kube.errors import ServerError
from pilotage_kube.informer import Informer
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_kube.wire import ListMeta, ListPage, whole_object


class BrokenAfterList:
    """Lists well, and cannot watch from the version of its first list."""

    def __init__(self) -> None:
        self.lists = 0
        self.watched_from: list[str] = []

    async def page(self, *_: Any, **__: Any) -> ListPage:
        self.lists += 1
        metadata = {
            "name": f"object-{self.lists}",
            "namespace": "n",
            "uid": str(self.lists),
            "resourceVersion": "1",
        }
        item = msgspec.Raw(orjson.dumps({"metadata": metadata}))
        return ListPage(ListMeta(resource_version=str(self.lists)), [item])

    async def watch(self, *_: Any, resource_version: str, on_open: Any, **__: Any) -> Any:
        self.watched_from.append(resource_version)
        on_open()
        if resource_version == "1":
            raise ServerError(500, "InternalError", "etcd event received with PrevKv=nil")
        await asyncio.Event().wait()
        yield


async def test_it_lists_again_when_a_version_cannot_be_watched_from():
    client, clock = BrokenAfterList(), ManualTime()
    informer = Informer(client, CONFIG_MAPS, whole_object, clock=clock)
    task = asyncio.create_task(informer.run())
    await clock.advance(30)
    assert client.watched_from == ["1", "1", "1", "2"]
    assert [key.name for key in informer.store] == ["object-2"]
    assert informer.problem is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
