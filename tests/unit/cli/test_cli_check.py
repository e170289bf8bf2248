"""`pilotage check`: exit codes, and findings for people and for machines."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pilotage_cli.failure import CommandError
from pilotage_cli.main import application

EXAMPLES = Path(__file__).parents[3] / "examples"
POOL = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "small"},
    "spec": {"endpoints": [{"address": "10.0.0.1", "port": 8000}], "models": [{"name": "m"}]},
}


def check(folder: Path, *more: str) -> tuple[int, str]:
    ran = CliRunner().invoke(application(), ["check", "-f", str(folder), *more])
    return ran.exit_code, ran.output


NOT_HERE = {"fallback": ("credential-missing", "authorities-missing")}
"""What the commands of an example's README make first."""


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_every_example_is_clean(example):
    """They hold resources of other groups too, and values of the chart."""
    code, output = check(EXAMPLES / example, "--output", "json")
    assert code == 0, output
    found = json.loads(output)
    assert found["errors"] == 0
    assert {one["code"] for one in found["findings"] if one["severity"] == "warning"} <= {
        "foreign",
        *NOT_HERE.get(example, ()),
    }


def test_what_names_no_namespace_is_in_the_one_that_is_asked_for_as_with_kubectl(tmp_path):
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "lost"},
        "spec": {
            "match": {"models": ["auto"]},
            "rules": [{"candidates": [{"model": "m"}, {"model": "nobody"}]}],
        },
    }
    elsewhere = {
        **POOL,
        "metadata": {"name": "other", "namespace": "other"},
        "spec": {**POOL["spec"], "models": [{"name": "n"}]},
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([POOL, policy, elsewhere]))
    found = {}
    for more in ((), ("-n", "models"), ("--namespace", "other")):
        code, output = check(tmp_path, "--output", "json", *more)
        assert code == 0
        found[more] = {one["resource"]: one["code"] for one in json.loads(output)["findings"]}
    # the gateway obeys that namespace, so its policy is used, and pools of others are not
    assert found[()]["RoutePolicy default/lost"] == "no-such-model"
    assert found[()]["ModelPool other/other"] == "pool-not-used"
    assert found["-n", "models"]["RoutePolicy models/lost"] == "no-such-model"
    assert found["-n", "models"]["ModelPool other/other"] == "pool-not-used"
    assert found["--namespace", "other"]["RoutePolicy other/lost"] == "no-such-model"
    assert "ModelPool other/other" not in found["--namespace", "other"]


def test_a_folders_own_settings_say_which_namespaces_are_obeyed(tmp_path):
    settings = {**POOL, "kind": "GatewaySettings", "spec": {"namespaces": ["a"]}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([POOL, settings]))
    assert "pool-not-used" not in check(tmp_path, "-n", "a")[1]
    assert "ModelPool b/small" in check(tmp_path, "-n", "b")[1]


def test_what_is_no_name_of_a_namespace_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(POOL))
    ran = CliRunner().invoke(application(), ["check", "-f", str(tmp_path), "-n", "Not/One"])
    assert isinstance(ran.exception, CommandError)
    assert "--namespace" in str(ran.exception)


def test_warnings_alone_exit_0(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**POOL, "spec": {**POOL["spec"], "endpoints": []}}))
    code, output = check(tmp_path)
    assert (code, "0 errors, 1 warning" in output) == (0, True)


def test_an_error_exits_1_and_shows_place_message_and_fix(tmp_path):
    spec = {**POOL["spec"], "enginee": "vllm"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**POOL, "spec": spec}, sort_keys=False))
    code, output = check(tmp_path)
    assert code == 1
    assert "error ModelPool default/small spec.enginee (a.yaml:11): unknown field 'enginee'" in output
    assert "fix: did you mean 'engine'?" in output
    assert "0 pools, 0 policies, 1 error, 0 warnings" in output


def test_json_has_every_part_of_a_finding(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**POOL, "spec": {}}))
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    code, output = check(tmp_path, "--output", "json")
    told = json.loads(output)
    assert (code, told["errors"], told["warnings"]) == (1, 1, 1)
    assert told["findings"][0] == {
        "severity": "error",
        "code": "missing-field",
        "message": "required field is missing",
        "resource": "ModelPool default/small",
        "path": "spec.models",
        "fix": "add spec.models",
        "source": "a.yaml:5",
        "file": "a.yaml",
        "line": 5,
    }
    assert told["findings"][1]["severity"] == "warning"
    assert len(told["snapshot"]) == 16


