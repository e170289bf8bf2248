"""Features of prompts are found out where a rule reads them, off the loop where they are large."""

import threading
from collections.abc import Mapping
from io import StringIO

import pytest
from orjson import dumps
from rich.console import Console

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings, PromptFeatureSettings
from pilotage_cli.explanation import print_explanation
from pilotage_extproc.dialects.document import Document
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.features.cache import FeatureCache
from pilotage_extproc.features.language import available
from pilotage_extproc.features.names import ALL, DOMAIN, KEYWORDS
from pilotage_extproc.features.prompt_reader import PromptReader
from pilotage_extproc.features.weights_files import SHIPPED_NAME, Weights, load_weights
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.server.prompt_features import feature_stages
from pilotage_extproc.stages.find_prompt_features import LARGE_BYTES, FindPromptFeatures

MANIFESTS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: pool}
spec:
  endpoints: [{address: 127.0.0.1, port: 8000}]
  models: [{name: small}, {name: strong}]
---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  keywords:
  - {name: secret, words: [project falcon]}
  rules:
  - {name: first, when: %s, candidates: [{model: strong}]}
  - {name: rest, candidates: [{model: small}]}
"""
HEAD = RequestHead("POST", "/v1/chat/completions", {})
MATH = "Solve the quadratic equation 2x^2 + 3x - 5 = 0 and explain the formula for its roots."


def body(text: str) -> bytes:
    return dumps({"model": "auto", "messages": [{"role": "user", "content": text}]})


async def pipeline(when: str, **features: object) -> Pipeline:
    settings = GatewaySettings(prompt_features=PromptFeatureSettings(**features))
    compiled = compile_resources(load_texts([("a.yaml", MANIFESTS % dumps(when).decode())]), settings)
    assert not compiled.has_errors, compiled.findings
    made, _ = await offline_pipeline(compiled.snapshot, settings)
    return made


async def chosen(when: str, text: str, **features: object) -> str | None:
    record = await (await pipeline(when, **features)).consider(HEAD, body(text))
    return record.route.rule


async def test_a_rule_reads_the_topic():
    assert await chosen("prompt.domain == 'math' && prompt.domainConfidence > 0.1", MATH) == "first"
    assert await chosen("prompt.domain == 'math'", "Write a poem for my cat.") == "rest"


async def test_a_rule_looks_for_keywords_of_its_policy():
    assert await chosen("prompt.keywords('secret')", "How is Project Falcon going?") == "first"
    assert await chosen("prompt.keywords('secret')", "How is the project going?") == "rest"


async def test_a_decision_shows_what_was_read_and_no_text():
    deciding = await pipeline("prompt.domain == 'math' && !prompt.keywords('secret')")
    explained = explain(await deciding.consider(HEAD, body(MATH + " Project Falcon")), "x")
    assert explained["promptFeatures"] == {
        "prompt.domain": "math",
        "prompt.domainConfidence": explained["promptFeatures"]["prompt.domainConfidence"],
        "prompt.keywords": ["default/auto/secret"],
    }
    assert "Falcon" not in str(explained)
    shown = Console(width=200, record=True, file=StringIO())
    print_explanation(shown, explained)
    assert "prompt   domain math, domainConfidence 0." in shown.export_text()


async def test_a_rule_reads_code_and_language():
    assert await chosen("prompt.code > 0.5", "def f(x):\n    return x + 1\nprint(f(2))") == "first"
    if available():
        assert await chosen("prompt.language == 'de'", "Wie koche ich eine gute Suppe ohne Salz?") == "first"


async def test_the_gain_is_unknown_until_weights_are_named():
    record = await (await pipeline("prompt.strongGain > -1.0")).consider(HEAD, body(MATH))
    assert record.trials[0].reason == "unknown_value: prompt.strongGain"
    assert any(one.startswith("prompt.strongGain: off: ") for one in record.skipped)
    assert await chosen("prompt.strongGain > -1.0", MATH, shipped_gain=SHIPPED_NAME) == "first"


async def test_broken_weights_are_done_without_and_it_is_recorded(tmp_path):
    broken = tmp_path / "own.predictor"
    broken.write_bytes(b"x")
    deciding = await pipeline("prompt.strongGain > -1.0", gain_file=str(broken))
    record = await deciding.consider(HEAD, body(MATH))
    assert record.route.rule == "rest"
    assert any("is no predictor" in one for one in record.skipped)


@pytest.mark.parametrize("text", ["", "x", "\x00" * 50, "我" * 400_000, "\ud800 lone", "x" * 1_000_000])
async def test_any_prompt_is_read(text):
    payload = body(text.encode("utf-8", "replace").decode())
    for when in ("prompt.domain == 'law'", "prompt.keywords('secret')", "prompt.code > 0.9"):
        record = await (await pipeline(when)).consider(HEAD, payload)
        assert record.route.rule == "rest"


async def test_a_policy_that_reads_none_of_it_has_no_such_stage():
    deciding = await pipeline("request.stream")
    [entry] = deciding._plans.on_body[-1]._current.index.exact["auto"]
    assert entry.policy.features == ()


def exchange(text: str) -> Exchange:
    made = Exchange(HEAD)
    made.recognised(Call(CallKind.CHAT, "/v1/chat/completions", ""))
    made.received(body(text))
    members = {"messages": [{"role": "user", "content": text}]}
    made.read(Document("auto", False, members))
    return made


class Reader(PromptReader):
    """Notes in which thread it reads."""

    def __init__(self) -> None:
        super().__init__(lambda: load_weights(shipped_gain=None, gain_file=None))
        self.threads: list[int] = []

    def read(self, text: bytes, wanted: frozenset[str]) -> Mapping[str, object]:
        self.threads.append(threading.get_ident())
        return super().read(text, wanted)


async def find(stage: FindPromptFeatures, text: str, tenant: str = "") -> Exchange:
    made = exchange(text)
    made.identified(Identity(tenant=tenant))
    waiting = stage.apply(made)
    if waiting is not None:
        await waiting
    return made


async def test_a_large_prompt_is_read_in_a_thread():
    reader = Reader()
    stage = FindPromptFeatures(reader, FeatureCache(), CurrentIndex()).narrowed(frozenset([DOMAIN]))
    reader.threads.clear()
    here = threading.get_ident()
    assert (await find(stage, MATH)).known(DOMAIN, None) == "math"
    assert reader.threads == [here]
    await find(stage, MATH + "x" * LARGE_BYTES)
    assert reader.threads[1] != here


async def test_a_text_is_read_once_for_each_tenant():
    reader = Reader()
    stage = FindPromptFeatures(reader, FeatureCache(), CurrentIndex()).narrowed(frozenset([DOMAIN]))
    reader.threads.clear()
    for whose, reads in (("a", 1), ("a", 1), ("b", 2)):
        await find(stage, MATH, whose)
        assert len(reader.threads) == reads


async def test_weights_are_loaded_only_for_what_reads_them():
    loaded = []

    def load() -> Weights:
        loaded.append(1)
        return Weights()

    stage = FindPromptFeatures(PromptReader(load), FeatureCache(), CurrentIndex())
    stage.narrowed(frozenset([KEYWORDS, "prompt.code"]))
    assert loaded == []
    stage.narrowed(ALL)
    assert loaded == [1]


def test_plans_that_ask_for_the_same_share_a_stage():
    stage = FindPromptFeatures(PromptReader(Weights), FeatureCache(), CurrentIndex())
    assert stage.narrowed(frozenset([DOMAIN, "x"])) is stage.narrowed(frozenset([DOMAIN, "y"]))
    assert stage.narrowed(frozenset([DOMAIN])) is not stage.narrowed(frozenset([KEYWORDS]))


class Remote:
    """A classifier that is asked."""

    provides = frozenset([DOMAIN])

    def __init__(self, says: dict[str, object]) -> None:
        self.says = says
        self.asked: list[bytes] = []

    async def classify(self, text: bytes) -> Mapping[str, object]:
        self.asked.append(text)
        return self.says


async def test_a_remote_classifier_says_instead_of_what_ships():
    remote = Remote({DOMAIN: "law"})
    stage = FindPromptFeatures(PromptReader(Weights), FeatureCache(), CurrentIndex(), remote=remote)
    stage = stage.narrowed(frozenset([DOMAIN]))
    assert (await find(stage, MATH)).known(DOMAIN, None) == "law"
    await find(stage, MATH)
    assert remote.asked == [MATH.encode()]


async def test_one_that_does_not_answer_leaves_the_feature_unknown_and_is_asked_again():
    remote = Remote({})
    stage = FindPromptFeatures(PromptReader(Weights), FeatureCache(), CurrentIndex(), remote=remote)
    stage = stage.narrowed(frozenset([DOMAIN]))
    found = await find(stage, MATH)
    assert found.known(DOMAIN, None) is None
    assert found.skipped == ("remote: the classifier did not answer",)
    await find(stage, MATH)
    assert len(remote.asked) == 2


class Plugin:
    """An installed predictor."""

    provides = frozenset([DOMAIN])

    def read(self, text: bytes) -> Mapping[str, object]:
        if b"break" in text:
            raise ValueError("a bug")
        return {DOMAIN: "gardening", "prompt.code": 1.0}


class Unknowing(Plugin):
    provides = frozenset(["prompt.mood"])


@pytest.mark.parametrize(
    ("plugin", "text", "domain"),
    [(Plugin, MATH, "gardening"), (Plugin, "break", None), (Unknowing, MATH, "math")],
)
async def test_an_installed_predictor_says_instead_of_what_ships(plugin, text, domain):
    settings = PromptFeatureSettings(predictors=("mine",))
    [stage] = feature_stages(settings, CurrentIndex(), find=lambda name: plugin)
    assert (await find(stage.narrowed(frozenset([DOMAIN])), text)).known(DOMAIN, None) == domain


async def test_tokens_are_counted_where_a_vocabulary_is_named():
    pytest.importorskip("quicktok")
    text = "Count these tokens exactly, please: 1234567 8901 naïveté."
    import quicktok

    exact = quicktok.count_batch(quicktok.get_encoding("o200k_base"), [f"user\x1e{text}\x1e"])[0] + 2
    when = f"request.contextTokens == {exact}"
    assert await chosen(when, text, tokens="o200k_base") == "first"


async def test_tokens_are_estimated_where_the_package_is_away(monkeypatch, caplog):
    monkeypatch.setattr("pilotage_extproc.features.exact_tokens.PACKAGE", "no_such_package")
    assert len(feature_stages(PromptFeatureSettings(tokens="llama3"), CurrentIndex())) == 1
    assert "pip install 'pilotage[tokens]'" in caplog.text
