"""Faults: the API server away, a watch that is cut, CRDs that change, things deleted, the operator killed."""

import asyncio

import pytest
from operator_run import Operators, idle, install_crds, make_namespace, policy, pool, without_rules
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_kube.client import ApiClient
from pilotage_kube.errors import KubeError, NotFound
from pilotage_kube.resource import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LEASES,
    MODEL_POOLS,
    NAMESPACES,
    ROUTE_POLICIES,
)
from pilotage_kube.testing import ControlPlane

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")


class Killed(BaseException):
    """What ends an operator in the middle of a pass, as a SIGKILL would."""


@pytest.fixture
async def own(start_control_plane):
    """Operators on a control plane of the test's own, to break it."""
    plane: ControlPlane = start_control_plane()
    await asyncio.to_thread(install_crds, plane)
    async with (
        ApiClient(plane.connection(), timeout_seconds=3) as client,
        Operators(plane, client, "default") as found,
    ):
        yield found


async def not_served(client: ApiClient) -> None:
    """Wait until the API server knows neither of our types: for a moment it lists them as empty."""
    async with asyncio.timeout(30):
        for resource in (MODEL_POOLS, ROUTE_POLICIES):
            while True:
                try:
                    await client.list_all(resource)
                except NotFound:
                    break
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("writes", range(8))
async def test_an_operator_killed_between_any_two_writes_is_followed_by_one_that_finishes(operators, writes):
    """Head, forms, shard, head, and two statuses once or twice: any of them may be the last."""
    await operators.apply(SMALL, AUTO)
    picker = operators.pick()
    left = writes

    def stop(_method: str) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    process = operators.start(on_write=stop)
    ended = await operators.ended_or_at_rest(process)
    assert ended or writes >= 6, "the picker was quick: two statuses were written once"
    # whatever is published is whole: a picker that starts now can use it
    assert await operators.store_is_whole()
    operators.start()
    await operators.says(AUTO, "True True True")
    await operators.says(SMALL, "True True True")
    assert {route.policy for route in picker.snapshot.routes} == {f"{operators.namespace}/auto"}


@pytest.mark.parametrize("writes", range(5))
async def test_an_edit_cut_short_anywhere_leaves_the_last_good_form_to_the_next(lenient, writes):
    """The forms that are kept always fit the snapshot that is published, whichever write was the last."""
    good = policy("good", "good", "small")
    await lenient.apply(SMALL, AUTO, good)
    picker = lenient.pick()
    left: int | None = None

    def stop(_method: str) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left = None if left is None else left - 1

    process = lenient.start(on_write=stop)
    await lenient.says(AUTO, "True True True")
    await lenient.says(good, "True True True")
    await idle(process)
    left = writes
    await lenient.apply(policy("auto", "auto-2", "small"))
    ended = await lenient.ended_or_at_rest(process)
    assert ended or writes >= 4
    # both become wrong while nobody looks: one after its edit was perhaps published, one long before
    rollout = {"shadow": {"model": "search"}}
    await lenient.apply(policy("auto", "auto-3", "small", rollout=rollout))
    await lenient.apply(policy("good", "bad", "small", rollout=rollout))
    lenient.start()
    await lenient.says(policy("auto", ""), "Invalid True LastGood")
    await lenient.says(policy("good", ""), "Invalid True LastGood")
    models = {route.policy.partition("/")[2]: route.model for route in picker.snapshot.routes}
    assert models["good"] == "good"
    assert models["auto"] in ("auto", "auto-2")


async def test_an_api_server_that_is_away_costs_nothing_but_time(own):
    await own.apply(SMALL, AUTO)
    picker = own.pick()
    process = own.start()
    await own.says(AUTO, "True True True")
    good = picker.snapshot
    await asyncio.to_thread(own.plane.stop_apiserver, kill=True)
    # longer than the Lease lasts, as a minute is for the usual one
    await until(lambda: not process.election.leading)
    await until(lambda: process.active is None)
    assert picker.snapshot == good
    await asyncio.to_thread(own.plane.start_apiserver)
    changed = policy("auto", "auto-2", "small")
    await own.apply(changed)
    await own.says(changed, "True True True", seconds=30)
    assert picker.snapshot.routes[0].model == "auto-2"


