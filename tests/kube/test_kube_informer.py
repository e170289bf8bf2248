"""The informer against a real API server: cuts, expiry, 410, restarts, paging, absence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from accounts import rule, token_with
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_kube.client import ApiClient
from pilotage_kube.errors import KubeError
from pilotage_kube.informer import Change, ChangeKind, Informer, InformerOptions
from pilotage_kube.resource import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    SECRETS,
    ObjectKey,
    ResourceType,
)
from pilotage_kube.testing import ControlPlane
from pilotage_kube.wire import typed, whole_object

QUICK = InformerOptions(
    first_delay_seconds=0.02, longest_delay_seconds=0.3, absent_after_seconds=1, absent_poll_seconds=0.5
)
WIDGETS = ResourceType("example.test", "v1", "widgets", "Widget")


class DataOnly(msgspec.Struct):
    """What is kept of a ConfigMap here."""

    data: dict[str, str] = {}


class Followed:
    """An informer of ConfigMaps and all that it told."""

    def __init__(self, client: ApiClient, namespace: str | None, **options: Any) -> None:
        self.changes: list[Change[DataOnly]] = []
        self.least: int | None = None
        """The fewest objects it ever held since `least` was set."""
        self.informer = Informer(
            client,
            options.pop("resource", CONFIG_MAPS),
            typed(DataOnly),
            namespace=namespace,
            on_change=self._changed,
            options=options.pop("options", QUICK),
            **options,
        )

    def _changed(self, change: Change[DataOnly]) -> None:
        self.changes.append(change)
        if self.least is not None:
            self.least = min(self.least, len(self.informer.store))

    def names(self) -> set[str]:
        return {key.name for key in self.informer.store}

    def told(self) -> list[tuple[str, str]]:
        return [(change.kind.value, change.key.name) for change in self.changes]


@asynccontextmanager
async def following(
    plane: ControlPlane, namespace: str | None, *, server: str | None = None, **options: Any
) -> AsyncIterator[Followed]:
    async with ApiClient(plane.connection(server=server), timeout_seconds=5) as client:
        followed = Followed(client, namespace, **options)
        task = asyncio.create_task(followed.informer.run())
        try:
            yield followed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def put(client: ApiClient, namespace: str, name: str, **data: str) -> None:
    await client.apply(CONFIG_MAPS, CONFIG_MAPS.object(name, data=data), namespace, manager="test")


async def test_changes_are_told_once_and_only_where_what_is_kept_differs(client, control_plane, namespace):
    await put(client, namespace, "one", a="1")
    async with following(control_plane, namespace) as followed:
        await followed.informer.wait_synced()
        assert followed.informer.store[ObjectKey(namespace, "one")].data == {"a": "1"}
        await client.merge(CONFIG_MAPS, "one", {"metadata": {"labels": {"x": "y"}}}, namespace)
        await put(client, namespace, "one", a="2")
        await put(client, namespace, "two")
        await client.delete(CONFIG_MAPS, "one", namespace)
        await until(lambda: followed.names() == {"two"})
        assert followed.told() == [
            ("added", "one"),
            ("changed", "one"),
            ("added", "two"),
            ("deleted", "one"),
        ]
        change = followed.changes[1]
        assert change.kind is ChangeKind.CHANGED
        assert (change.old.data, change.value.data) == ({"a": "1"}, {"a": "2"})


async def test_selectors_narrow_what_is_followed(client, control_plane, namespace):
    for name, tier in (("one", "a"), ("two", "b")):
        body = CONFIG_MAPS.object(name, metadata={"labels": {"tier": tier}})
        await client.create(CONFIG_MAPS, body, namespace)
    async with (
        following(control_plane, namespace, labels="tier=a") as by_label,
        following(control_plane, namespace, fields="metadata.name=two") as by_field,
    ):
        await by_label.informer.wait_synced()
        await by_field.informer.wait_synced()
        assert by_label.names() == {"one"}
        assert by_field.names() == {"two"}
        # an object that stops matching is deleted for this view
        await client.merge(CONFIG_MAPS, "one", {"metadata": {"labels": {"tier": "c"}}}, namespace)
        await until(lambda: by_label.names() == set())


async def test_a_watch_that_the_server_ends_goes_on(client, control_plane, namespace):
    options = InformerOptions(watch_seconds=1)
    async with following(control_plane, namespace, options=options) as followed:
        await followed.informer.wait_synced()
        await until(lambda: followed.informer.counts.watches >= 4)
        await put(client, namespace, "one")
        await until(lambda: followed.names() == {"one"})
        assert followed.informer.counts.lists == 1
        assert followed.informer.problem is None


async def test_a_cut_watch_resumes_where_it_was(client, control_plane, namespace, proxy: TcpProxy):
    await put(client, namespace, "one")
    await put(client, namespace, "two")
    async with following(control_plane, namespace, server=proxy.server) as followed:
        await followed.informer.wait_synced()
        followed.least = 2
        proxy.cut()
        await until(lambda: followed.informer.problem is not None)
        assert followed.informer.age_seconds() > 0
        await client.delete(CONFIG_MAPS, "one", namespace)
        await put(client, namespace, "three")
        await asyncio.sleep(0.5)
        assert followed.names() == {"one", "two"}
        proxy.mend()
        await until(lambda: followed.names() == {"two", "three"})
        await until(lambda: followed.informer.age_seconds() == 0)
        assert followed.informer.counts.lists == 1


async def test_a_frozen_watch_counts_as_cut(client, control_plane, namespace, proxy: TcpProxy):
    options = InformerOptions(idle_seconds=1.0, longest_delay_seconds=0.3)
    async with following(control_plane, namespace, server=proxy.server, options=options) as followed:
        await followed.informer.wait_synced()
        proxy.freeze()
        await put(client, namespace, "one")
        await until(lambda: followed.informer.problem is not None)
        proxy.mend()
        await until(lambda: followed.names() == {"one"})


async def test_a_deletion_during_a_cut_is_found_across_a_410(start_control_plane):
    # without the watch cache every watch is etcd's own, and compaction makes old versions gone for certain
    plane: ControlPlane = start_control_plane("--watch-cache=false")
    async with ApiClient(plane.connection()) as client, TcpProxy(plane.port) as proxy:
        for name in ("stays", "goes", "changes", "again"):
            await put(client, "default", name, a="1")
        async with following(plane, "default", server=proxy.server) as followed:
            await followed.informer.wait_synced()
            before = set(followed.names())
            followed.changes.clear()
            followed.least = len(before)
            proxy.cut()
            await until(lambda: followed.informer.problem is not None)
            await client.delete(CONFIG_MAPS, "goes", "default")
            await client.delete(CONFIG_MAPS, "again", "default")
            await put(client, "default", "again", a="1")
            await put(client, "default", "changes", a="2")
            await put(client, "default", "comes")
            plane.compact()
            proxy.mend()
            await until(lambda: followed.informer.counts.lists == 2)
            assert followed.names() == (before - {"goes"}) | {"comes"}
            # the same name, another object: what was known of the first is void
            told = followed.told()
            assert sorted(told) == [
                ("added", "again"),
                ("added", "comes"),
                ("changed", "changes"),
                ("deleted", "again"),
                ("deleted", "goes"),
            ]
            assert told.index(("deleted", "again")) < told.index(("added", "again"))
            assert ("deleted", "stays") not in told
            assert followed.least >= len(before) - 1


async def test_a_restarted_api_server_is_followed_on(start_control_plane):
    plane: ControlPlane = start_control_plane()
    async with ApiClient(plane.connection(), timeout_seconds=5) as client:
        await put(client, "default", "one")
        await put(client, "default", "two")
        async with following(plane, "default") as followed:
            await followed.informer.wait_synced()
            before = set(followed.names())
            followed.changes.clear()
            await asyncio.to_thread(plane.stop_apiserver, kill=True)
            await until(lambda: followed.informer.problem is not None)
            assert followed.names() == before
            await asyncio.to_thread(plane.start_apiserver)
            await client.delete(CONFIG_MAPS, "one", "default")
            await until(lambda: "one" not in followed.names())
            assert followed.told() == [("deleted", "one")]


async def test_a_restarted_etcd_is_followed_on(start_control_plane):
    plane: ControlPlane = start_control_plane()
    async with ApiClient(plane.connection(), timeout_seconds=5) as client:
        await put(client, "default", "one")
        async with following(plane, "default") as followed:
            await followed.informer.wait_synced()
            before = set(followed.names())
            await asyncio.to_thread(plane.stop_etcd)
            await asyncio.sleep(1)
            assert followed.names() == before
            await asyncio.to_thread(plane.start_etcd)

            async def written() -> None:
                while True:
                    try:
                        await put(client, "default", "two")
                        return
                    except KubeError:
                        await asyncio.sleep(0.2)

            async with asyncio.timeout(30):
                await written()
            await until(lambda: followed.names() == before | {"two"}, seconds=30)


async def test_a_long_list_comes_in_pages(client, control_plane, namespace):
    for number in range(23):
        await put(client, namespace, f"map-{number:02}")
    async with following(control_plane, namespace, options=InformerOptions(page_size=5)) as followed:
        await followed.informer.wait_synced()
        assert len(followed.names()) == 23
        assert followed.told() == [("added", f"map-{number:02}") for number in range(23)]


async def test_what_may_not_be_read_is_a_problem_and_no_empty_view(client, control_plane, namespace):
    token = await token_with(client, namespace, "reader", rule("", "configmaps", "get", "list", "watch"))
    async with ApiClient(control_plane.connection(token=token)) as limited:
        informer = Informer(limited, SECRETS, whole_object, namespace=namespace, options=QUICK)
        task = asyncio.create_task(informer.run())
        await until(lambda: informer.problem)
        assert "forbidden" in informer.problem
        assert not informer.synced
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def widgets_crd() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"}
    spec = {"group": WIDGETS.group, "scope": "Namespaced", "names": names, "versions": [version]}
    return CUSTOM_RESOURCE_DEFINITIONS.object(f"widgets.{WIDGETS.group}", spec=spec)


async def test_a_resource_type_may_come_and_go(start_control_plane):
    plane: ControlPlane = start_control_plane()
    async with (
        ApiClient(plane.connection()) as client,
        following(plane, "default", resource=WIDGETS) as followed,
    ):
        await followed.informer.wait_synced()
        assert followed.informer.absent
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, widgets_crd())
        await until(lambda: not followed.informer.absent)
        await client.create(WIDGETS, WIDGETS.object("one", data={"a": "1"}), "default")
        await until(lambda: followed.names() == {"one"})
        await client.delete(CUSTOM_RESOURCE_DEFINITIONS, f"widgets.{WIDGETS.group}")
        await until(lambda: followed.informer.absent, seconds=30)
        assert followed.names() == set()
        assert followed.told() == [("added", "one"), ("deleted", "one")]


@pytest.mark.parametrize("fault", ["decoder", "handler"])
async def test_a_fault_in_what_uses_it_ends_nothing(client, control_plane, namespace, fault, caplog):
    seen = []

    def decode(raw: memoryview) -> dict[str, Any]:
        found = whole_object(raw)
        if fault == "decoder" and found.get("data", {}).get("bad"):
            raise ValueError("not to be read")
        return found

    def handler(change: Change[dict[str, Any]]) -> None:
        seen.append(change.kind)
        if fault == "handler":
            raise ValueError("not to be handled")

    informer = Informer(client, CONFIG_MAPS, decode, namespace=namespace, on_change=handler, options=QUICK)
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    await put(client, namespace, "one", a="1")
    await until(lambda: len(informer.store) == 1)
    await put(client, namespace, "one", bad="1")
    await put(client, namespace, "two", a="1")
    await until(lambda: len(informer.store) == 2)
    kept = informer.store[ObjectKey(namespace, "one")]["data"]
    assert kept == ({"a": "1"} if fault == "decoder" else {"bad": "1"})
    assert informer.counts.unreadable == (1 if fault == "decoder" else 0)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
