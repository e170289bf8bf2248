"""Which pods serve which pools: read, matched, and kept current change by change."""

import msgspec
import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.sources.pod_selection import PodSelection
from pilotage_extproc.sources.pods import Pod, read_pod
from pilotage_kube.resource import ObjectKey


def pool(name: str, ports: tuple[int, ...] = (8000,), **labels: str) -> PoolSnapshot:
    return PoolSnapshot(
        key=f"ns/{name}",
        engine=Engine.VLLM,
        endpoints=(),
        selector=labels,
        target_ports=ports,
        stream_usage=StreamUsage.LEAVE,
        models=(),
    )


def pod(
    name: str, ip: str, *, ready: bool = True, leaving: bool = False, uid: str = "", **labels: str
) -> Pod:
    return Pod(name, uid or name, ip, labels, ready and not leaving, leaving)


def key(name: str) -> ObjectKey:
    return ObjectKey("ns", name)


def raw(phase: str = "Running", ready: str = "True", deleted: str | None = None) -> memoryview:
    """A pod as the API server tells it."""
    meta = {"name": "one", "uid": "u", "labels": {"app": "a"}, "managedFields": [{"x": 1}]}
    status = {
        "phase": phase,
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}],
    }
    if deleted:
        meta["deletionTimestamp"] = deleted
    return memoryview(orjson.dumps({"metadata": meta, "spec": {"containers": []}, "status": status}))


@pytest.mark.parametrize(
    ("told", "ready", "leaving"),
    [
        (raw(), True, False),
        (raw(ready="False"), False, False),
        (raw(ready="Unknown"), False, False),
        (raw(phase="Pending"), False, False),
        (raw(phase="Succeeded"), False, True),
        (raw(phase="Failed"), False, True),
        (raw(deleted="2026-01-01T00:00:00Z"), False, True),
    ],
)
def test_a_pod_takes_requests_only_while_it_runs_ready_and_was_not_told_to_go(told, ready, leaving):
    found = read_pod(told)
    assert (found.ready, found.leaving) == (ready, leaving)
    assert (found.name, found.uid, found.ip, found.labels) == ("one", "u", "10.0.0.1", {"app": "a"})


def test_a_pod_without_status_or_labels_is_read_and_nonsense_is_refused():
    found = read_pod(memoryview(b'{"metadata": {"name": "one"}}'))
    assert (found.ip, found.ready, found.labels) == ("", False, {})
    with pytest.raises(msgspec.DecodeError):
        read_pod(memoryview(b'{"metadata": {"name": 1}}'))


def test_every_label_must_match_and_every_port_is_a_server():
    selection = PodSelection()
    selection.follow([pool("a", (1, 2), app="x", tier="y"), pool("b", (3,), app="x")])
    selection.put(key("one"), pod("one", "10.0.0.1", app="x", tier="y", more="z"))
    selection.put(key("two"), pod("two", "10.0.0.2", app="x"))
    selection.put(ObjectKey("elsewhere", "three"), pod("three", "10.0.0.3", app="x"))
    assert selection.addresses("ns/a") == ("10.0.0.1:1", "10.0.0.1:2")
    assert selection.addresses("ns/b") == ("10.0.0.1:3", "10.0.0.2:3")
    assert (selection.total("ns/a"), selection.total("ns/b")) == (2, 2)


def test_a_terminating_pod_drains_at_once_and_says_so():
    selection = PodSelection()
    selection.follow([pool("a", (1, 2), app="x")])
    assert selection.put(key("one"), pod("one", "10.0.0.1", app="x")).restore == ("10.0.0.1:1", "10.0.0.1:2")
    effect = selection.put(key("one"), pod("one", "10.0.0.1", leaving=True, app="x"))
    assert effect.drain == ("10.0.0.1:1", "10.0.0.1:2")
    assert selection.addresses("ns/a") == ()
    assert selection.draining("ns/a") == ()  # it does not come back
    assert selection.total("ns/a") == 0


