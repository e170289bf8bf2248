"""A folder of manifests: what is read, and what is compiled again when it changes."""

import os
from pathlib import Path

import pytest
import yaml

from pilotage_api.settings import GatewaySettings
from pilotage_cli.folder import FolderSource, load_folder
from pilotage_cli.folder_files import MAX_FILES, FolderError, FolderFiles

POOL = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "small"},
    "spec": {"endpoints": [{"address": "10.0.0.1", "port": 8000}], "models": [{"name": "m"}]},
}
SETTINGS = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": {"maxAttempts": 2}}


def write(folder: Path, name: str, *resources: dict) -> None:
    (folder / name).write_text(yaml.safe_dump_all(resources))


def test_manifests_are_read_in_order_and_other_files_are_not(tmp_path):
    for name in ("b.yaml", "a.yml", "c.json", "README.md", ".hidden.yaml", "d.yaml~"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.yaml").mkdir()
    texts, findings = FolderFiles(tmp_path).read()
    assert ([name for name, _ in texts], findings) == (["a.yml", "b.yaml", "c.json"], [])


def test_one_file_will_do(tmp_path):
    write(tmp_path, "all.yaml", POOL)
    assert len(load_folder(tmp_path / "all.yaml").resources) == 1


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(POOL).encode())
    loaded = load_folder(tmp_path)
    assert (loaded.findings, len(loaded.resources)) == ([], 1)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FolderError, match="no does not exist"):
        load_folder(tmp_path / "no")


def test_too_many_files_are_refused(tmp_path):
    for number in range(MAX_FILES + 1):
        (tmp_path / f"{number}.yaml").touch()
    with pytest.raises(FolderError, match="more than 10000"):
        FolderFiles(tmp_path).read()


@pytest.mark.parametrize(("content", "says"), [(b"\xff\xfe", "not UTF-8"), (b"#" * (5 << 20), "larger than")])
def test_a_file_that_cannot_be_used_is_told_and_others_are_read(tmp_path, content, says):
    (tmp_path / "bad.yaml").write_bytes(content)
    write(tmp_path, "good.yaml", POOL)
    loaded = load_folder(tmp_path)
    [finding] = loaded.findings
    assert says in finding.message
    assert finding.file == "bad.yaml"
    assert loaded.unreadable == {"bad.yaml"}
    assert len(loaded.resources) == 1


def test_a_link_to_nowhere_is_told(tmp_path):
    (tmp_path / "a.yaml").symlink_to(tmp_path / "gone")
    assert [one.code for one in load_folder(tmp_path).findings] == ["unreadable"]


def test_what_is_not_a_regular_file_is_told_and_waited_for_by_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    write(tmp_path, "good.yaml", POOL)
    loaded = load_folder(tmp_path)
    assert [(one.code, one.message, one.source) for one in loaded.findings] == [
        ("unreadable", "cannot be read: not a regular file", "pipe.yaml")
    ]
    assert len(loaded.resources) == 1


def test_a_file_that_becomes_a_pipe_keeps_what_it_held(tmp_path):
    write(tmp_path, "a.yaml", POOL)
    source = FolderSource(tmp_path, GatewaySettings())
    first = source.changed()
    (tmp_path / "a.yaml").unlink()
    os.mkfifo(tmp_path / "a.yaml")
    second = source.changed()
    assert first is not None
    assert second is not None
    assert second.snapshot == first.snapshot


def test_a_source_compiles_only_what_changed(tmp_path):
    write(tmp_path, "a.yaml", POOL)
    source = FolderSource(tmp_path, GatewaySettings())
    first = source.changed()
    assert first is not None
    assert source.changed() is None
    write(tmp_path, "b.yaml", {**POOL, "metadata": {"name": "other"}})
    second = source.changed()
    assert second is not None
    assert [one.key for one in second.snapshot.pools] == ["default/other", "default/small"]


def test_a_broken_file_keeps_what_it_held(tmp_path):
    write(tmp_path, "a.yaml", POOL)
    source = FolderSource(tmp_path, GatewaySettings())
    first = source.changed()
    (tmp_path / "a.yaml").write_bytes(b"\xff")
    second = source.changed()
    assert first is not None
    assert second is not None
    assert second.snapshot == first.snapshot
    assert [one.code for one in second.findings] == ["unreadable", "last-good"]


def test_changed_settings_are_told_to_need_a_new_start(tmp_path):
    write(tmp_path, "pilotage.yaml", SETTINGS)
    source = FolderSource(tmp_path, GatewaySettings(max_attempts=2))
    first = source.changed()
    assert first is not None
    assert first.findings == ()
    write(tmp_path, "pilotage.yaml", {**SETTINGS, "spec": {"maxAttempts": 3}})
    second = source.changed()
    assert second is not None
    assert [(one.code, one.fix) for one in second.findings] == [("settings-changed", "start again")]
    (tmp_path / "pilotage.yaml").write_text("[")
    third = source.changed()
    assert third is not None
    assert [one.code for one in third.findings] == ["unreadable"]
