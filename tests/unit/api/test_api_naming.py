"""Who may use which name."""

from api_manifests import brief, compiled, namespace, only, policy, pool

from pilotage_api.compile import Compiled

OPEN = {"allowedNamespaces": {"from": "All"}}


def model(name: str, *aliases: str, adapters: tuple[str, ...] = ()) -> dict:
    return {"name": name, "aliases": list(aliases), "adapters": [{"name": one} for one in adapters]}


def served_by(result: Compiled, name: str) -> list[tuple[str, str]]:
    return [(one.pool, one.upstream_model) for one in result.snapshot.names.get(name, ())]


def candidates(result: Compiled, policy_key: str) -> list[list[tuple[str, str]]]:
    [route] = [one for one in result.snapshot.routes if one.policy == policy_key]
    return [[(b.pool, b.upstream_model) for b in one.bindings] for one in route.rules[0].candidates]


def test_of_two_meanings_of_a_name_the_older_resource_wins():
    young = pool("a", [model("m1", "small")], created="2026-02-01T00:00:00Z")
    old = pool("z", [model("m2", "small")], created="2026-01-01T00:00:00Z")
    result = compiled(young, old)
    assert served_by(result, "small") == [("default/z", "m2")]
    assert served_by(result, "m1") == [("default/a", "m1")]
    finding = only(result.findings)
    assert (finding.severity, finding.code, str(finding.resource), finding.path) == (
        "error",
        "name-conflict",
        "ModelPool default/a",
        "spec.models[0].aliases[0]",
    )
    assert "'m2' of ModelPool default/z" in finding.message


def test_files_are_equally_old_and_the_name_decides():
    result = compiled(pool("b", [model("m1", "small")]), pool("a", [model("m2", "small")]))
    assert served_by(result, "small") == [("default/a", "m2")]


def test_times_in_different_zones_compare_as_instants():
    first = pool("z", [model("m1", "x")], created="2026-01-01T01:00:00+02:00")
    second = pool("a", [model("m2", "x")], created="2026-01-01T00:30:00Z")
    assert served_by(compiled(first, second), "x") == [("default/z", "m1")]


def test_an_alias_equal_to_another_pools_model_is_a_conflict():
    result = compiled(pool("a", [model("m1")]), pool("b", [model("m2", "m1")]))
    assert served_by(result, "m1") == [("default/a", "m1")]
    assert brief(result.findings) == [("error", "name-conflict", "spec.models[0].aliases[0]")]


def test_an_alias_that_repeats_a_model_of_another_pool_serves_the_same_model():
    result = compiled(pool("a", [model("m", "x")]), pool("b", [model("m", "x", "m")]))
    assert result.findings == ()
    assert served_by(result, "x") == [("default/a", "m"), ("default/b", "m")]


def test_adapters_of_one_name_on_different_models_are_a_conflict():
    result = compiled(
        pool("a", [model("m1", adapters=("sql",))]), pool("b", [model("m2", adapters=("sql",))])
    )
    assert served_by(result, "sql") == [("default/a", "sql")]
    assert "the adapter of 'm1'" in only(result.findings).message


def test_adapters_of_one_name_on_the_same_model_are_one_candidate_set():
    result = compiled(pool("a", [model("m", adapters=("sql",))]), pool("b", [model("m", adapters=("sql",))]))
    assert result.findings == ()
    assert [one for one, _ in served_by(result, "sql")] == ["default/a", "default/b"]


def test_an_adapter_is_never_the_model_of_the_same_name():
    result = compiled(pool("a", [model("m1", adapters=("m2",))]), pool("b", [model("m2")]))
    assert brief(result.findings) == [("error", "name-conflict", "spec.models[0].name")]


def test_two_meanings_inside_one_pool_are_a_conflict_the_model_wins():
    result = compiled(pool("a", [model("m1", "m2"), model("m2")]))
    assert served_by(result, "m2") == [("default/a", "m2")]
    finding = only(result.findings)
    assert finding.path == "spec.models[0].aliases[0]"
    assert "in this pool itself" in finding.message


def test_nobody_takes_over_a_name_of_another_namespace():
    ours = pool("small", [model("llama-8b", "small")], created="2026-06-01T00:00:00Z")
    theirs = pool(
        "evil",
        [model("logger", "small", "llama-8b")],
        namespace="evil",
        created="2020-01-01T00:00:00Z",
        **OPEN,
    )
    auto = policy("auto", {"models": ["auto"]}, ["small", "llama-8b"])
    result = compiled(theirs, ours, auto)
    assert served_by(result, "small") == [("default/small", "llama-8b")]
    assert served_by(result, "llama-8b") == [("default/small", "llama-8b")]
    assert candidates(result, "default/auto") == [[("default/small", "llama-8b")]] * 2
    assert served_by(result, "logger") == [("evil/evil", "logger")]


