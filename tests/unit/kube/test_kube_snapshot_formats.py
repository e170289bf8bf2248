"""Snapshots of two formats in one store: who follows which, and how long each is kept."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import snapshot_of

from pilotage_api.previous_snapshot import PreviousSnapshot, lowered
from pilotage_kube.snapshot_codec import SnapshotParser, content_of, encode, encode_previous
from pilotage_kube.snapshot_head import (
    Head,
    Manifest,
    SnapshotFault,
    head_text,
    read_head,
    shard_names,
    successor,
    successor_for_older,
)

FORMER = Path(__file__).parents[2] / "fixtures" / "version-before"
NONE: frozenset[str] = frozenset()


class FormerManifest(msgspec.Struct, frozen=True):
    """What a reader of the version before knows of a manifest."""

    version: str
    sha256: str
    size: int
    shards: tuple[object, ...]


class FormerHead(msgspec.Struct, frozen=True):
    """And of a head: as the version before has it, unknown fields are passed over."""

    current: FormerManifest | None = None
    retained: tuple[FormerManifest, ...] = ()
    format: int = 1


def manifests(content_format: int, *versions: str) -> list[Manifest]:
    return [Manifest(version, "", 0, (), content_format) for version in versions]


def names(manifests: tuple[Manifest, ...]) -> list[str]:
    return [one.version for one in manifests]


async def test_content_of_the_version_before_is_read_as_todays():
    head = read_head((FORMER / "head.json").read_text())
    content = (FORMER / "content.json").read_bytes()
    assert head.current.format == 1
    parsed = await SnapshotParser().parse(content, head.current.version, head.current.format)
    former = PreviousSnapshot.model_validate_json(content)
    assert (parsed.version, parsed.names) == (head.current.version, former.names)
    assert parsed.pools == tuple(pool.upgraded() for pool in former.pools)
    assert [one.rules[0].candidates for one in parsed.routes] == [
        one.rule.candidates for one in former.routes
    ]


@given(policies=st.integers(0, 60), shard_bytes=st.integers(200, 3000))
async def test_what_is_lowered_comes_back_as_it_was(policies, shard_bytes):
    snapshot = snapshot_of(policies)
    encoded = encode_previous(lowered(snapshot).snapshot, "s-", shard_bytes)
    content = content_of(encoded.manifest, encoded.data)
    parsed = await SnapshotParser().parse(content, encoded.manifest.version, encoded.manifest.format)
    assert parsed == snapshot.model_copy(update={"version": encoded.manifest.version})


async def test_formats_are_not_taken_for_each_other():
    snapshot = snapshot_of(2)
    newer, older = encode(snapshot, "s-"), encode_previous(lowered(snapshot).snapshot, "s-")
    for encoded, wrong in ((newer, 1), (older, 2)):
        with pytest.raises(SnapshotFault, match="cannot be read"):
            await SnapshotParser().parse(content_of(encoded.manifest, encoded.data), "v", wrong)
    with pytest.raises(SnapshotFault, match="has format 3, this version reads 1 and 2: upgrade extproc"):
        await SnapshotParser().parse(b"{}", "v", 3)


def test_a_reader_of_the_version_before_finds_what_it_can_read_and_todays_the_newest():
    [newest], [older] = manifests(2, "new"), manifests(1, "old")
    head = successor_for_older(Head(), newest, older, NONE)
    former = msgspec.json.decode(head_text(head), type=FormerHead)
    assert (former.format, former.current.version) == (1, "old")
    assert read_head(head_text(head)).readable((1, 2)) == newest
    assert head.readable((1,)) == older


def test_todays_reader_follows_a_head_of_the_version_after_in_the_format_both_know():
    [newest], [current] = manifests(3, "later"), manifests(2, "now")
    assert Head(current=current, newest=newest).readable((1, 2)) == current
    assert Head(current=newest).readable((1, 2)) == newest


def test_an_operator_of_the_version_before_replaces_all_and_is_followed():
    head = successor_for_older(Head(), *manifests(2, "new"), *manifests(1, "old"), NONE)
    rewritten = msgspec.json.decode(head_text(head), type=FormerHead)
    rewritten = msgspec.structs.replace(rewritten, current=FormerManifest("back", "", 0, ()))
    head = read_head(msgspec.json.encode(rewritten).decode())
    assert head.readable((1, 2)).version == "back"
    assert head.readable((1, 2)).format == 1


def test_what_cannot_be_said_leaves_the_last_that_could_for_older_readers():
    head = successor_for_older(Head(), *manifests(2, "a2"), *manifests(1, "a1"), NONE)
    for version in ("b2", "c2", "d2", "e2", "f2", "g2"):
        head = successor_for_older(head, *manifests(2, version), None, NONE)
        assert (head.current.version, head.newest.version) == ("a1", version)
    assert names(head.retained) == ["f2"]


def test_the_upgrade_of_a_store_keeps_what_older_readers_follow():
    head = successor(Head(), *manifests(1, "a1"), NONE)
    head = successor_for_older(head, *manifests(2, "b2"), None, NONE)
    assert (head.current.version, head.newest.version) == ("a1", "b2")
    head = successor_for_older(head, *manifests(2, "c2"), *manifests(1, "c1"), frozenset({"a1"}))
    assert (head.current.version, head.newest.version) == ("c1", "c2")
    assert names(head.retained) == ["b2", "a1"]


def test_once_no_reader_is_older_the_older_form_goes():
    head = successor_for_older(Head(), *manifests(2, "a2"), *manifests(1, "a1"), NONE)
    head = successor(head, *manifests(2, "a2"), NONE)
    assert (head.current.version, head.newest) == ("a2", None)
    head = successor(head, *manifests(2, "b2"), NONE)
    assert names(head.retained) == ["a2"]


def test_a_store_without_anything_older_gives_older_readers_the_newest_which_they_refuse():
    head = successor_for_older(Head(), *manifests(2, "a2"), None, NONE)
    assert (head.current.version, head.newest) == ("a2", None)


def test_shards_of_both_formats_are_needed():
    snapshot = snapshot_of(3)
    newer, older = encode(snapshot, "s-"), encode_previous(lowered(snapshot).snapshot, "s-")
    head = successor_for_older(Head(), newer.manifest, older.manifest, NONE)
    assert shard_names(head) == {ref.name for one in (newer, older) for ref, _ in one.shards}
    assert len(shard_names(head)) == 2


def test_a_head_in_its_own_new_format_is_refused():
    with pytest.raises(SnapshotFault, match="has format 2, this version reads 1: upgrade it"):
        read_head(json.dumps({"format": 2}))
