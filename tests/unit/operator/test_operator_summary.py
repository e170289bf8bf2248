"""The one word `kubectl get` shows of a resource: what to look at first."""

from operator_cases import desired, pickers, planned, policy, pool, report, stored, wrong


def reason_of(form, *others, endpoints=(1, 1), before=()):
    wanted = desired(form, *others, last_good=desired(*before).forms if before else None)
    picker = report(wanted.snapshot.version, **{"default/small": endpoints})
    writes = planned(wanted, [stored(one) for one in (form, *others)], pickers(wanted, picker)).statuses
    [status] = [write.status for write in writes if write.key == form.key]
    return status["reason"], status["message"]


def test_all_well_is_what_programmed_says():
    assert reason_of(policy(), pool()) == ("Programmed", "every ready picker follows this generation")
    assert reason_of(pool())[0] == "Programmed"


def test_the_first_condition_that_does_not_hold_comes_first():
    reason, message = reason_of(policy("auto", "auto", "nowhere"), pool())
    assert reason == "NoCandidates"
    assert "nowhere" in message
    old = policy("older", "auto")
    assert reason_of(policy("younger", "auto"), old, pool())[0] == "Shadowed"
    assert reason_of(wrong(policy()), pool())[0] == "Invalid"


def test_a_pool_without_servers_says_so_though_its_conditions_hold():
    reason, message = reason_of(pool(), endpoints=(0, 0))
    assert reason == "NoServers"
    assert "no pod matches" in message
    reason, message = reason_of(pool(), endpoints=(0, 3))
    assert reason == "NoneReady"
    assert "none of its 3 servers" in message
    assert reason_of(pool(), endpoints=(1, 3))[0] == "Programmed"
