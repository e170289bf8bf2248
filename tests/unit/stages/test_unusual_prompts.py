"""Of prompts that are like nothing in training no topic is told, and choices go by the models' priors."""

import os

import pytest
from orjson import dumps

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings, PromptFeatureSettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.features.weights_files import SHIPPED_NAME
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.server.offline import offline_pipeline

MANIFESTS = """
kind: ModelPool
apiVersion: pilotage.dev/v1alpha1
metadata: {name: pool}
spec:
  endpoints: [{address: 127.0.0.1, port: 8000}]
  models:
  - {name: small, quality: {default: "0.6"}}
  - {name: strong, quality: {default: "0.7"}}
---
kind: RoutePolicy
apiVersion: pilotage.dev/v1alpha1
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules:
  - name: topic
    when: prompt.domain != 'other'
    candidates: [{model: small}]
  - name: best
    candidates: [{model: small}, {model: strong}]
    objective: {weights: {quality: 1}, strongGain: {weak: small, strong: strong}}
"""
NOTHING_IS_KNOWN_OF = {
    "one character": "x",
    "one character of another script": "我",
    "a megabyte of one word": "x " * 500_000,
    "a megabyte of another script": "我们" * 170_000,
    "random bytes": os.urandom(4000).decode("latin-1"),
    "random digits": os.urandom(2000).hex(),
    "Amharic": "እባክዎ ይህን ውል ያብራሩ እና መቼ ሊቋረጥ እንደሚችል ይንገሩኝ።",
    "Chinese": "请解释一下这份合同中的不可抗力条款,并说明在什么情况下可以终止合同。",
    "Hindi": "कृपया इस अनुबंध में अप्रत्याशित घटना खंड की व्याख्या करें और बताएं।",
}
LITTLE_IS_KNOWN_OF = {
    "Finnish": "Selitä minulle, mitä tarkoittaa ylivoimainen este ja milloin sopimus voidaan purkaa.",
    "Swahili": "Tafadhali eleza kifungu cha nguvu kubwa na useme ni lini mkataba unaweza kusitishwa.",
    "Yoruba": "Jọ̀wọ́ ṣàlàyé ohun tí àdéhùn yìí túmọ̀ sí, kí o sì sọ ìgbà tí a lè fòpin sí i.",
}


async def chosen(text, **features):
    settings = GatewaySettings(prompt_features=PromptFeatureSettings(**features))
    compiled = compile_resources(load_texts([("a.yaml", MANIFESTS)]), settings)
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, settings)
    body = dumps({"model": "auto", "messages": [{"role": "user", "content": text}]})
    record = await pipeline.consider(RequestHead("POST", "/v1/chat/completions", {}), body)
    assert record.route.rule == "best", "a topic was told"
    return explain(record, "x")["choice"]


def qualities(choice):
    return {one["model"]: one["quality"] for one in choice["candidates"]}


@pytest.mark.parametrize("text", NOTHING_IS_KNOWN_OF.values(), ids=NOTHING_IS_KNOWN_OF)
async def test_of_what_is_like_nothing_known_the_priors_stand(text):
    choice = await chosen(text, shipped_gain=SHIPPED_NAME)
    assert choice["features"]["strongGain"]["confidence"] < 0.1
    assert qualities(choice) == pytest.approx({"small": 0.6, "strong": 0.7}, abs=0.005)


@pytest.mark.parametrize("text", LITTLE_IS_KNOWN_OF.values(), ids=LITTLE_IS_KNOWN_OF)
async def test_in_languages_that_were_not_seen_confidence_falls(text):
    choice = await chosen(text, shipped_gain=SHIPPED_NAME)
    assert choice["features"]["strongGain"]["confidence"] < 0.7
    assert qualities(choice) == pytest.approx({"small": 0.6, "strong": 0.7}, abs=0.03)


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 100, b"pilotage-predictor 99 0\n", os.urandom(3 << 20)],
    ids=["empty", "no predictor", "another version", "too large"],
)
async def test_with_a_file_of_weights_that_cannot_be_used_the_priors_stand(tmp_path, content):
    own = tmp_path / "own.predictor"
    own.write_bytes(content)
    choice = await chosen("Write a poem for my cat, please.", gain_file=str(own))
    assert choice["features"]["strongGain"] is None
    assert qualities(choice) == {"small": 0.6, "strong": 0.7}
