"""Keys, a tenant, limits and a budget on the node: two pickers, one Valkey, and books that stay right."""

import concurrent.futures
import json
import re
import urllib.request

import cluster_rig
import openai
import pytest
import redis
from cluster_rig import GATEWAY, MODELS, ROOT, get, kubectl, part, pods, run, until
from valkey_rig import start_valkey, stop_valkey, valkey_host

from pilotage_api.money import nano_dollars

KEYS = "keys"
PASSWORD = "a-password-of-the-test"
INPUT_NANO, OUTPUT_NANO = 1_000, 2_000
"""Nano-dollars of a token."""
PRICING = "/spec/models/0/pricing"
CALL = {"model": "auto", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 16}
SETTINGS = {
    "namespaces": [MODELS],
    "governance": {
        "identity": {
            "apiKeys": {
                "secretSelector": {"matchLabels": {"pilotage.dev/api-key": "true"}},
                "secretNamespace": KEYS,
            }
        },
    },
}
RESOURCES = """
apiVersion: pilotage.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec:
  teams: [search]
  models: [auto]
  limits: [{per: key, window: 1h, requests: 100}]
  budgets: [{per: tenant, period: month, usd: "100", mode: hard}]
---
apiVersion: pilotage.dev/v1alpha1
kind: Tenant
metadata: {name: trial}
spec:
  limits: [{per: tenant, window: 1h, requests: 4}]
---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules:
  - candidates: [{model: small}]
  governance: {kvIsolation: tenant}
"""


def make_key(*words: str) -> str:
    """A key, made as users make it."""
    made = run(ROOT / ".venv" / "bin" / "pilotage", "keys", "create", "--namespace", KEYS, *words)
    return made.strip()


@pytest.fixture(scope="module")
def keys():
    """The gateway with identities and a Valkey; keys by whose they are."""
    kubectl("apply", "-f", "-", given=cluster_rig.NAMESPACE.format(name=KEYS))
    kubectl("apply", "-f", "-", given=cluster_rig.NAMESPACE.format(name=GATEWAY))
    address = start_valkey(PASSWORD)
    for name, entry in (("valkey", f"password={PASSWORD}"), ("salt", "salt=0123456789abcdef")):
        words = ("create", "secret", "generic", name, "-n", GATEWAY, f"--from-literal={entry}")
        made = kubectl(*words, "--dry-run=client", "-o", "yaml")
        kubectl("apply", "-f", "-", given=made)
    settings = {
        **SETTINGS,
        "governance": {**SETTINGS["governance"], "store": {"valkey": {"address": address}}},
    }
    cluster_rig.install(settings=settings, store={"valkeySecret": "valkey"}, kvSalt={"secret": "salt"})
    cluster_rig.apply_examples()
    patch_pool({"op": "add", "path": PRICING, "value": {"inputPerMillion": "1", "outputPerMillion": "2"}})
    kubectl("apply", "-n", MODELS, "-f", "-", given=RESOURCES)
    kubectl(
        "wait", "-n", MODELS, "routepolicies,tenants", "--all", "--for=condition=Programmed", "--timeout=60s"
    )
    yield {
        "acme": make_key("--tenant", "acme", "--team", "search"),
        "other team": make_key("--tenant", "acme", "--team", "sales"),
        "trial": make_key("--tenant", "trial"),
        "nobody": make_key("--tenant", "unknown"),
    }
    kubectl("delete", "-n", MODELS, "tenants,routepolicies", "--all")
    patch_pool({"op": "remove", "path": PRICING})
    stop_valkey()  # whoever comes next installs the gateway without it


def patch_pool(change: dict[str, object]) -> None:
    kubectl("patch", "modelpool", "small", "-n", MODELS, "--type=json", "-p", json.dumps([change]))


