"""`pilotage models import`: facts from a price file, and nothing else changed."""

import json
from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_cli.failure import CommandError
from pilotage_cli.main import application
from pilotage_cli.price_file import facts_of

ENTRIES = {
    "sample_spec": {"max_input_tokens": "max input tokens"},
    "gpt-x": {
        "input_cost_per_token": 1.25e-06,
        "cache_read_input_token_cost": 1.25e-07,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_200k_tokens": 2.5e-06,
        "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "max_input_tokens": 400000,
        "max_output_tokens": 16384,
        "supports_function_calling": True,
        "supports_vision": True,
        "supports_audio_input": False,
    },
    "hosted/llama-8b": {"input_cost_per_token": 5e-8, "output_cost_per_token": 2e-7},
}
MANIFEST = """\
# pools of the team
kind: ModelPool
apiVersion: pilotage.dev/v1alpha1
metadata: {name: hosted}
spec:
  endpoints: [{address: 10.0.0.1, port: 80}]
  models:
  - name: gpt-x   # the strong one
    aliases:
    - strong

  - name: small
    upstreamName: llama-8b
    pricing: {inputPerMillion: "9"}  # ours
---
kind: RoutePolicy
apiVersion: pilotage.dev/v1alpha1
metadata: {name: auto}
spec: {rules: [{candidates: [{model: strong}]}]}
"""


@pytest.fixture
def files(tmp_path):
    prices, manifest = tmp_path / "prices.json", tmp_path / "pools.yaml"
    prices.write_text(json.dumps(ENTRIES))
    manifest.write_text(MANIFEST)
    return prices, manifest


def imported(*arguments):
    return CliRunner().invoke(application(), ["models", "import", *map(str, arguments)])


def test_facts_are_printed_and_the_file_stays_as_it_is(files):
    result = imported(*files)
    assert result.exit_code == 0
    assert 'inputPerMillion: "1.25"' in result.output
    assert "capabilities: [tools, vision]" in result.output
    assert files[1].read_text() == MANIFEST


def test_prices_of_sound_and_of_an_hour_in_the_cache_are_taken():
    entry = {
        "input_cost_per_token": 3e-06,
        "cache_creation_input_token_cost": 3.75e-06,
        "cache_creation_input_token_cost_above_1hr": 6e-06,
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
        "input_cost_per_audio_token": 4e-05,
        "output_cost_per_token": 1.5e-05,
        "output_cost_per_audio_token": 8e-05,
    }
    pricing = facts_of("m", {name: Decimal(str(price)) for name, price in entry.items()})["pricing"]
    assert pricing == {
        "inputPerMillion": "3",
        "cacheWritePerMillion": "3.75",
        "cacheWriteHourPerMillion": "6",
        "audioInputPerMillion": "40",
        "outputPerMillion": "15",
        "audioOutputPerMillion": "80",
        "tiers": [{"aboveInputTokens": 200_000, "cacheWriteHourPerMillion": "12"}],
    }


def test_what_is_written_compiles_and_every_other_line_stays(files):
    assert imported(*files, "--write").exit_code == 0
    text = files[1].read_text()
    kept = [line for line in text.splitlines() if line in MANIFEST.splitlines()]
    assert kept == MANIFEST.splitlines()
    compiled = compile_resources(load_texts([("pools.yaml", text)]), GatewaySettings())
    assert not compiled.findings
    strong, small = compiled.snapshot.pools[0].model_facts
    assert (strong.context_window, strong.capabilities) == (400_000, ("tools", "vision"))
    [tier] = strong.pricing.tiers
    assert (tier.above_input_tokens, str(tier.prices.output_per_million)) == (200_000, "15")
    assert str(small.pricing.input_per_million) == "9"  # what a model has is never changed


def test_writing_twice_adds_nothing(files):
    imported(*files, "--write")
    once = files[1].read_text()
    imported(*files, "--write")
    assert files[1].read_text() == once


