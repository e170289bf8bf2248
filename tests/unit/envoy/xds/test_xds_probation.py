"""Which provider a refusal of Envoy is about, and that it costs no other."""

from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.probation import Probation
from pilotage_extproc.envoy.xds.provider_resources import ProviderResources


def provider(name: str, content: bytes = b"1") -> ProviderResources:
    return ProviderResources(name, Reach.PROVIDERS, b"", {names.CLUSTER_TYPE: {f"provider/{name}": content}})


def following(*addresses: str) -> Probation:
    made = Probation()
    made.follow({address: provider(address) for address in addresses})
    return made


def suspects(*addresses: str) -> dict[str, frozenset[str]]:
    return {address: frozenset({f"provider/{address}"}) for address in addresses}


def test_the_provider_that_is_named_is_left_out():
    probation = following("a", "b")
    assert probation.blame(suspects("a", "b"), "Error adding/updating cluster(s) provider/b: bad CA")
    assert probation.refused == {"b": "Error adding/updating cluster(s) provider/b: bad CA"}
    assert [probation.lets(one) for one in "ab"] == [True, False]


def test_a_name_that_only_begins_like_it_is_not_it():
    probation = following("a", "a-2")
    probation.blame(suspects("a", "a-2"), "cluster(s) provider/a-2: bad")
    assert list(probation.refused) == ["a-2"]


def test_the_only_one_that_is_new_is_the_one():
    probation = following("a", "b")
    probation.blame(suspects("b"), "malformed")
    assert list(probation.refused) == ["b"]


def test_where_nobody_is_named_all_are_held_back_and_tried_one_after_another():
    probation = following("a", "b", "c")
    assert probation.blame(suspects("a", "b", "c"), "malformed")
    assert not any(probation.lets(one) for one in "abc")
    assert probation.release()
    assert probation.lets("a")
    assert not probation.release()
    probation.confirmed({"a"})
    assert probation.release()
    probation.blame(suspects("b"), "malformed")
    assert probation.release()
    probation.confirmed({"c"})
    assert probation.refused == {"b": "malformed"}
    assert [probation.lets(one) for one in "abc"] == [True, False, True]


def test_an_edit_is_tried_again():
    probation = following("a", "b")
    probation.blame(suspects("b"), "malformed")
    probation.follow({"a": provider("a"), "b": provider("b", b"2")})
    assert probation.lets("b")
    assert probation.refused == {}


def test_a_refusal_that_is_about_no_provider_blames_nobody():
    probation = following("a")
    assert not probation.blame({}, "malformed")
    assert probation.lets("a")