async def test_a_restarted_etcd_is_followed_on(own):
    await own.apply(SMALL, AUTO)
    picker = own.pick()
    own.start()
    await own.says(AUTO, "True True True")
    await asyncio.to_thread(own.plane.stop_etcd)
    await asyncio.sleep(1)
    await asyncio.to_thread(own.plane.start_etcd)
    changed = policy("auto", "auto-2", "small")
    async with asyncio.timeout(40):
        while True:
            try:
                await own.apply(changed)
                break
            except KubeError:
                await asyncio.sleep(0.3)
    await own.says(changed, "True True True", seconds=40)
    assert picker.snapshot.routes[0].model == "auto-2"


async def test_a_policy_deleted_while_the_watch_is_cut_is_gone_after_a_410(start_control_plane):
    """What kopf 1.45 loses: the deletion is in no event, only in what a new list lacks."""
    plane: ControlPlane = start_control_plane("--watch-cache=false")
    await asyncio.to_thread(install_crds, plane)
    async with (
        ApiClient(plane.connection(), timeout_seconds=5) as client,
        TcpProxy(plane.port) as proxy,
        Operators(plane, client, "default") as found,
    ):
        await found.apply(SMALL, AUTO, policy("goes", "goes", "small"))
        picker = found.pick()
        process = found.start(server=proxy.server, timing=None)
        await found.says(policy("goes", ""), "True True True")
        assert len(picker.snapshot.routes) == 2
        proxy.cut()
        await until(lambda: process.active.view.problem)
        await found.delete(policy("goes", ""))
        plane.compact()
        proxy.mend()
        await until(lambda: len(picker.snapshot.routes) == 1, 30)
        assert picker.snapshot.routes[0].policy == "default/auto"


async def test_crds_upgraded_under_it_change_nothing_until_a_field_is_used(own):
    await own.apply(SMALL, AUTO)
    picker = own.pick()
    process = own.start()
    await own.says(AUTO, "True True True")
    # the pool's status is written beside the policy's, in whichever order
    await idle(process)
    good, writes = picker.snapshot, process.active.writer.writes

    def later(crd):
        crd = without_rules(crd)
        spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"]["ofALaterVersion"] = {"type": "string"}
        return crd

    view = process.active.view
    before = view.watches()["routepolicies"]
    await asyncio.to_thread(install_crds, own.plane, later)
    # a watch that began before shows objects as the old CRD has them; the API server ends it
    await until(lambda: view.watches()["routepolicies"] > before, 60)
    await idle(process)
    assert picker.snapshot == good
    assert process.active.writer.writes == writes
    used = policy("auto", "auto-2", "small", ofALaterVersion="x")
    await own.apply(used)
    found = await own.says(used, "Invalid True LastGood")
    assert "unknown field 'ofALaterVersion'" in found["status"]["conditions"][0]["message"]
    assert picker.snapshot == good
    # and back again: the field is dropped by the API server, the rest takes effect
    await asyncio.to_thread(install_crds, own.plane)
    changed = policy("auto", "auto-3", "small")
    await own.apply(changed)
    await own.says(changed, "True True True")


async def test_crds_that_are_gone_at_its_start_leave_what_is_published_in_force(own):
    """It cannot know whether the resources are gone too, or only not served."""
    await own.apply(SMALL, AUTO)
    picker = own.pick()
    process = own.start()
    await own.says(AUTO, "True True True")
    good = picker.snapshot
    await own.end(process)
    for crd in ("routepolicies", "modelpools"):
        await own.client.delete(CUSTOM_RESOURCE_DEFINITIONS, f"{crd}.pilotage.dev")
    await not_served(own.client)
    process = own.start()
    await until(lambda: process.active and process.active.reconciler.progress.problem)
    assert "install the CRDs" in process.active.reconciler.progress.problem
    assert picker.snapshot == good
    await asyncio.to_thread(install_crds, own.plane)
    # they are back and empty: now nothing is wanted, and known to be
    await until(lambda: picker.snapshot.routes == (), 30)
    await own.apply(SMALL, AUTO)
    await own.says(AUTO, "True True True", seconds=30)


