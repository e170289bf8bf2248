"""Who may use which name, across namespaces, and two gateways that watch the same resources."""

from operator_run import Operators, condition, idle, make_namespace, policy, pool


async def test_a_namespace_cannot_take_over_a_name_of_another(operators):
    """The victim's alias keeps its meaning whatever a stranger's pool claims, however old that is."""
    victim, stranger = operators.namespace, await make_namespace(operators.client, f"{operators.namespace}-x")
    evil = pool("evil", "trap", aliases=("small",), allowedNamespaces={"from": "All"})
    await operators.apply(evil, namespace=stranger)
    mine, auto = pool("small", "llama-8b", aliases=("small",)), policy("auto", "auto", "small")
    await operators.apply(mine, auto)
    picker = operators.pick()
    operators.start(settings=operators.settings(watch_namespaces=(stranger,)))
    await operators.says(auto, "True True True")
    await operators.says(mine, "True True True")
    [binding] = picker.snapshot.names["small"]
    assert binding.pool == f"{victim}/small"
    [candidate] = picker.snapshot.routes[0].rules[0].candidates
    assert {one.pool for one in candidate.bindings} == {f"{victim}/small"}
    # a policy there is not obeyed, and says so
    taken = policy("taken", "auto", "trap")
    await operators.apply(taken, namespace=stranger)
    found = await operators.says(taken, "NotObeyed True NotUsed", namespace=stranger)
    assert f"obeys policies of namespace {victim} only" in condition(found, "Accepted")["message"]
    assert {route.policy for route in picker.snapshot.routes} == {f"{victim}/auto"}


async def test_a_pool_of_another_namespace_is_used_where_it_lets_the_policy_in(operators):
    lender = await make_namespace(operators.client, f"{operators.namespace}-y")
    selector = {
        "from": "Selector",
        "selector": {"matchLabels": {"kubernetes.io/metadata.name": operators.namespace}},
    }
    lent, kept = pool("lent", "qwen", allowedNamespaces=selector), pool("kept", "secret")
    await operators.apply(lent, kept, namespace=lender)
    auto = policy("auto", "auto", "qwen", "secret")
    await operators.apply(auto)
    picker = operators.pick()
    operators.start(settings=operators.settings(watch_namespaces=(lender,)))
    found = await operators.says(auto, "True PoolNotVisible True")
    assert (
        f"ModelPool {lender}/kept, which does not let namespace {operators.namespace} in"
        in (condition(found, "ResolvedRefs")["message"])
    )
    await operators.says(kept, "NotUsed True NotUsed", namespace=lender)
    await operators.says(lent, "True True True", namespace=lender)
    assert [one.key for one in picker.snapshot.pools] == [f"{lender}/lent"]


async def test_all_namespaces_are_followed_where_the_settings_say_so(operators):
    other = await make_namespace(operators.client, f"{operators.namespace}-z")
    await operators.apply(pool("far", "far-model"), namespace=other)
    operators.pick()
    operators.start(settings=operators.settings(namespaces=("*",)))
    await operators.says(pool("far"), "True True True", namespace=other, seconds=30)


async def test_two_gateways_do_not_overwrite_each_other_for_ever(operators):
    """Who uses a resource speaks on it; of two who do, the gateway whose name comes first."""
    shared = await make_namespace(operators.client, f"{operators.namespace}-s")
    body = pool("shared", "model")
    await operators.apply(body, namespace=shared)
    second_home = await make_namespace(operators.client, f"{operators.namespace}-t")
    async with Operators(operators.plane, operators.client, second_home) as others:
        first = operators.start(settings=operators.settings(watch_namespaces=(shared,)))
        found = await operators.says(body, "NotUsed True NotUsed", namespace=shared)
        second = others.start(settings=others.settings(namespaces=(shared,)))
        found = await operators.says(body, "True True Pending", namespace=shared)
        assert found["status"]["gateway"] == f"{second_home}/pilotage-snapshot"
        await idle(first)
        await idle(second)
        after = await operators.get(body, shared)
        assert after["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
