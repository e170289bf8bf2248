"""What is wrong keeps its last good form; what is gone goes."""

import yaml
from api_manifests import brief, namespace, policy, pool

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings


class Folder:
    """Files that are compiled again and again."""

    def __init__(self, **files: list[dict]) -> None:
        self.files = {f"{name}.yaml": yaml.safe_dump_all(resources) for name, resources in files.items()}
        self.last: Compiled | None = None

    def compile(self) -> Compiled:
        last_good = self.last.in_force if self.last else None
        self.last = compile_resources(load_texts(self.files.items()), GatewaySettings(), last_good)
        return self.last

    def edit(self, name: str, old: str, new: str) -> Compiled:
        assert old in self.files[name]
        self.files[name] = self.files[name].replace(old, new)
        return self.compile()


def pools_of(compiled: Compiled) -> list[str]:
    return [one.key for one in compiled.snapshot.pools]


def test_a_resource_edited_to_something_wrong_keeps_its_last_good_form():
    folder = Folder(all=[pool("a", ["m"]), pool("b", ["n"])])
    before = folder.compile()
    after = folder.edit("all.yaml", "name: m", "nam: m")
    assert after.snapshot == before.snapshot
    assert ("warning", "last-good", "") in brief(after.findings)
    assert after.has_errors
    mended = folder.edit("all.yaml", "nam: m", "name: better")
    assert mended.findings == ()
    assert "better" in mended.snapshot.names


def test_it_is_kept_however_often_the_wrong_form_is_compiled():
    folder = Folder(all=[pool("a", ["m"])])
    before = folder.compile()
    folder.edit("all.yaml", "name: m", "nam: m")
    folder.edit("all.yaml", "nam: m", "nom: m")
    assert folder.edit("all.yaml", "nom: m", "[").snapshot == before.snapshot
    assert folder.compile().snapshot == before.snapshot


def test_rules_no_schema_can_say_count_as_wrong_too():
    candidates = [{"model": "m", "weight": 1}, {"model": "n", "weight": 2}]
    folder = Folder(all=[pool("a", ["m", "n"]), policy("split", candidates=candidates)])
    before = folder.compile()
    after = folder.edit("all.yaml", "      weight: 2\n", "")
    assert brief(after.findings) == [
        ("error", "invalid-weights", "spec.rules[0].candidates"),
        ("warning", "last-good", ""),
    ]
    assert after.snapshot == before.snapshot


def test_all_resources_of_an_unreadable_file_stay():
    folder = Folder(a=[pool("a"), pool("b")], c=[pool("c")])
    folder.compile()
    after = folder.edit("a.yaml", "kind: ModelPool", "kind: [")
    assert pools_of(after) == ["default/a", "default/b", "default/c"]
    assert brief(after.findings) == [("error", "unreadable", ""), *[("warning", "last-good", "")] * 2]


def test_a_resource_whose_kind_or_group_was_misspelt_stays():
    for old, new in (
        ("kind: ModelPool", "kind: ModelPol"),
        ("apiVersion: pilotage.dev/", "apiVersion: pilotag.dev/"),
    ):
        folder = Folder(a=[pool("a")])
        folder.compile()
        assert pools_of(folder.edit("a.yaml", old, new)) == ["default/a"]


def test_a_resource_that_lost_its_name_stays():
    folder = Folder(a=[pool("a")])
    folder.compile()
    assert pools_of(folder.edit("a.yaml", "  name: a\n", "")) == ["default/a"]


def test_a_resource_that_is_gone_goes():
    folder = Folder(a=[pool("a"), pool("b")], c=[pool("c")])
    folder.compile()
    folder.files["a.yaml"] = yaml.safe_dump(pool("b"))
    assert pools_of(folder.compile()) == ["default/b", "default/c"]
    del folder.files["c.yaml"]
    assert pools_of(folder.compile()) == ["default/b"]