def test_a_pod_that_was_ready_drains_until_it_is_again_but_a_new_one_of_its_name_is_unknown():
    selection = PodSelection()
    selection.follow([pool("a", app="x")])
    selection.put(key("one"), pod("one", "10.0.0.1", app="x"))
    selection.put(key("one"), pod("one", "10.0.0.1", ready=False, app="x"))
    assert selection.draining("ns/a") == ("10.0.0.1:8000",)
    selection.put(key("one"), pod("one", "10.0.0.1", ready=False, uid="another", app="x"))
    assert selection.draining("ns/a") == ()
    assert selection.total("ns/a") == 1


def test_pods_that_share_an_address_do_not_put_each_other_to_rest():
    selection = PodSelection()
    selection.follow([pool("a", app="x")])
    selection.put(key("one"), pod("one", "10.0.0.1", app="x"))
    selection.put(key("two"), pod("two", "10.0.0.1", app="x"))
    assert selection.put(key("one"), None).drain == ()
    assert selection.addresses("ns/a") == ("10.0.0.1:8000",)
    assert selection.put(key("two"), None).drain == ("10.0.0.1:8000",)


def test_a_change_that_no_pool_minds_is_no_change():
    selection = PodSelection()
    selection.follow([pool("a", app="x")])
    assert selection.put(key("other"), pod("other", "10.0.0.9", app="y")).pools == ()
    selection.put(key("one"), pod("one", "10.0.0.1", app="x"))
    assert selection.put(key("one"), pod("one", "10.0.0.1", app="x", extra="label")).pools == ()


def test_a_snapshot_that_chooses_as_before_disturbs_nothing():
    selection = PodSelection()
    selection.follow([pool("a", app="x")])
    selection.put(key("one"), pod("one", "10.0.0.1", app="x"))
    before = selection.addresses("ns/a")
    selection.follow([pool("a", app="x")])
    assert selection.addresses("ns/a") is before


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), min_size=1, max_size=3)
PODS = st.builds(
    lambda ip, labels, ready, leaving, uid: Pod("p", uid, ip, labels, ready and not leaving, leaving),
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    LABELS,
    st.booleans(),
    st.booleans(),
    st.sampled_from("uvw"),
)


class Selecting(RuleBasedStateMachine):
    """Any order of pods coming, changing and going, and of pools changing, ends where a fresh look would."""

    def __init__(self) -> None:
        super().__init__()
        self.selection = PodSelection()
        self.pods: dict[ObjectKey, Pod] = {}
        self.pools: list[PoolSnapshot] = []

    @rule(name=st.sampled_from("pqrs"), change=st.none() | PODS)
    def pod_changes(self, name: str, change: Pod | None) -> None:
        before = {one.key: set(self.selection.addresses(one.key)) for one in self.pools}
        effect = self.selection.put(key(name), change)
        for one in self.pools:
            now = set(self.selection.addresses(one.key))
            if now != before[one.key]:
                assert one.key in effect.pools
            # what drains at once is in no pool any more
            assert not now & set(effect.drain)
        if change is None:
            self.pods.pop(key(name), None)
        else:
            self.pods[key(name)] = change

    @rule(selectors=st.lists(LABELS, max_size=3))
    def pools_change(self, selectors: list[dict[str, str]]) -> None:
        self.pools = [pool(f"pool-{number}", **labels) for number, labels in enumerate(selectors)]
        self.selection.follow(self.pools)

    @invariant()
    def every_pool_has_exactly_its_ready_pods(self) -> None:
        for one in self.pools:
            wanted = {
                f"{pod.ip}:8000"
                for pod in self.pods.values()
                if pod.ready and one.selector.items() <= pod.labels.items()
            }
            assert set(self.selection.addresses(one.key)) == wanted


TestSelecting = Selecting.TestCase
TestSelecting.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)


@given(st.binary(max_size=200))
@settings(max_examples=examples(100))
def test_no_bytes_make_reading_a_pod_fail_otherwise_than_by_saying_so(noise):
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        read_pod(memoryview(noise + b"{"))