def test_a_model_without_an_entry_is_told_how_to_name_one(files):
    prices, manifest = files
    manifest.write_text(MANIFEST.replace("gpt-x", "gpt-y"))
    assert "--as gpt-y=ENTRY" in imported(prices, manifest).output
    assert 'inputPerMillion: "1.25"' in imported(prices, manifest, "--as", "gpt-y=gpt-x").output


@pytest.mark.parametrize("text", ["[]", "x", "", '{"a": 1}x'])
def test_what_is_no_price_file_is_refused(files, text):
    prices, manifest = files
    prices.write_text(text)
    result = imported(prices, manifest)
    assert result.exit_code != 0


def test_a_name_for_a_model_that_is_nowhere_is_refused(files):
    result = imported(*files, "--as", "gpt-z=gpt-x", "--write")
    assert "--as names a model that no ModelPool has: gpt-z" in str(result.exception)
    assert files[1].read_text() == MANIFEST


def test_an_entry_that_the_price_file_does_not_have_is_refused_with_the_nearest(files):
    result = imported(*files, "--as", "gpt-x=gpt-xx")
    assert "no entry 'gpt-xx'; did you mean 'gpt-x'?" in str(result.exception)


def test_nothing_is_written_or_told_to_be_where_one_entry_is_wrong(files):
    prices, manifest = files
    prices.write_text(json.dumps(ENTRIES | {"llama-8b": {"max_input_tokens": -5}}))
    result = imported(prices, manifest, "--write")
    assert "entry 'llama-8b': max_input_tokens" in str(result.exception)
    assert "added" not in result.output
    assert manifest.read_text() == MANIFEST


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_cost_per_token", 10**13),
        ("input_cost_per_token", -1e-6),
        ("output_cost_per_token", 1e300),
        ("output_cost_per_token_above_200k_tokens", 101),
        ("max_input_tokens", 10**20),
        ("max_input_tokens", 1.5),
        ("max_output_tokens", -1),
        ("max_output_tokens", "999999999999"),
    ],
)
def test_a_number_that_no_model_can_have_is_refused_by_entry_and_field(files, field, value):
    prices, manifest = files
    prices.write_text(json.dumps({"gpt-x": {"input_cost_per_token": 1e-6} | {field: value}}))
    result = imported(prices, manifest, "--write")
    assert isinstance(result.exception, CommandError)
    assert f"entry 'gpt-x': {field}: " in str(result.exception)
    assert manifest.read_text() == MANIFEST


def test_a_number_of_a_million_digits_is_refused_at_once(files):
    prices, manifest = files
    prices.write_text('{"gpt-x": {"max_input_tokens": 1E+999999}}')
    assert isinstance(imported(prices, manifest).exception, CommandError)


def test_an_entry_that_no_model_asks_for_may_say_anything(files):
    prices, manifest = files
    prices.write_text(json.dumps(ENTRIES | {"other": {"input_cost_per_token": -1}}))
    assert imported(prices, manifest).exit_code == 0


numbers = (
    st.integers()
    | st.decimals(allow_nan=False)
    | st.sampled_from([Decimal("1E+999999"), 10**13, Decimal("1e-30"), Decimal("-0.0")])
)
junk = st.none() | st.booleans() | numbers | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@given(
    st.dictionaries(
        st.sampled_from([*sorted(ENTRIES["gpt-x"]), "input_cost_per_token_above_0k_tokens"]), junk
    )
)
def test_facts_of_any_entry_can_be_written_and_read_or_are_refused(entry):
    try:
        facts = facts_of("gpt-x", entry)
    except CommandError as error:
        assert "gpt-x" in str(error)
        return
    assert yaml.safe_load(yaml.safe_dump(facts)) == facts
    manifest = yaml.safe_load(MANIFEST.split("---", maxsplit=1)[0])
    manifest["spec"]["models"][0].update(facts)
    compiled = compile_resources(load_texts([("pools.yaml", yaml.safe_dump(manifest))]), GatewaySettings())
    assert not compiled.findings
