"""A snapshot survives the way through ConfigMaps bit by bit, or is refused."""

import hashlib
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import snapshot_of

from pilotage_api.snapshot import RoutingSnapshot
from pilotage_kube import snapshot_codec
from pilotage_kube.snapshot_codec import Encoded, SnapshotParser, content_of, encode
from pilotage_kube.snapshot_head import Head, Manifest, ShardRef, SnapshotFault, read_head, successor


def manifest_for(content: bytes, pieces: list[bytes], **changes: object) -> Manifest:
    """What an honest publisher of that content would write, and then some."""
    digest = hashlib.sha256(content).hexdigest()
    refs = tuple(ShardRef(f"s{n}", hashlib.sha256(one).hexdigest()) for n, one in enumerate(pieces))
    return msgspec.structs.replace(Manifest(digest[:16], digest, len(content), refs), **changes)


@given(policies=st.integers(0, 60), shard_bytes=st.integers(1, 3000))
async def test_what_goes_in_comes_out_however_it_is_cut(policies, shard_bytes):
    snapshot = snapshot_of(policies)
    encoded = encode(snapshot, "s-", max(shard_bytes, policies * 12 + 20))
    content = content_of(encoded.manifest, encoded.data)
    assert await SnapshotParser().parse(content, encoded.manifest.version) == snapshot


async def test_parsing_in_parts_gives_what_parsing_whole_gives():
    snapshot = snapshot_of(30)
    content = snapshot.model_copy(update={"version": ""}).model_dump_json()
    whole = RoutingSnapshot.model_validate_json(content).sealed()
    assert await SnapshotParser().parse(content.encode(), snapshot.version) == whole


def test_equal_snapshots_have_equal_shards():
    assert encode(snapshot_of(9), "s-") == encode(snapshot_of(9), "s-")


def test_only_sealed_snapshots_are_published():
    with pytest.raises(ValueError, match="not sealed"):
        encode(RoutingSnapshot(), "s-")
    with pytest.raises(ValueError, match="not sealed"):
        encode(snapshot_of(1).model_copy(update={"pools": ()}), "s-")


def test_a_snapshot_past_the_bound_is_not_published():
    with pytest.raises(SnapshotFault, match="too large"):
        encode(snapshot_of(500), "s-", shard_bytes=20)


def damaged(encoded: Encoded, place: int, bit: int) -> list[bytes]:
    pieces = [bytearray(one) for one in encoded.data]
    for piece in pieces:
        if place < len(piece):
            piece[place] ^= 1 << bit
            break
        place -= len(piece)
    return [bytes(one) for one in pieces]


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_single_flipped_bit_is_found(place, bit):
    encoded = encode(snapshot_of(40), "s-", 300)
    pieces = damaged(encoded, place % sum(map(len, encoded.data)), bit)
    with pytest.raises(SnapshotFault, match="digest differs"):
        content_of(encoded.manifest, pieces)


def test_a_bomb_is_not_unpacked_past_the_size_it_claims():
    content = b"0" * (64 << 20)
    packed = zlib.compress(content)
    with pytest.raises(SnapshotFault, match="has not the size"):
        content_of(manifest_for(content, [packed], size=1000), [packed])


@pytest.mark.parametrize(
    ("packed", "changes", "told"),
    [
        (b"nonsense", {}, "cannot be unpacked"),
        (zlib.compress(b"content")[:-6], {}, "has not the size"),
        (zlib.compress(b"content"), {"size": 1 << 40}, "too large"),
        (zlib.compress(b"content"), {"sha256": "0" * 64}, "digest differs"),
        (zlib.compress(b"content"), {"version": "another"}, "digest differs"),
    ],
)
def test_what_does_not_fit_its_manifest_is_refused(packed, changes, told):
    with pytest.raises(SnapshotFault, match=told):
        content_of(manifest_for(b"content", [packed], **changes), [packed])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[]", "cannot be read"),
        (b'{"pools": 1}', "cannot be read"),
        (b'{"futures": []}', "unknown here: upgrade extproc"),
        (b'{"pools": [{"key": "a/b"}]}', "cannot be read: engine"),
        (b'{"names": {"a": [{"pool": "p", "novelty": 1}]}}', "cannot be read"),
    ],
)
async def test_content_of_another_version_is_refused_and_says_what_to_do(content, told):
    with pytest.raises(SnapshotFault, match=told):
        await SnapshotParser().parse(content, "v")


async def test_content_of_an_older_version_takes_defaults():
    assert await SnapshotParser().parse(b"{}", "v") == RoutingSnapshot(version="v")


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_as_head_is_read_or_refused(text):
    try:
        assert isinstance(read_head(text), Head)
    except SnapshotFault as fault:
        assert "snapshot store" in str(fault)


def manifests(*versions: str) -> list[Manifest]:
    return [Manifest(version, "", 0, ()) for version in versions]


def test_the_predecessor_and_what_replicas_run_are_retained_and_no_more():
    head = Head()
    for one in manifests("a", "b", "c", "d"):
        head = successor(head, one, frozenset({"a"}))
    assert head.current.version == "d"
    assert [one.version for one in head.retained] == ["c", "a"]
    many = manifests(*"abcdefgh")
    for one in many:
        head = successor(head, one, frozenset("abcdefgh"))
    assert len(head.retained) == 4


def test_publishing_the_current_version_again_changes_nothing():
    first, second = manifests("a", "b")
    head = successor(successor(Head(), first, frozenset()), second, frozenset())
    assert successor(head, second, frozenset()) == head


def test_bounds_leave_room_in_an_object():
    # base64 in a request and raw in storage: both must stay under the API server's 1 MiB for a ConfigMap
    assert snapshot_codec.SHARD_BYTES * 4 / 3 < 1 << 20
