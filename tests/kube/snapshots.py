"""Snapshots of any size, compiled from resources as users write them."""

import hashlib

from pilotage_api.snapshot import (
    Binding,
    CandidateModel,
    EndpointSnapshot,
    Engine,
    NameKind,
    PolicyRoute,
    PoolSnapshot,
    RoutingSnapshot,
    RuleSnapshot,
    StreamUsage,
)


def snapshot_of(policies: int, noise: int = 0) -> RoutingSnapshot:
    """A sealed snapshot with that many policies, one pool and one name.

    `noise` hex digits in each policy's model name compress badly.
    """
    binding = Binding(pool="default/small", upstream_model="llama-8b", kind=NameKind.MODEL)
    rule = RuleSnapshot(
        name="rules[0]",
        candidates=(CandidateModel(model="llama-8b", weight=None, bindings=(binding,)),),
    )
    return RoutingSnapshot(
        pools=(
            PoolSnapshot(
                key="default/small",
                engine=Engine.VLLM,
                endpoints=(EndpointSnapshot(address="10.0.0.1", port=8000),),
                stream_usage=StreamUsage.INJECT,
                models=("llama-8b",),
            ),
        ),
        names={"llama-8b": (binding,)},
        routes=tuple(
            PolicyRoute(
                policy=f"team-{number % 50}/policy-{number * 7919 % 10007}",
                model=f"auto-{number}{hashlib.shake_128(str(number).encode()).hexdigest(noise // 2)}",
                glob=False,
                path=None,
                headers=(),
                rules=(rule,),
            )
            for number in range(policies)
        ),
    ).sealed()
