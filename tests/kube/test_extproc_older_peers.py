"""Picks while pickers of the version before drain: they know models by address, and no numbers."""

from typing import Any

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from extproc_rig import gateway_at, head, picker_in
from waiting import until

from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    NameKind,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.envoy.contract import CONTRACT
from pilotage_kube.client import ApiClient
from pilotage_kube.replica_report import REPORT_ANNOTATION, REPORT_LABEL
from pilotage_kube.resource import LEASES

MODELS = {"10.0.0.1:8000": "a-model", "10.0.0.2:8000": "b-model"}


def two_pools(namespace: str) -> RoutingSnapshot:
    """One name in two pools, under another model in each."""
    pools, bindings = [], []
    for address, model in MODELS.items():
        key = f"{namespace}/{model}"
        endpoint = EndpointSnapshot(address=address.partition(":")[0], port=8000)
        pools.append(
            PoolSnapshot(
                key=key,
                engine=Engine.OPENAI,
                endpoints=(endpoint,),
                stream_usage=StreamUsage.LEAVE,
                models=(model,),
            )
        )
        bindings.append(Binding(pool=key, upstream_model=model, kind=NameKind.ALIAS))
    return RoutingSnapshot(pools=tuple(pools), names={"auto": tuple(bindings)}).sealed()


async def picked(address: str, contract: str | None) -> dict[str, Any]:
    """Our metadata of a pick, as a bundled Envoy of this contract gets it."""
    named = () if contract is None else (("x-pilotage-contract", contract),)
    async with gateway_at(address) as gateway:
        call = gateway.process(metadata=(("x-pilotage-envoy", "envoy-1"), *named))
        await call.write(head())
        await call.read()
        body = ext_proc_pb2.ProcessingRequest()
        body.request_body.body = b'{"model":"auto","messages":[{"role":"user","content":"hello"}]}'
        body.request_body.end_of_stream = True
        await call.write(body)
        answer = await call.read()
        call.cancel()
    return dict(answer.dynamic_metadata["pilotage"])


async def say_of_former(client: ApiClient, namespace: str) -> None:
    """The report of a picker of the version before: it names neither formats nor contract."""
    metadata = {
        "labels": {REPORT_LABEL: "pilotage-extproc"},
        "annotations": {REPORT_ANNOTATION: '{"replica":"pod-old","version":"v","ready":true,"boot":"b"}'},
    }
    await client.create(LEASES, LEASES.object("pod-old", namespace, metadata=metadata, spec={}), namespace)


async def test_picks_name_models_for_whoever_of_contract_1_may_read_them(client, control_plane, namespace):
    async with picker_in(control_plane.connection(), client, namespace) as cluster:
        await cluster.publisher.publish(two_pools(namespace))
        await until(cluster.picker.server.view.ready)
        address = cluster.picker.server.address
        await until(lambda: len(cluster.runtime.state.table.admitted) >= 2)
        pick = await picked(address, CONTRACT)
        assert set(pick["attempts"]) == set(MODELS)
        assert "rebind" not in pick
        # an Envoy of the version before, which asks for later attempts by names
        assert dict((await picked(address, None))["rebind"]) == MODELS
        # and this version's Envoy, where a picker of the version before may be asked for a later attempt
        await say_of_former(client, namespace)
        await until(cluster.runtime.older_peers.about)
        pick = await picked(address, CONTRACT)
        assert dict(pick["rebind"]) == MODELS
        assert set(pick["attempts"]) == set(MODELS)
