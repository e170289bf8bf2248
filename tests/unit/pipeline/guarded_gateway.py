"""A pipeline with policies that guard content and tools, for tests."""

from typing import Any

import orjson

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.sources.remote_guards import RemoteGuards

POOLS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: own, labels: {trust: own, region: eu}}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 80}]
  models: [{name: small}]
---
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: far, labels: {trust: provider, region: us}}
spec:
  engine: openai
  endpoints: [{address: 10.0.0.2, port: 80}]
  models: [{name: strong}]
"""


def compiled(spec: str, settings: GatewaySettings | None = None, pools: str = POOLS) -> Compiled:
    """Those pools, and a policy for the model `auto`; `spec` is YAML in one line."""
    policy = f"""
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: auto}}
spec: {spec}
"""
    return compile_resources(
        load_texts([("a.yaml", pools), ("b.yaml", policy)]), settings or GatewaySettings()
    )


class Gateway:
    """A pipeline, and requests through it."""

    def __init__(self, pipeline: Any, found: Compiled) -> None:
        self.pipeline = pipeline
        self.found = found

    async def ask(
        self, members: dict[str, Any] | bytes, path: str = "/v1/chat/completions", **headers: str
    ) -> Exchange:
        exchange = Exchange(RequestHead("POST", path, headers, envoy="e"))
        await self.pipeline.begin(exchange)
        exchange.received(members if isinstance(members, bytes) else orjson.dumps(members))
        try:
            await self.pipeline.decide(exchange)
        except RequestRefused as refused:
            self.pipeline.abandon(exchange, Outcome.answered(refused.reason.http_status))
            raise
        return exchange

    async def sent(
        self, members: dict[str, Any] | bytes, path: str = "/v1/chat/completions", **headers: str
    ) -> Any:
        """The body that goes on, parsed."""
        exchange = await self.ask(members, path, **headers)
        return orjson.loads(exchange.new_body or exchange.body)


async def gateway(
    governance: str = "{}",
    rules: str = "[{candidates: [{model: small}]}]",
    settings: GatewaySettings | None = None,
    guards: RemoteGuards | None = None,
    *,
    faultless: bool = True,
) -> Gateway:
    settings = settings or GatewaySettings()
    found = compiled(f"{{match: {{models: [auto]}}, rules: {rules}, governance: {governance}}}", settings)
    errors = [one for one in found.findings if one.severity == "error"]
    assert errors == [] or not faultless
    pipeline, _ = await offline_pipeline(found.snapshot, settings, guards=guards)
    return Gateway(pipeline, found)
