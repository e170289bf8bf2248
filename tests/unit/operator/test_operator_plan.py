"""`plan()` is pure: what is desired and what is observed go in, what to write comes out."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from operator_cases import (
    GATEWAY,
    NOW,
    conditions,
    desired,
    pickers,
    planned,
    policy,
    pool,
    report,
    stored,
    wrong,
)

from pilotage_kube.replica_report import Refusal


def test_what_is_not_published_is_to_be_published_with_its_forms():
    forms = pool(), policy()
    wanted = desired(*forms)
    made = planned(wanted, map(stored, forms), published="", kept={})
    assert made.publish == wanted.snapshot
    assert dict(made.keep) == {form.key: form for form in forms}
    assert made.statuses == ()
    after = planned(wanted, map(stored, forms))
    assert after.publish is None
    assert after.keep is None
    assert len(after.statuses) == 2


def test_statuses_name_the_generation_and_the_gateway():
    form = policy(generation=7)
    wanted = desired(pool(), form)
    [write] = planned(wanted, [stored(form)]).statuses
    assert write.status["observedGeneration"] == 7
    assert write.status["gateway"] == GATEWAY
    assert {one["observedGeneration"] for one in write.status["conditions"]} == {7}
    assert conditions(write.status) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Programmed": ("False", "Pending"),
    }


def test_a_patch_names_the_uid_and_removes_what_is_no_longer_said():
    form = pool()
    wanted = desired(form)
    old = {"endpoints": {"ready": 1, "total": 1}, "endpointsReady": "1/1"}
    seen = pickers(wanted, missing=True)
    [write] = planned(wanted, [stored(form, old)], seen).statuses
    patch = write.patch()
    assert patch["metadata"] == {"uid": "uid-small"}
    assert patch["status"]["endpoints"] is None
    assert patch["status"]["endpointsReady"] is None


def test_programmed_asks_every_ready_picker_that_is_alive():
    form = policy()
    wanted = desired(pool(), form)
    version = wanted.snapshot.version

    def programmed(*live, **more):
        seen = pickers(wanted, *live, **more)
        [write] = planned(wanted, [stored(form)], seen).statuses
        return conditions(write.status)["Programmed"]

    assert programmed(report(version)) == ("True", "Programmed")
    assert programmed(report(version), report("other", "picker-b")) == ("False", "Pending")
    assert programmed(report(version), report("other", "picker-b", ready=False)) == ("True", "Programmed")
    assert programmed(report("other"), late=frozenset({"picker-a"})) == ("False", "PickerLate")
    assert programmed() == ("False", "Pending")
    assert programmed(missing=True) == ("Unknown", "NoPickers")
    refusal = Refusal("RoutePolicy default/auto", "Unsupported", "no")
    assert programmed(report(version, refusals=[refusal])) == ("False", "RefusedByPicker")


def test_an_older_version_that_holds_the_same_generation_will_do():
    """One edit must not make every other resource pending."""
    first, other = policy("first", "one"), policy("other", "two")
    before = desired(pool(), first, other)
    edited = policy("other", "three", generation=2)
    after = desired(pool(), first, edited)
    seen = pickers(after, report(before.snapshot.version))
    runs = {**seen.runs, **pickers(before).runs}
    made = planned(after, [stored(first), stored(edited)], replace(seen, runs=runs))
    says = {write.key.name: conditions(write.status)["Programmed"] for write in made.statuses}
    assert says == {"first": ("True", "Programmed"), "other": ("False", "Pending")}


def test_a_restart_of_the_only_picker_makes_nothing_untrue_for_a_moment():
    form = policy()
    wanted = desired(pool(), form)
    [write] = planned(wanted, [stored(form)], pickers(wanted, report(wanted.snapshot.version))).statuses
    assert planned(wanted, [stored(form, write.status)], pickers(wanted)).statuses == ()
    [gone] = planned(wanted, [stored(form, write.status)], pickers(wanted, missing=True)).statuses
    assert conditions(gone.status)["Programmed"] == ("Unknown", "NoPickers")
    assert gone.events == ()


def test_what_is_wrong_keeps_its_last_good_form():
    good = policy()
    bad = wrong(good)
    wanted = desired(pool(), bad, last_good={good.key: good})
    assert wanted.forms[good.key] == good
    assert wanted.snapshot == desired(pool(), good).snapshot
    [write] = planned(wanted, [stored(bad)]).statuses
    assert conditions(write.status) == {
        "Accepted": ("False", "Invalid"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Programmed": ("False", "LastGood"),
    }
    [event] = write.events
    assert (event.warning, event.reason) == (True, "Invalid")


def test_a_namesake_inherits_nothing():
    good = policy()
    bad = wrong(policy(uid="another"))
    wanted = desired(pool(), bad, last_good={good.key: good})
    assert good.key not in wanted.forms
    assert wanted.snapshot.routes == ()


def test_an_event_is_told_once():
    form = policy("auto", "auto", "gpt-9")
    wanted = desired(pool(), form)
    [write] = planned(wanted, [stored(form)]).statuses
    assert [one.reason for one in write.events] == ["NoCandidates"]
    later = NOW + timedelta(hours=1)
    seen = pickers(wanted, report(wanted.snapshot.version))
    [again] = planned(wanted, [stored(form, write.status)], seen, now=later).statuses
    assert again.events == ()
    mended = desired(pool("large", "gpt-9"), form)
    [last] = planned(mended, [stored(form, again.status)], now=later).statuses
    assert [(one.warning, one.reason) for one in last.events] == [(False, "ResolvedRefs")]


def test_of_two_gateways_the_one_that_uses_the_resource_speaks():
    form = policy()
    wanted = desired(pool(), form)
    [write] = planned(wanted, [stored(form)], gateway="b/snapshot").statuses
    # both use it: the name decides, whoever came first
    assert planned(wanted, [stored(form, write.status)], gateway="c/snapshot").statuses == ()
    [taken] = planned(wanted, [stored(form, write.status)], gateway="a/snapshot").statuses
    assert taken.status["gateway"] == "a/snapshot"
    assert planned(wanted, [stored(form, taken.status)], gateway="b/snapshot").statuses == ()


def test_a_writer_that_writes_no_more_has_no_say():
    form = policy()
    wanted = desired(pool(), form)
    [write] = planned(wanted, [stored(form)], gateway="a/snapshot").statuses
    left = stored(form, write.status)
    assert planned(wanted, [left], gateway="b/snapshot").statuses == ()
    [taken] = planned(wanted, [left], gateway="b/snapshot", silent=[form.key]).statuses
    assert taken.status["gateway"] == "b/snapshot"
    # even by who does not use it
    elsewhere = structs.replace(form, namespace="elsewhere")
    wanted = desired(pool(), elsewhere)
    unused = stored(elsewhere, write.status)
    assert planned(wanted, [unused], gateway="b/snapshot").statuses == ()
    [told] = planned(wanted, [unused], gateway="b/snapshot", silent=[elsewhere.key]).statuses
    assert conditions(told.status)["Accepted"] == ("False", "NotObeyed")


def test_names_are_listed_short():
    many = pool("many", *[f"a-model-with-a-long-name-{number}" for number in range(20)])
    [write] = planned(desired(many), [stored(many)]).statuses
    assert write.status["models"].startswith("a-model-with-a-long-name-0,a-model-with-a-long-name-1,")
    assert write.status["models"].endswith(",+17")


def test_counts_of_endpoints_are_those_of_the_picker_that_sees_most():
    form = pool()
    wanted = desired(form)
    live = [
        report(wanted.snapshot.version, "picker-a", **{"default/small": (1, 3)}),
        report(wanted.snapshot.version, "picker-b", **{"default/small": (2, 3)}),
    ]
    [write] = planned(wanted, [stored(form)], pickers(wanted, *live)).statuses
    assert write.status["endpoints"] == {"ready": 2, "total": 3}
    assert write.status["endpointsReady"] == "2/3"


def test_counts_that_another_gateway_left_are_not_ours_to_repeat():
    form = pool()
    wanted = desired(form)
    left = {"endpoints": {"ready": 3, "total": 3}, "endpointsReady": "3/3"}
    silent = report(wanted.snapshot.version)
    for writer, kept in ((GATEWAY, left), ("default/other", {})):
        before = stored(form, {"gateway": writer, **left})
        [write] = planned(wanted, [before], pickers(wanted, silent), silent={form.key}).statuses
        assert {name: write.status[name] for name in left if name in write.status} == kept


FORMS = st.lists(
    st.one_of(
        st.builds(
            lambda name, model, generation: pool(name, model, generation=generation),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["m", "n"]),
            st.integers(1, 3),
        ),
        st.builds(
            lambda name, match, model, generation: policy(name, match, model, generation=generation),
            st.sampled_from(["p", "q", "r"]),
            st.sampled_from(["auto", "auto*", "x"]),
            st.sampled_from(["m", "n", "missing"]),
            st.integers(1, 3),
        ),
        st.builds(lambda name: wrong(policy(name)), st.sampled_from(["p", "q", "r"])),
    ),
    max_size=6,
    unique_by=lambda form: form.key,
)


@given(FORMS, FORMS, st.booleans())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(forms, before, followed):
    """Whatever the resources are, and were: writing what a plan says is the end of it."""
    last_good = desired(*before).forms
    wanted = desired(*forms, last_good=last_good)
    seen = pickers(wanted, *([report(wanted.snapshot.version)] if followed else []))
    resources = [stored(form) for form in forms]
    made = planned(wanted, resources, seen)
    assert {write.key for write in made.statuses} == {form.key for form in forms}
    written = {write.key: write.status for write in made.statuses}
    resources = [stored(form, written[form.key]) for form in forms]
    later = NOW + timedelta(days=1)
    again = planned(wanted, resources, seen, published=wanted.snapshot.version, kept=wanted.forms, now=later)
    assert again.publish is None
    assert again.keep is None
    assert again.statuses == ()


CHANGES = ("counts", "follows", "policy", "pool", "refuses", "silent", "spent", "missing", "unwritten")


@given(st.lists(st.sampled_from(CHANGES), min_size=4, max_size=16))
def test_what_is_remembered_of_earlier_plans_changes_no_later_one(changes):
    settled, statuses, objects, state = {}, {}, {}, dict.fromkeys(CHANGES, 0)
    for change in changes:
        state[change] += 1
        forms = [policy(generation=1 + state["policy"]), *([pool()] if state["pool"] % 2 else [])]
        wanted = desired(*forms)
        refusal = Refusal("RoutePolicy default/auto", "NotInstalled", "no such scorer")
        reports = [
            report(
                wanted.snapshot.version if state["follows"] % 2 else "before",
                refusals=[refusal] * (state["refuses"] % 2),
                **{"default/small": (state["counts"] % 3, 3)},
            )
        ]
        seen = pickers(wanted, *reports, missing=bool(state["missing"] % 2))
        # an informer gives the same object as long as nothing changes
        resources = [
            objects.setdefault(repr((form, statuses.get(form.key))), stored(form, statuses.get(form.key)))
            for form in forms
        ]
        more = {
            "silent": [forms[-1].key] * (state["silent"] % 2),
            "spending": {forms[0].key: {"spent": str(state["spent"])}},
        }
        made = planned(wanted, resources, seen, **more, settled=settled)
        assert made == planned(wanted, resources, seen, **more)
        if change != "unwritten":
            statuses |= {write.key: write.status for write in made.statuses}


@given(FORMS, FORMS)
def test_every_resource_that_is_not_in_force_as_written_says_why(forms, before):
    last_good = desired(*before).forms
    wanted = desired(*forms, last_good=last_good)
    seen = pickers(wanted, report(wanted.snapshot.version))
    for write in planned(wanted, [stored(form) for form in forms], seen).statuses:
        says = {one["type"]: one for one in write.status["conditions"]}
        as_written = wanted.forms.get(write.key) == write.stored.form
        if not as_written:
            assert says["Accepted"]["status"] == "False"
            assert says["Programmed"]["status"] == "False"
        for one in says.values():
            assert one["message"]


@given(FORMS, FORMS)
def test_what_is_published_depends_on_nothing_but_resources_and_last_good_forms(forms, before):
    last_good = desired(*before).forms
    one = desired(*forms, last_good=last_good)
    other = desired(*reversed(forms), last_good=last_good)
    assert one.snapshot == other.snapshot
    # and compiling what is in force again gives the same: a restart changes nothing
    assert desired(*forms, last_good=one.forms).snapshot == one.snapshot