def client(key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{cluster_rig.gateway_url()}/v1", api_key=key, max_retries=0, timeout=30)


def ask(key: str, **more):
    return client(key).chat.completions.create(**{**CALL, **more})


def works(key: str) -> bool:
    try:
        ask(key)
    except openai.OpenAIError:
        return False
    return True


def books() -> tuple[int, int, int]:
    """Of the budget: settled, estimated and held, in nano-dollars."""
    store = redis.Redis(valkey_host(), password=PASSWORD)
    found = [key for key in store.scan_iter() if store.type(key) == b"hash" and store.hexists(key, "s")]
    assert len(found) <= 1, found
    if not found:
        return 0, 0, 0
    values = store.hmget(found[0], "s", "e", "h")
    return tuple(int(one or 0) for one in values)


def holds() -> int:
    """Requests that hold money."""
    store = redis.Redis(valkey_host(), password=PASSWORD)
    return sum(store.zcard(key) for key in store.scan_iter("*:l"))


def served_nano() -> int:
    """What the model servers' own counters say that all their answers cost."""
    total = 0
    for pod in pods(MODELS, app="llama-8b"):
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8000/metrics", timeout=10) as page:
            text = page.read().decode()
        for name, price in (("prompt", INPUT_NANO), ("generation", OUTPUT_NANO)):
            counts = re.findall(rf"^vllm:{name}_tokens_total\{{[^}}]*\}} (\S+)", text, re.MULTILINE)
            total += sum(round(float(one)) for one in counts) * price
    return total


def test_clients_get_their_typed_errors(keys):
    until(lambda: works(keys["acme"]), seconds=30, told=lambda: kubectl("get", "pods", "-A"))
    with pytest.raises(openai.AuthenticationError):
        ask("plt-not-a-key")
    for whose in ("nobody", "other team"):
        with pytest.raises(openai.PermissionDeniedError):
            ask(keys[whose])
    with pytest.raises(openai.NotFoundError):
        ask(keys["acme"], model="strong")
    assert [one.id for one in client(keys["acme"]).models.list()] == ["auto"]


def test_a_limit_holds_over_both_pickers(keys):
    assert len(part("extproc")) == 2
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda _: works(keys["trial"]), range(16)))
    assert sum(ends) == 4
    with pytest.raises(openai.RateLimitError) as caught:
        ask(keys["trial"])
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_books_agree_with_the_servers_after_a_picker_was_killed_under_load(keys):
    def drained() -> bool:
        return books()[2] == 0

    until(drained, seconds=30, told=books)
    before_books, before_served = books(), served_nano()
    trial = ask(keys["acme"])
    assert trial.usage is not None
    until(lambda: sum(books()[:2]) > sum(before_books[:2]), seconds=10, told=books)
    until(drained, seconds=10, told=books)
    assert sum(books()) - sum(before_books) == served_nano() - before_served

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(works, keys["acme"]) for _ in range(40)]
        cluster_rig.kill(part("extproc")[0])
        answered = sum(one.result() for one in running)
    assert answered >= 20
    before = sum(before_books)

    def agree() -> bool:
        served = served_nano() - before_served
        return abs(sum(books()[:2]) - before - served) <= served * 0.05

    until(agree, seconds=30, told=lambda: (books(), served_nano() - before_served))
    # of requests that the picker took with it the holds stay until their lease ends, and nothing else does
    assert holds() <= 40 - answered
    until(lambda: works(keys["acme"]), seconds=30)


def test_a_tenant_says_what_its_requests_cost_at_both_pickers(keys):
    def status() -> dict[str, str]:
        found: dict[str, str] = get("tenant", "acme", "-n", MODELS)["status"]
        return found

    def agrees() -> bool:
        spent, of, _ = status().get("spent", "0/").partition("/")
        return bool(of) and nano_dollars(spent) == sum(books()[:2]) > 0

    until(agrees, seconds=60, told=lambda: (status(), books()))
    [row] = kubectl("get", "tenants", "acme", "-n", MODELS, "--no-headers").splitlines()
    assert row.split()[2] == status()["spent"]
    assert row.split()[4] == status()["resets"]


def test_a_key_that_is_revoked_is_refused_within_seconds(keys):
    key_id = get("secrets", "-n", KEYS, "-l", "pilotage.dev/api-key=true")["items"]
    [named] = [one["metadata"]["name"] for one in key_id if one["data"]["tenant"] == "dHJpYWw="]
    run(ROOT / ".venv" / "bin" / "pilotage", "keys", "revoke", "--namespace", KEYS, named)

    def refused() -> bool:
        try:
            ask(keys["trial"])
        except openai.AuthenticationError:
            return True
        except openai.OpenAIError:
            return False
        return False

    until(refused, seconds=6)
