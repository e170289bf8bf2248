"""Bodies that are sent as they are, however that is said."""

import pytest

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.stages.content_coding import is_identity


@pytest.mark.parametrize(
    "coding", ["", "identity", "Identity", "IDENTITY", "identity, Identity", " identity ,"]
)
def test_identity_in_any_case_and_number_changes_nothing(coding):
    assert is_identity(coding)


@pytest.mark.parametrize("coding", ["gzip", "identity, gzip", "br,identity", "identityx", "x-gzip"])
def test_another_coding_anywhere_does(coding):
    assert not is_identity(coding)


async def test_a_body_sent_as_it_is_is_served_and_a_packed_one_refused():
    pipeline, _ = await offline_pipeline(RoutingSnapshot(), GatewaySettings())
    for coding in ("Identity", "identity, IDENTITY"):
        head = RequestHead("POST", "/v1/chat/completions", {"content-encoding": coding})
        await pipeline.begin(Exchange(head))
    with pytest.raises(RequestRefused) as refused:
        head = RequestHead("POST", "/v1/chat/completions", {"content-encoding": "GZIP"})
        await pipeline.begin(Exchange(head))
    assert refused.value.reason is Refusal.UNSUPPORTED_BODY
