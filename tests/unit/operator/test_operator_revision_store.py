"""What is kept of a resource, and of forms beside a snapshot."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operator_cases import policy, pool

from pilotage_kube.resource import MODEL_POOLS
from pilotage_operator import revision_store
from pilotage_operator.resource_revision import Form, reads

READ = reads(MODEL_POOLS)


def test_only_what_matters_is_kept():
    raw = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {
            "name": "small",
            "namespace": "team",
            "uid": "u",
            "generation": 3,
            "resourceVersion": "17",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {"models": [{"name": "m"}]},
        "status": {"observedGeneration": 2},
    }
    found = READ(memoryview(orjson.dumps(raw)))
    assert found.form == Form(
        "ModelPool", "team", "small", "u", 3, "2026-01-01T00:00:00Z", '{"models":[{"name":"m"}]}'
    )
    assert found.resource_version == "17"
    assert found.status == {"observedGeneration": 2}
    assert found.form.as_object()["spec"] == {"models": [{"name": "m"}]}


@pytest.mark.parametrize("status", [None, [], "text"])
def test_a_status_that_is_none_is_read_as_empty(status):
    raw = {"metadata": {"name": "a", "uid": "u"}, "status": status}
    found = READ(memoryview(orjson.dumps(raw)))
    assert found.status == {}
    assert "spec" not in found.form.as_object()


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8), st.integers(1, 300))
def test_kept_forms_come_back_as_they_were(names, part_bytes):
    forms = [pool(f"p{at}", generation=at + 1, note=name) for at, name in enumerate(names)] + [policy()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revision_store, "_PART_BYTES", max(part_bytes, 60))
        digest, size, pieces = revision_store._packed(forms)
    parts = {
        at: (revision_store._Header("v", 1, digest, size, at, len(pieces)), piece)
        for at, piece in enumerate(pieces)
    }
    found = revision_store._unpacked(parts)
    assert {form.key: form for form in found} == {form.key: form for form in forms}


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_damaged_forms_are_refused_and_never_misread(at, value):
    digest, size, [piece] = revision_store._packed([pool(), policy()])
    spoilt = bytearray(piece)
    spoilt[at % len(spoilt)] = value
    parts = {0: (revision_store._Header("v", 1, digest, size, 0, 1), bytes(spoilt))}
    try:
        found = revision_store._unpacked(parts)
    except revision_store.RevisionFault:
        assert bytes(spoilt) != piece
    else:
        assert found == [pool(), policy()]