def test_nobody_joins_the_candidate_set_of_another_namespace():
    theirs = pool(
        "evil", [model("llama-8b", "small")], namespace="evil", created="2020-01-01T00:00:00Z", **OPEN
    )
    result = compiled(theirs, pool("small", [model("llama-8b", "small")]), policy("auto"))
    assert served_by(result, "small") == [("default/small", "llama-8b")]
    assert candidates(result, "default/auto") == [[("default/small", "llama-8b")]]


def test_a_name_of_own_pools_stays_own_though_all_own_claims_lose():
    ours = pool("small", [model("m", "x")])
    theirs = pool("open", [model("n", "x")], namespace="a", **OPEN)
    assert served_by(compiled(ours, theirs), "x") == [("default/small", "m")]


def test_a_policy_sees_pools_of_other_namespaces_only_where_they_let_it():
    closed = pool("closed", [model("m1")], namespace="a")
    opened = pool("open", [model("m2")], namespace="a", **OPEN)
    chosen = pool(
        "chosen",
        [model("m3")],
        namespace="a",
        allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"team": "x", "env": "prod"}}},
    )
    auto = policy("auto", candidates=["m1", "m2", "m3"])
    resources = (closed, opened, chosen, auto)
    result = compiled(*resources, namespace("default", team="x", env="prod", more="y"))
    assert candidates(result, "default/auto") == [[], [("a/open", "m2")], [("a/chosen", "m3")]]
    result = compiled(*resources, namespace("default", team="x"))
    assert candidates(result, "default/auto") == [[], [("a/open", "m2")], []]
    told = [one for one in result.findings if one.resource and one.resource.kind == "RoutePolicy"]
    assert [one.code for one in told] == ["pool-not-visible", "pool-not-visible"]
    assert told[0].message.endswith("served by ModelPool a/closed, which does not let namespace default in")


def test_a_gateway_obeys_only_its_namespaces():
    resources = (
        pool("p", ["m"]),
        policy("here", {"models": ["x"]}, ["m"]),
        policy("there", {"models": ["y"]}, ["m"], namespace="b"),
    )
    result = compiled(*resources)
    assert [one.policy for one in result.snapshot.routes] == ["default/here"]
    assert brief(result.findings) == [("warning", "not-obeyed", "metadata.namespace")]
    result = compiled(*resources, namespaces=("default", "b"))
    assert [one.policy for one in result.snapshot.routes] == ["b/there", "default/here"]
    assert candidates(result, "b/there") == [[]]
    assert len(compiled(*resources, namespaces=("*",)).snapshot.routes) == 2


def test_a_pool_nothing_may_use_is_left_out_unless_the_settings_name_it():
    other = pool("p", ["m"], namespace="b")
    result = compiled(other)
    assert result.snapshot.pools == ()
    assert brief(result.findings) == [("warning", "pool-not-used", "spec.allowedNamespaces")]
    result = compiled(other, fail_open_pool="b/p")
    assert [one.key for one in result.snapshot.pools] == ["b/p"]
    assert result.snapshot.names == {}
    assert [one.key for one in compiled(other, namespaces=("*",)).snapshot.pools] == ["b/p"]


def test_in_obeyed_namespaces_a_name_means_different_things_to_their_policies():
    result = compiled(
        pool("p", [model("m1", "small")], namespace="a"),
        pool("p", [model("m2", "small")], namespace="b"),
        policy("auto", namespace="a"),
        policy("auto2", {"models": ["x"]}, namespace="b"),
        namespaces=("a", "b"),
    )
    assert candidates(result, "a/auto") == [[("a/p", "m1")]]
    assert candidates(result, "b/auto2") == [[("b/p", "m2")]]
    assert served_by(result, "small") == [("a/p", "m1")]
    assert str(only(result.findings).resource) == "ModelPool b/p"


def test_a_namespace_has_its_name_as_a_label_without_being_described():
    by_name = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}}
    shared = pool("p", [model("m")], namespace="models", allowedNamespaces=by_name)
    assert served_by(compiled(shared, namespaces=("apps",)), "m") == [("models/p", "m")]
    assert served_by(compiled(shared, namespaces=("other",)), "m") == []
    forged = namespace("other", **{"kubernetes.io/metadata.name": "apps"})
    assert served_by(compiled(shared, forged, namespaces=("other",)), "m") == []
