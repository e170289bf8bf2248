"""A pipeline that asks who its clients are."""

import hashlib
import json

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.vouched import NOT_VOUCHED
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.state.api_keys import ApiKey

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: pool}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 80}]
  models: [{name: small}, {name: large}]
"""
POLICY = """
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules:
  - name: support
    when: identity.team == "support"
    candidates: [{model: large}]
  - candidates: [{model: small}]
"""
KEYS = {"apiKeys": {"file": "keys.json"}}


def key(text, tenant="acme", team="", expires_at=None):
    digest = hashlib.sha256(text.encode()).digest()
    return ApiKey(f"id-{text}", digest, tenant, team, expires_at)


def compiled(*documents, **governance):
    settings = GatewaySettings(governance=governance)
    loaded = load_texts([("all.yaml", "---\n".join(documents))])
    return compile_resources(loaded, settings), settings


class Gateway:
    """Decides requests of named callers."""

    def __init__(self, pipeline, state):
        self.pipeline, self.state = pipeline, state

    async def ask(
        self,
        model="auto",
        *,
        headers=None,
        path="/v1/chat/completions",
        method="POST",
        vouched=NOT_VOUCHED,
        pool=None,
        **members,
    ):
        """The decided exchange, or the answer."""
        head = RequestHead(method, path, headers or {}, vouched=vouched, pool=pool)
        exchange = Exchange(head)
        answer = await self.pipeline.begin(exchange)
        if answer is not None:
            return answer
        messages = [{"role": "user", "content": "hello"}]
        body = {"model": model, "messages": messages, "max_tokens": 5, **members}
        exchange.received(json.dumps(body).encode())
        await self.pipeline.decide(exchange)
        return exchange


async def gateway(*documents, keys=(), identity=KEYS, **governance):
    """With these resources; `identity=None` asks nobody."""
    if identity is not None:
        governance["identity"] = identity
    found, settings = compiled(*documents, **governance)
    pipeline, state = await offline_pipeline(found.snapshot, settings)
    state.keys.follow(keys)
    return Gateway(pipeline, state)


def bearer(text):
    return {"authorization": f"Bearer {text}"}
