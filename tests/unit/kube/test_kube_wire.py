"""Lists, events and objects as they come."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_kube import wire
from pilotage_kube.errors import InvalidResponse
from pilotage_kube.resource import CONFIG_MAPS, NODES, PODS, ObjectKey, key_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=6),
    st.sampled_from([0, orjson.OPT_INDENT_2]),
)
def test_a_list_is_cut_into_exactly_its_items(items, option):
    body = {"kind": "List", "metadata": {"resourceVersion": "7", "continue": "c"}, "items": items}
    page = wire.list_page(orjson.dumps(body, option=option))
    assert (page.metadata.resource_version, page.metadata.more) == ("7", "c")
    assert [wire.whole_object(memoryview(item)) for item in page.items] == items


def test_an_empty_list_may_be_null():
    assert wire.list_page(b'{"metadata": {"resourceVersion": "1"}, "items": null}').items is None


@given(st.binary())
def test_any_bytes_are_read_or_refused(body):
    for read in (wire.list_page, wire.watch_event, lambda raw: wire.object_meta(memoryview(raw))):
        try:
            read(body)
        except InvalidResponse as error:
            assert "cannot be read" in str(error) or "without readable metadata" in str(error)


def test_a_bookmark_has_a_version_and_no_name():
    event = wire.watch_event(
        b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"},"spec":{}}}'
    )
    meta = wire.object_meta(memoryview(event.object))
    assert (event.type, meta.name, meta.resourceVersion) == ("BOOKMARK", "", "9")


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("team", "a", "status"), "/api/v1/namespaces/team/pods/a/status"),
        (NODES.path("ignored", "n"), "/api/v1/nodes/n"),
        (CONFIG_MAPS.path("../x", "a/b?c"), "/api/v1/namespaces/..%2Fx/configmaps/a%2Fb%3Fc"),
    ],
)
def test_paths_name_what_is_meant_and_nothing_else(found, path):
    assert found == path


def test_a_new_object_has_its_envelope():
    made = CONFIG_MAPS.object("a", "team", data={"k": "v"}, metadata={"labels": {"x": "y"}})
    assert made == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "team", "labels": {"x": "y"}},
        "data": {"k": "v"},
    }
    assert key_of(made) == ObjectKey("team", "a")
    assert str(ObjectKey("", "node")) == "node"
