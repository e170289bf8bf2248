"""The state-of-the-world protocol of one resource type, request by request."""

from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.envoy.xds.catalog import Catalog, Edition
from pilotage_extproc.envoy.xds.subscription import Reply, Subscription


def request(nonce: str = "", names: tuple[str, ...] = ("models",), error: str = ""):
    made = discovery_pb2.DiscoveryRequest(response_nonce=nonce, resource_names=names)
    if error:
        made.error_detail.message = error
    return made


def edition(version: int, **since: int) -> Edition:
    return Edition(version, {name: b"%d" % at for name, at in since.items()}, since)


def send(subscription: Subscription, made: Edition, nonce: str) -> list[str]:
    resources = subscription.next(made)
    assert resources is not None
    subscription.sent(made, resources, nonce)
    return list(resources)


def subscribed(*, whole: bool = False) -> Subscription:
    subscription = Subscription(whole=whole)
    assert subscription.take(request(names=() if whole else ("models",))) is Reply.NONE
    assert subscription.due
    send(subscription, edition(1, models=1), "n1")
    return subscription


def test_the_first_request_is_due_an_answer():
    subscription = subscribed()
    assert not subscription.due
    assert subscription.acked == {}


def test_an_acknowledgement_asks_for_nothing():
    subscription = subscribed()
    assert subscription.take(request("n1")) is Reply.ACKED
    assert subscription.acked == {"models": 1}
    assert not subscription.due
    assert subscription.next(edition(1, models=1)) is None


def test_the_same_request_again_is_answered_though_nothing_changed():
    subscription = subscribed()
    subscription.take(request("n1"))
    assert subscription.take(request("n1")) is Reply.NONE
    assert subscription.due
    assert subscription.next(edition(1, models=1)) == {"models": b"1"}


def test_a_refusal_keeps_the_last_acknowledged_version_and_says_what_was_refused():
    subscription = subscribed()
    subscription.take(request("n1"))
    send(subscription, edition(2, models=2), "n2")
    assert subscription.take(request("n2", error="malformed")) is Reply.NACKED
    assert subscription.acked == {"models": 1}
    assert subscription.refused == {"models"}
    assert not subscription.due
    assert subscription.next(edition(2, models=2)) is None


def test_an_answer_to_an_older_response_counts_for_what_that_had_and_asks_for_nothing():
    subscription = subscribed()
    send(subscription, edition(2, models=2), "n2")
    assert subscription.take(request("n1", names=("other",))) is Reply.ACKED
    assert not subscription.due
    assert subscription.wants == frozenset({"models"})
    assert subscription.acked == {"models": 1}


def test_an_answer_to_a_response_that_was_never_sent_is_ignored():
    subscription = subscribed()
    assert subscription.take(request("n7")) is Reply.NONE
    assert subscription.acked == {}


def test_an_acknowledgement_that_asks_for_more_names_is_answered():
    subscription = subscribed()
    assert subscription.take(request("n1", names=("models", "fail-open"))) is Reply.ACKED
    assert subscription.due
    assert subscription.acked == {"models": 1}


def test_of_a_type_that_is_sent_in_parts_only_what_is_new_goes_out():
    subscription = subscribed()
    subscription.take(request("n1", names=("models", "provider")))
    assert send(subscription, edition(2, models=1, provider=2), "n2") == ["models", "provider"]
    subscription.take(request("n2", names=("models", "provider")))
    assert send(subscription, edition(3, models=1, provider=3), "n3") == ["provider"]
    assert subscription.take(request("n3", names=("models", "provider"))) is Reply.ACKED
    assert subscription.acked == {"models": 1, "provider": 3}


def test_a_change_of_what_nobody_asked_for_sends_nothing():
    subscription = subscribed()
    subscription.take(request("n1"))
    assert subscription.next(edition(2, models=1, provider=2)) is None


def test_of_a_whole_type_all_is_sent_and_what_is_left_out_is_acknowledged_no_more():
    subscription = subscribed(whole=True)
    subscription.take(request("n1", names=()))
    assert send(subscription, edition(2, models=1, provider=2), "n2") == ["models", "provider"]
    subscription.take(request("n2", names=()))
    assert send(subscription, edition(3, models=1), "n3") == ["models"]
    subscription.take(request("n3", names=()))
    assert subscription.acked == {"models": 1}


def test_a_catalog_keeps_the_version_of_what_did_not_change():
    catalog = Catalog()
    assert catalog.put("kind", {"a": b"1", "b": b"1"})
    assert not catalog.put("kind", {"a": b"1", "b": b"1"})
    assert catalog.put("kind", {"a": b"1", "b": b"2"})
    made = catalog.edition("kind")
    assert made is not None
    assert (made.version, dict(made.since)) == (2, {"a": 1, "b": 2})
