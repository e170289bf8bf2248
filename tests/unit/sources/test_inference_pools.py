"""Which InferencePools a picker serves, on which port, and why not the others."""

from datetime import UTC, datetime

import orjson

from pilotage_api.snapshot import Engine
from pilotage_extproc.sources.inference_pools import (
    ENGINE_LABEL,
    InferenceObjective,
    InferencePool,
    is_inference_pool,
    priorities,
    served_pools,
)
from pilotage_kube.resource import ObjectKey
from pilotage_kube.wire import typed

SERVICE = "pilotage-extproc"


def pool(
    port: int | None, *, made: int = 1, labels: dict[str, str] | None = None, **ref: str
) -> InferencePool:
    picker = {"name": SERVICE, **ref} | ({} if port is None else {"port": {"number": port}})
    value = {
        "metadata": {
            "creationTimestamp": datetime.fromtimestamp(made, UTC).isoformat(),
            "labels": labels or {},
            "uid": f"made-{made}",
        },
        "spec": {
            "selector": {"matchLabels": {"app": "vllm"}},
            "targetPorts": [{"number": 8000}, {"number": 8001}],
            "endpointPickerRef": {"failureMode": "FailOpen", **picker},
        },
    }
    return typed(InferencePool)(memoryview(orjson.dumps(value)))


def served(*found: tuple[str, InferencePool]):
    named = [(ObjectKey("ns", name), one) for name, one in found]
    return served_pools(named, service=SERVICE, own_ports={9002: "listen.extproc"})


def test_a_pool_that_names_this_service_is_served_on_its_port():
    found = served(("a", pool(9010)))
    [one] = found.pools
    assert (one.key, one.selector, one.target_ports) == (
        "inferencepool/ns/a",
        {"app": "vllm"},
        (8000, 8001),
    )
    assert one.engine is Engine.VLLM
    assert found.ports == ((9010, "inferencepool/ns/a"),)
    assert found.refusals == ()


def test_pools_of_others_and_of_other_kinds_of_picker_are_none_of_ours():
    found = served(
        ("a", pool(9010, name="epp")), ("b", pool(9010, kind="Other", group="x.io")), ("c", pool(None))
    )
    assert (found.pools, found.refusals) == ((), ())


def test_a_pool_that_names_no_picker_is_none_of_ours():
    value = {"metadata": {}, "spec": {"selector": {"matchLabels": {}}, "targetPorts": [{"number": 8000}]}}
    found = served(("a", typed(InferencePool)(memoryview(orjson.dumps(value)))))
    assert (found.pools, found.refusals) == ((), ())


def test_the_older_pool_has_the_port_and_of_equally_old_the_first_by_name():
    for first, second, winner in ((1, 2, "b"), (2, 1, "a"), (1, 1, "a")):
        found = served(("b", pool(9010, made=first)), ("a", pool(9010, made=second)))
        assert found.ports == ((9010, f"inferencepool/ns/{winner}"),)
        [refusal] = found.refusals
        assert refusal.reason == "PortConflict"
        assert f"InferencePool ns/{winner}" in refusal.message
        assert refusal.resource != f"InferencePool ns/{winner}"


def test_a_refusal_names_which_life_of_the_pool_it_is_about():
    found = served(("a", pool(9010, made=1)), ("b", pool(9010, made=2)), ("c", pool(9002, made=3)))
    assert {one.resource: one.uid for one in found.refusals} == {
        "InferencePool ns/b": "made-2",
        "InferencePool ns/c": "made-3",
    }
    later = found.refusal("inferencepool/ns/a", "PortUnusable", "in use")
    assert (later.resource, later.uid) == ("InferencePool ns/a", "made-1")


def test_a_modelpool_in_a_namespace_of_that_name_is_no_inferencepool():
    assert is_inference_pool("inferencepool/ns/a")
    assert not is_inference_pool("inferencepool/a")
    assert not is_inference_pool("ns/a")


def test_the_pickers_own_ports_are_not_for_pools():
    found = served(("a", pool(9002)))
    assert found.ports == ()
    [refusal] = found.refusals
    assert refusal.reason == "PortReserved"
    assert "port 9002 is the picker's own (listen.extproc)" in refusal.message
    assert "endpointPickerRef.port" in refusal.message
    assert "inferencePoolPorts" in refusal.message


def test_a_label_says_what_the_servers_are_and_nonsense_reads_no_metrics():
    found = served(
        ("a", pool(1, labels={ENGINE_LABEL: "sglang"})), ("b", pool(2, labels={ENGINE_LABEL: "abacus"}))
    )
    assert [one.engine for one in found.pools] == [Engine.SGLANG, Engine.OPENAI]


def test_objectives_have_priorities_in_their_pool_and_none_is_zero():
    def objective(**spec: object) -> InferenceObjective:
        value = {"spec": {"poolRef": {"name": "a", "group": "g"}, **spec}}
        return typed(InferenceObjective)(memoryview(orjson.dumps(value)))

    found = priorities(
        [(ObjectKey("ns", "batch"), objective(priority=-5)), (ObjectKey("ns", "chat"), objective())]
    )
    assert found == {("inferencepool/ns/a", "batch"): -5, ("inferencepool/ns/a", "chat"): 0}
