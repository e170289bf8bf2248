"""The state-of-the-world protocol of one resource type, request by request."""

from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.envoy.xds.subscription import Reply, Subscription


def request(nonce: str = "", names: tuple[str, ...] = ("models",), error: str = ""):
    made = discovery_pb2.DiscoveryRequest(response_nonce=nonce, resource_names=names)
    if error:
        made.error_detail.message = error
    return made


def subscribed() -> Subscription:
    subscription = Subscription()
    assert subscription.take(request()) is Reply.NONE
    assert subscription.due
    subscription.sent(1, "n1")
    return subscription


def test_the_first_request_is_due_an_answer():
    subscription = subscribed()
    assert not subscription.due
    assert subscription.acked_version == 0


def test_an_acknowledgement_asks_for_nothing():
    subscription = subscribed()
    assert subscription.take(request("n1")) is Reply.ACKED
    assert subscription.acked_version == 1
    assert not subscription.due


def test_the_same_request_again_is_answered_though_nothing_changed():
    subscription = subscribed()
    subscription.take(request("n1"))
    assert subscription.take(request("n1")) is Reply.NONE
    assert subscription.due


def test_a_refusal_keeps_the_last_acknowledged_version_and_is_not_repeated():
    subscription = subscribed()
    subscription.take(request("n1"))
    subscription.sent(2, "n2")
    assert subscription.take(request("n2", error="malformed")) is Reply.NACKED
    assert subscription.acked_version == 1
    assert not subscription.due


def test_an_answer_to_an_older_response_is_ignored():
    subscription = subscribed()
    subscription.sent(2, "n2")
    assert subscription.take(request("n1", names=("other",))) is Reply.NONE
    assert not subscription.due
    assert subscription.wants == frozenset({"models"})
    assert subscription.acked_version == 0


def test_an_acknowledgement_that_asks_for_more_names_is_answered():
    subscription = subscribed()
    assert subscription.take(request("n1", names=("models", "fail-open"))) is Reply.ACKED
    assert subscription.due
    assert subscription.acked_version == 1
