"""`pilotage eval` reads answers, judges, trains and exports; what is wrong is told with line and fix."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage_cli.failure import CommandError
from pilotage_cli.main import application


def run(*words: str) -> str:
    done = CliRunner().invoke(application(), ["eval", *words], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(count: int = 60, **more: object) -> list[dict]:
    found = []
    for one in range(count):
        hard = one % 2 == 1
        prompt = f"Prove lemma {one} about groups" if hard else f"Say hello to guest {one}"
        for model, right in (("weak", not hard), ("strong", True)):
            found.append({"prompt": prompt, "model": model, "correct": right, "group": str(one % 3), **more})
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def test_weights_of_own_labels_are_trained_and_judged(data, tmp_path):
    out, picture = tmp_path / "own.predictor", tmp_path / "curves.svg"
    told = run("train", "--labels", str(data), "--weak", "weak", "--strong", "strong", "--out", str(out))
    assert "trained on 60 labels" in told
    shown = run(
        *("run", str(data), "--weak", "weak", "--strong", "strong", "--predictor", str(out)),
        *("--output", "json", "--svg", str(picture)),
    )
    found = json.loads(shown)
    assert found["prompts"] == 60
    assert found["alwaysWeak"]["quality"] == 0.5
    assert found["figures"]["router"]["apgr"] > 0.7
    assert found["figures"]["oracle"]["apgr"] == pytest.approx(0.75)
    assert found["fittedHere"]["prompts_left_out"] > 0.6
    assert found["costUnit"] == "calls"
    root = ElementTree.fromstring(picture.read_text())
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 4


def test_a_table_is_printed(data):
    shown = run("run", str(data), "--weak", "weak", "--strong", "strong")
    assert "CPT(80)" in shown
    assert "always-strong" in shown


@pytest.mark.parametrize(
    ("more", "unit"), [({"cost": "0.001"}, "usd"), ({"tokens": 12}, "tokens"), ({}, "calls")]
)
def test_costs_are_dollars_else_tokens_else_calls(tmp_path, more, unit):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(20, **more)))
    shown = run("run", str(path), "--weak", "weak", "--strong", "strong", "--output", "json")
    assert json.loads(shown)["costUnit"] == unit


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "a.jsonl:1: is no JSON"),
        ("[]", "is no object"),
        ('{"prompt": "a", "model": "weak"}', "has not one of `correct`"),
        ('{"prompt": "a", "model": "weak", "correct": true, "score": 1}', "has not one of `correct`"),
        ('{"prompt": "a", "model": "weak", "score": 1.5}', "has not one of `correct`"),
        ('{"prompt": "a", "model": "weak", "correct": true, "cost": "-1"}', "`cost` is no amount"),
        ('{"prompt": "a", "model": "weak", "correct": true, "cost": "many"}', "`cost` is no amount"),
        ('{"prompt": "a", "model": "weak", "correct": true, "tokens": 1.5}', "`tokens` is no integer"),
        ('{"model": "weak", "correct": true}', "`prompt` is no text"),
        ('{"prompt": "a", "correct": true}', "`model` is no text"),
        ('{"prompt": "a", "model": "weak", "right": true}', "unknown field 'right'"),
        ('{"prompt": "a", "model": "weak", "correct": true}', "no answers of 'strong'"),
        ("", "has no answers"),
    ],
)
def test_a_wrong_line_is_told_with_its_field(tmp_path, line, told):
    path = tmp_path / "a.jsonl"
    path.write_text(line)
    with pytest.raises(CommandError, match=told):
        run("run", str(path), "--weak", "weak", "--strong", "strong")


def test_two_models_are_told_apart_and_the_better_one_is_the_strong_one(data):
    with pytest.raises(CommandError, match="both 'weak': name two models"):
        run("run", str(data), "--weak", "weak", "--strong", "weak")
    with pytest.raises(CommandError, match=r"'weak' is no better than 'strong' .* \(0.500, 1.000\)"):
        run("run", str(data), "--weak", "strong", "--strong", "weak")


@pytest.mark.parametrize("command", [("run",), ("train", "--out", "x", "--labels")])
def test_a_handful_of_prompts_is_refused(tmp_path, command):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(4)))
    with pytest.raises(CommandError, match="4 prompts in common: at least 20"):
        run(*command, str(path), "--weak", "weak", "--strong", "strong")


@pytest.mark.parametrize("command", [("run", "--svg"), ("train", "--out")])
def test_a_file_that_cannot_be_written_is_named(data, tmp_path, command):
    nowhere = tmp_path / "missing" / "file"
    labels = ("--labels", str(data)) if command[0] == "train" else (str(data),)
    with pytest.raises(CommandError, match="missing/file cannot be written"):
        run(*command, str(nowhere), *labels, "--weak", "weak", "--strong", "strong")


@pytest.mark.parametrize("text", ['{"x": 1}', "3", "[3]", "{"])
def test_what_holds_no_decisions_is_not_exported(tmp_path, text):
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=r"d\.json"):
        run("export", str(path))


@pytest.mark.parametrize(
    "words",
    [(), ("--labels", "x.jsonl", "--routellm", "y"), ("--labels", "x.jsonl"), ("--routellm", "nowhere")],
)
def test_what_to_train_on_has_to_be_named(tmp_path, words):
    with pytest.raises(CommandError):
        run("train", *words, "--out", str(tmp_path / "out"))


def test_decisions_are_exported_without_text_and_joined_with_labels(tmp_path):
    decided = {
        "decision": "d1",
        "attempts": [{"address": "10.0.0.1:80", "pool": "default/p", "model": "small"}],
        "promptFeatures": {"prompt.domain": "law"},
        "outcome": {"status": 200, "servedBy": "10.0.0.1:80", "usage": {"outputTokens": 7}},
    }
    open_one = {"decision": "d2", "attempts": [], "outcome": None}
    decisions, labels = tmp_path / "decisions.json", tmp_path / "labels.jsonl"
    decisions.write_text(json.dumps({"decisions": [decided, open_one]}))
    labels.write_text('{"decision": "d1", "correct": true, "prompt": "my own text"}\n')
    expected = {"decision": "d1", "model": "small", "features": {"prompt.domain": "law"}, "tokens": 7}
    assert json.loads(run("export", str(decisions))) == expected
    joined = run("export", str(decisions), "--labels", str(labels))
    assert json.loads(joined) == {**expected, "correct": True, "prompt": "my own text"}
    again = tmp_path / "again.jsonl"
    again.write_text(joined)
    with pytest.raises(CommandError, match="no answers of 'strong'"):
        run("run", str(again), "--weak", "small", "--strong", "strong")


def test_an_export_without_text_says_what_is_missing(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"decision": "d1", "model": "small", "features": {}, "tokens": 7, "correct": true}\n')
    with pytest.raises(CommandError, match="exports of decisions have none"):
        run("run", str(path), "--weak", "small", "--strong", "strong")