def test_a_resource_can_move_to_another_file_while_its_old_one_is_broken():
    folder = Folder(a=[pool("a", ["old"])])
    folder.compile()
    folder.files = {"a.yaml": "[", "b.yaml": yaml.safe_dump(pool("a", ["new"]))}
    assert sorted(folder.compile().snapshot.names) == ["new"]


def test_labels_of_a_namespace_in_a_broken_file_stay():
    allowed = {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}
    folder = Folder(
        n=[namespace("default", team="x")], p=[pool("p", namespace="other", allowedNamespaces=allowed)]
    )
    assert pools_of(folder.compile()) == ["other/p"]
    good = folder.files["n.yaml"]
    assert pools_of(folder.edit("n.yaml", "team: x", "team: [")) == ["other/p"]
    folder.files["n.yaml"] = good
    assert pools_of(folder.edit("n.yaml", "team: x", "team: 1")) == ["other/p"]
    folder.files["n.yaml"] = good
    assert pools_of(folder.edit("n.yaml", "team: x", "team: y")) == []


def test_without_a_last_good_form_a_wrong_resource_is_left_out():
    folder = Folder(a=[pool("a", engine="x")])
    assert pools_of(folder.compile()) == []


def test_a_pool_that_is_dropped_in_takes_over_no_name():
    echo = [{"name": "echo-model", "aliases": ["echo"]}]
    folder = Folder(echo=[pool("echo", echo)])
    folder.compile()
    folder.files["aaa.yaml"] = yaml.safe_dump(pool("aaa", [{"name": "other", "aliases": ["echo"]}]))
    for _ in range(3):  # however often: the one that lost once is not younger any more than it was
        after = folder.compile()
        assert [one.pool for one in after.snapshot.names["echo"]] == ["default/echo"]
        [finding] = after.findings
        assert (finding.code, finding.resource.name, finding.path) == (
            "name-conflict",
            "aaa",
            "spec.models[0].aliases[0]",
        )
    assert sorted(after.snapshot.names) == ["echo", "echo-model", "other"]


def test_a_pool_that_is_edited_takes_over_no_name():
    folder = Folder(a=[pool("aaa", ["other"])], b=[pool("echo", [{"name": "m", "aliases": ["echo"]}])])
    folder.compile()
    after = folder.edit("a.yaml", "name: other", "name: echo")
    assert [one.pool for one in after.snapshot.names["echo"]] == ["default/echo"]
    assert brief(after.findings) == [("error", "name-conflict", "spec.models[0].name")]


def test_a_name_that_is_given_up_goes_to_the_one_that_waited():
    folder = Folder(
        a=[pool("a", [{"name": "one", "aliases": ["x"]}])], b=[pool("b", [{"name": "two", "aliases": ["x"]}])]
    )
    first = folder.compile()
    assert [one.pool for one in first.snapshot.names["x"]] == ["default/a"]
    after = folder.edit("a.yaml", "- x", "- y")
    assert after.findings == ()
    assert [one.pool for one in after.snapshot.names["x"]] == ["default/b"]
    back = folder.edit("a.yaml", "- y", "- x")
    assert [one.pool for one in back.snapshot.names["x"]] == ["default/b"]


def test_a_broken_file_loses_no_name_to_another():
    folder = Folder(echo=[pool("echo", [{"name": "m", "aliases": ["echo"]}])])
    folder.compile()
    folder.edit("echo.yaml", "kind: ModelPool", "kind: [")
    folder.files["aaa.yaml"] = yaml.safe_dump(pool("aaa", ["echo"]))
    assert [one.pool for one in folder.compile().snapshot.names["echo"]] == ["default/echo"]


def test_an_older_pool_of_an_api_server_wins_also_when_it_is_seen_later():
    folder = Folder(new=[pool("new", [{"name": "m", "aliases": ["x"]}], created="2026-02-01T00:00:00Z")])
    folder.compile()
    folder.files["old.yaml"] = yaml.safe_dump(pool("old", ["x"], created="2026-01-01T00:00:00Z"))
    assert [one.pool for one in folder.compile().snapshot.names["x"]] == ["default/old"]