def test_markup_in_a_manifest_is_shown_as_it_is(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**POOL, "[bold]x[/bold]": 1}))
    assert "[bold]x[/bold]" in check(tmp_path)[1]


def test_a_folder_that_is_not_there_is_exit_2(tmp_path):
    ran = CliRunner().invoke(application(), ["check", "-f", str(tmp_path / "no")])
    assert isinstance(ran.exception, CommandError)
    assert ran.exception.exit_code == 2


def test_a_file_that_is_no_yaml_is_named_with_its_line(tmp_path):
    (tmp_path / "broken.yaml").write_text("kind: RoutePolicy\nspec: [\n")
    code, output = check(tmp_path)
    assert code == 1
    assert output.startswith("error (broken.yaml:3): ")


HOSTED = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "hosted"},
    "spec": {
        "external": {"host": "api.openai.com", "auth": {"env": "HOSTED_KEY"}},
        "models": [{"name": "gpt-x"}],
    },
}


def test_a_credential_that_is_not_there_is_told_and_one_that_is_never_shown(tmp_path, monkeypatch):
    (tmp_path / "hosted.yaml").write_text(yaml.safe_dump(HOSTED))
    monkeypatch.delenv("HOSTED_KEY", raising=False)
    code, output = check(tmp_path)
    assert code == 0
    assert "the environment has no variable HOSTED_KEY" in output
    for value, told in (("sk-SECRET", ""), ("sk-SECRET\nmore", "more than one line")):
        monkeypatch.setenv("HOSTED_KEY", value)
        code, output = check(tmp_path)
        assert told in output
        assert "SECRET" not in output
    assert "HOSTED_KEY" in output


def test_authorities_that_are_not_there_are_told_for_the_pools_that_need_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTED_KEY", "k")
    authorities = tmp_path / "authorities.pem"
    settings = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "GatewaySettings",
        "spec": {"providers": {"caFile": str(authorities)}},
    }
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "hosted.yaml").write_text(yaml.safe_dump_all([HOSTED, settings]))
    code, output = check(folder)
    assert code == 0
    assert f"there is no file {authorities} (providers.caFile)" in output
    authorities.write_text("")
    assert "providers.caFile" not in check(folder)[1]


def test_a_host_of_ones_own_network_is_told_the_setting_that_allows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTED_KEY", "k")
    external = {**HOSTED["spec"]["external"], "host": "localhost"}
    pool = {**HOSTED, "spec": {**HOSTED["spec"], "external": external}}
    (tmp_path / "hosted.yaml").write_text(yaml.safe_dump(pool))
    settings = "apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\nspec: {}\n"
    (tmp_path / "pilotage.yaml").write_text(settings)
    code, output = check(tmp_path)
    assert code == 1
    assert "providers.networks" in output


def test_what_cannot_work_under_the_gateway_that_is_named_is_refused(tmp_path):
    policy = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "RoutePolicy",
        "metadata": {"name": "late"},
        "spec": {"rules": [{"candidates": [{"model": "m"}], "timeouts": {"total": "10s"}}]},
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([POOL, policy]))
    assert check(tmp_path)[0] == 0
    code, output = check(tmp_path, "--gateway", "other")
    assert code == 1
    assert "spec.rules[0].timeouts" in output
    assert "has no effect under another gateway" in output
    (tmp_path / "pilotage.yaml").write_text(
        "apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\nspec: {gateway: inferencePool}\n"
    )
    code, output = check(tmp_path)
    assert code == 1
    assert "no policy is asked where the gateway has chosen the pool" in output
    assert check(tmp_path, "--gateway", "bundled")[0] == 0


@pytest.mark.parametrize(
    ("example", "gateway"),
    [
        ("kubernetes", "other"),
        ("envoy-gateway", "other"),
        ("istio", "inferencePool"),
        ("agentgateway", "inferencePool"),
        ("gke", "inferencePool"),
    ],
)
def test_examples_for_other_gateways_ask_for_nothing_that_does_not_work_there(example, gateway):
    code, output = check(EXAMPLES / example, "--gateway", gateway)
    assert code == 0, output