async def test_deleting_the_crds_under_it_deletes_the_resources_and_new_ones_are_followed(own):
    await own.apply(SMALL, AUTO)
    picker = own.pick()
    own.start()
    await own.says(AUTO, "True True True")
    for crd in ("routepolicies", "modelpools"):
        await own.client.delete(CUSTOM_RESOURCE_DEFINITIONS, f"{crd}.pilotage.dev")
    await until(lambda: picker.snapshot.routes == (), 30)
    await asyncio.to_thread(install_crds, own.plane)
    await own.apply(SMALL, AUTO)
    await own.says(AUTO, "True True True", seconds=100)


async def test_a_namespace_that_is_deleted_takes_its_policies_along(operators):
    """Without controllers the test deletes what the namespace holds, as the namespace controller would."""
    doomed = await make_namespace(operators.client, f"{operators.namespace}-d")
    await operators.apply(SMALL, AUTO)
    await operators.apply(pool("far", "far-model"), policy("far", "far", "far-model"), namespace=doomed)
    picker = operators.pick()
    process = operators.start(settings=operators.settings(namespaces=(operators.namespace, doomed)))
    await operators.says(policy("far", ""), "True True True", namespace=doomed)
    assert len(picker.snapshot.pools) == 2
    await operators.client.delete(NAMESPACES, doomed)
    for resource in (ROUTE_POLICIES, MODEL_POOLS):
        await operators.client.request("DELETE", resource.path(doomed))
    await until(lambda: len(picker.snapshot.pools) == 1)
    await operators.says(AUTO, "True True True")
    await idle(process)


async def test_everything_can_be_deleted_with_the_operator_gone(own):
    """No finalizer, no webhook: nothing waits for a process that no longer is there."""
    await own.apply(SMALL, AUTO)
    own.pick()
    owner = await own.client.create(CONFIG_MAPS, CONFIG_MAPS.object("pilotage"), "default")
    process = own.start(settings=own.settings(owner="pilotage"))
    await own.says(AUTO, "True True True")
    await idle(process)
    await own.end(process)
    # all that was published belongs to the one object that goes with the installation
    uid = owner["metadata"]["uid"]
    head = await own.client.get(CONFIG_MAPS, "pilotage-snapshot", "default")
    lease = await own.client.get(LEASES, "pilotage-snapshot-operator", "default")
    owners = {one["metadata"]["ownerReferences"][0]["uid"] for one in (head, lease)}
    for found in await own.client.list_all(CONFIG_MAPS, "default"):
        if found["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "pilotage":
            owners.add(found["metadata"]["ownerReferences"][0]["uid"])
    assert owners == {uid, head["metadata"]["uid"]}
    async with asyncio.timeout(20):
        await own.delete(AUTO)
        for crd in ("routepolicies", "modelpools", "tenants"):
            await own.client.delete(CUSTOM_RESOURCE_DEFINITIONS, f"{crd}.pilotage.dev")
        while await own.client.list_all(CUSTOM_RESOURCE_DEFINITIONS):
            await asyncio.sleep(0.1)
    for kind in ("validating", "mutating"):
        told = own.plane.kubectl("get", f"{kind}webhookconfigurations", "-o", "name")
        assert told == ""


async def test_an_operator_that_may_not_publish_says_so_and_recovers(operators, control_plane):
    from accounts import ROLES, token_with
    from rights import OPERATOR_NAMESPACE, OPERATOR_WATCHED

    rights = [one for one in (*OPERATOR_NAMESPACE, *OPERATOR_WATCHED) if one["resources"] != ["configmaps"]]
    rights.append({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]})
    token = await token_with(operators.client, operators.namespace, "poor", *rights)
    await operators.apply(SMALL, AUTO)
    operators.pick()
    process = operators.start(token=token)
    await until(lambda: process.active and process.active.problem)
    assert "403 Forbidden" in process.active.problem
    rights[-1]["verbs"] = ["get", "list", "create", "update", "delete"]
    await operators.client.merge(ROLES, "poor", {"rules": rights}, operators.namespace)
    await operators.says(AUTO, "True True True", seconds=40)
    assert process.active.problem is None
