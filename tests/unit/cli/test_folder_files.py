"""A folder read again and again: files that stay are read once, and no change is missed."""

import os
from pathlib import Path

import pytest

from pilotage_cli.folder_files import FolderFiles


class Clock:
    """The time of the day; files are marked with the machine's own."""

    def __init__(self, file: Path) -> None:
        self.now = file.stat().st_ctime_ns

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def file(tmp_path) -> Path:
    one = tmp_path / "a.yaml"
    one.write_text("one")
    return one


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Names of the files whose text is read."""
    found: list[str] = []
    read_text = Path.read_text

    def noted(path: Path, *options: str) -> str:
        found.append(path.name)
        return read_text(path, *options)

    monkeypatch.setattr(Path, "read_text", noted)
    return found


def texts(files: FolderFiles) -> list[tuple[str, str]]:
    return files.read()[0]


def test_a_file_that_stays_is_read_until_its_last_change_is_seconds_ago(file, reads):
    clock = Clock(file)
    files = FolderFiles(file.parent, now_ns=clock)
    for _ in range(3):
        assert texts(files) == [("a.yaml", "one")]
    assert len(reads) == 3, "it may be written again within the same tick of the file system's clock"
    clock.now += 4_000_000_000
    for _ in range(3):
        assert texts(files) == [("a.yaml", "one")]
    assert len(reads) == 4


def test_a_change_is_seen_however_the_file_is_dressed_up(file, reads):
    clock = Clock(file)
    clock.now += 60_000_000_000
    files = FolderFiles(file.parent, now_ns=clock)
    assert texts(files) == [("a.yaml", "one")]
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert texts(files) == [("a.yaml", "two")]
    other = file.with_suffix(".new")
    other.write_text("six")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert texts(files) == [("a.yaml", "six")]


def test_a_mounted_config_map_that_is_swapped_is_seen(tmp_path):
    for version, text in (("..1", "one"), ("..2", "two")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(text)
    data = tmp_path / "..data"
    data.symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    clock = Clock(tmp_path / "a.yaml")
    clock.now += 60_000_000_000
    files = FolderFiles(tmp_path, now_ns=clock)
    assert texts(files) == [("a.yaml", "one")]
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(data)
    assert texts(files) == [("a.yaml", "two")]


def test_a_file_that_goes_and_comes_back_is_read_anew(file, reads):
    clock = Clock(file)
    clock.now += 60_000_000_000
    files = FolderFiles(file.parent, now_ns=clock)
    texts(files)
    hidden = file.rename(file.with_name(".a.yaml"))
    assert texts(files) == []
    hidden.rename(file)
    assert texts(files) == [("a.yaml", "one")]
    assert len(reads) == 2
