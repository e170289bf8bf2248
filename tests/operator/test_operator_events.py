"""Events as the API server takes them."""

from pilotage_kube.clock import SystemTime
from pilotage_kube.resource import EVENTS
from pilotage_operator.event_writer import EventWriter, Subject
from pilotage_operator.plan import Told


async def test_a_long_message_is_cut_to_the_bytes_that_an_event_may_have(client, namespace):
    events = EventWriter(client, instance="operator-1", clock=SystemTime())
    subject = Subject("pilotage.dev/v1alpha1", "RoutePolicy", namespace, "auto", "uid-1")
    for note in ("x" * 1023 + "…", "模" * 1024, "short"):
        await events.tell(subject, Told(warning=True, reason="Invalid", note=note))
    assert events.written == 3
    found = await client.list_all(EVENTS, namespace)
    assert sorted(len(one["note"].encode()) for one in found) == [5, 1023, 1023]
